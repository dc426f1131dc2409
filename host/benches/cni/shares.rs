//! Whose an ADD's time is: the guest's, or the host's, by the runtime's trace. Must
//! not know: what was attached to what.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, from_str};

/// Milliseconds of one call, in the mean; tracing is in them.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Shares {
    /// In guests, with the making of their instances.
    pub(crate) guest: f64,
    /// In the functions that guests call, with what the kernel does for them.
    pub(crate) host: f64,
    /// Before and after: configuration, record, result.
    pub(crate) around: f64,
}

/// Lines of a trace, to be read when no clock runs.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub(crate) fn push(&self, line: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Of so many ADDs that took so long in all, milliseconds.
    pub(crate) fn shares(&self, adds: usize, wall: f64) -> Shares {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut plugins, mut delegates, mut calls) = (0.0, 0.0, 0.0);
        for line in lines.iter().filter_map(|line| from_str::<Value>(line).ok()) {
            let taken = line["microseconds"].as_f64().unwrap_or_default() / 1000.0;
            match line["event"].as_str() {
                Some("call") => calls += taken,
                Some("end") if line["depth"] == 0 => plugins += taken,
                Some("end") => delegates += taken,
                _ => {}
            }
        }
        // A delegate's time is in that of its caller's call of the host.
        let each = |time: f64| time / adds as f64;
        Shares { guest: each(plugins + delegates - calls), host: each(calls - delegates), around: each(wall - plugins) }
    }
}
