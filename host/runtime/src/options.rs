//! How one call differs from the runtime's settings.

use std::time::{Duration, Instant};

use wasm_cni_state::deadline::{Cancel, Deadline};

/// How one operation differs from the runtime's settings.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// Instead of [`Limits::time`](crate::Limits::time).
    pub timeout: Option<Duration>,
    /// To end it early.
    pub cancel: Cancel,
    /// Of an ADD: what it did lasts as long as this process. If that ends before
    /// [`Runtime::tidy`](crate::Runtime::tidy), whoever comes next takes it back.
    pub provisional: bool,
}

impl CallOptions {
    pub(crate) fn deadline(&self, default: Duration) -> Deadline {
        let time = self.timeout.unwrap_or(default);
        Deadline { at: Instant::now() + time, time, cancel: self.cancel.clone() }
    }
}
