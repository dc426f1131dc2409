//! When an operation has to be over, and ending it early.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Ends operations early: what they did is taken back, and their error says so.
/// Clones stand for the same.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends them; in a guest within 50 ms, in a native plugin at once.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`Cancel::cancel`] was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// When the operation has to be over.
#[derive(Clone, Debug)]
pub struct Deadline {
    /// The moment.
    pub at: Instant,
    /// The time that was given.
    pub time: Duration,
    /// To end it early.
    pub cancel: Cancel,
}

impl Deadline {
    /// From now on.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self { at: Instant::now() + time, time, cancel: Cancel::default() }
    }

    /// Whether it is over, by time or because it was cancelled.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.cancel.is_cancelled() || Instant::now() >= self.at
    }

    /// The time that is left; none if it was cancelled.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        if self.cancel.is_cancelled() {
            return Duration::ZERO;
        }
        self.at.saturating_duration_since(Instant::now())
    }
}
