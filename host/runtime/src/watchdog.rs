//! Ends guests whose time is up: a thread that bumps the engine's epoch.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::JoinHandle,
    time::Duration,
};

use wasmtime::Engine;

use crate::limits::Deadline;

/// Between looks whether the call was cancelled; and, after the deadline, between
/// bumps: a guest that was entered after the first one, by an operation that
/// cleans up, has to end too.
const AGAIN: Duration = Duration::from_millis(50);

/// Watches one operation until it is dropped.
pub(crate) struct Watchdog {
    /// Dropped to say that the operation is over.
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn start(engine: &Engine, deadline: &Deadline) -> Self {
        let (over, ended) = mpsc::channel::<()>();
        let (engine, deadline) = (engine.clone(), deadline.clone());
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
        Self { over: Some(over), thread: builder.spawn(watch).ok() }
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
