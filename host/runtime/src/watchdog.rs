//! Ends guests whose time is up, by bumping the engine's epoch: a timer's signal
//! where the process is ours, else a thread.

use std::{
    sync::{
        OnceLock,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::JoinHandle,
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
use wasmtime::Engine;

use crate::{limits::Deadline, plugin::Inner};

/// Between looks whether the call was cancelled; and, after the deadline, between
/// bumps: a guest that was entered after the first one, by an operation that
/// cleans up, has to end too.
const AGAIN: Duration = Duration::from_millis(50);

/// Watches one operation until it is dropped.
pub(crate) struct Watchdog {
    /// Disarmed by being dropped.
    _timer: Option<Timer>,
    /// Dropped to say that the operation is over.
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn start(runtime: &Inner, deadline: &Deadline) -> Self {
        // A thread costs more than all that is done in many a call. But a signal
        // is for who owns the process, and says nothing of a call's cancellation.
        let timer = runtime.own_process.then(|| timer(&runtime.engine, deadline).ok()).flatten();
        if timer.is_some() {
            return Self { _timer: timer, over: None, thread: None };
        }
        let (over, ended) = mpsc::channel::<()>();
        let (engine, deadline) = (runtime.engine.clone(), deadline.clone());
        let watch = move || {
            loop {
                let time = if deadline.passed() { AGAIN } else { deadline.remaining().min(AGAIN) };
                if ended.recv_timeout(time) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                if deadline.passed() {
                    engine.increment_epoch();
                }
            }
        };
        let builder = std::thread::Builder::new().name("watchdog".to_owned()).stack_size(64 << 10);
        Self { _timer: None, over: Some(over), thread: builder.spawn(watch).ok() }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
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
