//! How one call differs from the runtime's settings.

use std::time::{Duration, Instant};

use wasm_cni_state::deadline::{Cancel, Deadline};

/// How one call differs from the runtime's settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallOptions {
    /// Instead of the time in the limits.
    pub(crate) timeout: Option<Duration>,
    /// To end it early.
    pub(crate) cancel: Cancel,
    /// Of an ADD: what it did lasts as long as this process.
    pub(crate) provisional: bool,
}

impl CallOptions {
    pub(crate) fn deadline(&self, default: Duration) -> Deadline {
        let time = self.timeout.unwrap_or(default);
        Deadline { at: Instant::now() + time, time, cancel: self.cancel.clone() }
    }
}
