//! Ends guests whose time is up, by bumping the engine's epoch: a timer's signal
//! where the process is ours, else a thread.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use nix::{
    libc,
    sys::{
        signal::{SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal, sigaction},
        time::TimeSpec,
        timer::{Expiration, Timer, TimerSetTimeFlags},
    },
    time::ClockId,
};
use wasm_cni_state::deadline::Deadline;
use wasmtime::Engine;

use crate::host::Host;

/// Between looks whether the call was cancelled; and, after the deadline, between
/// bumps: a guest that was entered after the first one, by an operation that
/// cleans up, has to end too.
const AGAIN: Duration = Duration::from_millis(50);

/// How long the thread stays when there is nothing to watch.
const IDLE: Duration = Duration::from_secs(10);

/// Watches one operation until it is dropped.
pub(crate) enum Watchdog {
    /// Disarmed by being dropped.
    Timer { _timer: Timer },
    /// One of those that the thread watches.
    Watched(u64),
}

impl Watchdog {
    pub(crate) fn start(host: &Host, deadline: &Deadline) -> Self {
        // A signal is for who owns the process, and says nothing of a call's
        // cancellation.
        let timer = host.context.own_process.then(|| timer(&host.engine, deadline).ok()).flatten();
        match timer {
            Some(timer) => Self::Timer { _timer: timer },
            None => Self::Watched(Watch::lock().add(&host.engine, deadline)),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Self::Watched(number) = self {
            Watch::lock().operations.remove(number);
        }
    }
}

/// What the thread watches, one for the process: starting one for each operation
/// would be a good part of what it costs.
struct Watch {
    operations: BTreeMap<u64, Deadline>,
    next: u64,
    thread: Thread,
}

#[derive(PartialEq)]
enum Thread {
    None,
    Watching,
    /// It has to be told that there is something to watch.
    Idle,
}

static WATCH: Mutex<Watch> = Mutex::new(Watch { operations: BTreeMap::new(), next: 0, thread: Thread::None });
static NEWS: Condvar = Condvar::new();

impl Watch {
    fn lock() -> MutexGuard<'static, Self> {
        WATCH.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&mut self, engine: &Engine, deadline: &Deadline) -> u64 {
        let number = self.next;
        self.next += 1;
        self.operations.insert(number, deadline.clone());
        if self.thread == Thread::None {
            let engine = engine.clone();
            let builder = std::thread::Builder::new().name("watchdog".to_owned()).stack_size(64 << 10);
            if builder.spawn(move || watch(&engine)).is_ok() {
                self.thread = Thread::Watching;
            }
        } else if self.thread == Thread::Idle || deadline.remaining() < AGAIN {
            NEWS.notify_one();
        }
        number
    }
}

fn watch(engine: &Engine) {
    let mut watch = Watch::lock();
    loop {
        let time = if watch.operations.is_empty() {
            IDLE
        } else if watch.operations.values().any(Deadline::passed) {
            engine.increment_epoch();
            AGAIN
        } else {
            watch.operations.values().map(Deadline::remaining).min().unwrap_or(AGAIN).min(AGAIN)
        };
        watch.thread = if time == IDLE { Thread::Idle } else { Thread::Watching };
        let (locked, waited) = NEWS.wait_timeout(watch, time).unwrap_or_else(PoisonError::into_inner);
        watch = locked;
        if time == IDLE && waited.timed_out() && watch.operations.is_empty() {
            watch.thread = Thread::None;
            return;
        }
    }
}

static ENGINE: OnceLock<Engine> = OnceLock::new();

extern "C" fn bump(_: libc::c_int) {
    // An atomic addition, as wasmtime promises: what a signal may interrupt.
    if let Some(engine) = ENGINE.get() {
        engine.increment_epoch();
    }
}

#[expect(unsafe_code, reason = "a signal's handler, see below")]
fn timer(engine: &Engine, deadline: &Deadline) -> nix::Result<Timer> {
    ENGINE.get_or_init(|| engine.clone());
    let action = SigAction::new(SigHandler::Handler(bump), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing but an atomic addition, and nobody else
    // has one for this signal in a process that is ours.
    unsafe { sigaction(Signal::SIGALRM, &action) }?;
    let notify = SigevNotify::SigevSignal { signal: Signal::SIGALRM, si_value: 0 };
    let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, SigEvent::new(notify))?;
    // None at all would disarm it.
    let first = deadline.remaining().max(Duration::from_millis(1));
    let expiration = Expiration::IntervalDelayed(TimeSpec::from(first), TimeSpec::from(AGAIN));
    timer.set(expiration, TimerSetTimeFlags::empty())?;
    Ok(timer)
}
