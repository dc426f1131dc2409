//! The guests' and the host's shares of an ADD's time, from the runtime's trace. Must
//! not know: what was attached.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, from_str};

/// Mean milliseconds of one call, including tracing.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Shares {
    /// In guests, including the creation of instances.
    pub(crate) guest: f64,
    /// In host functions, including the kernel's work.
    pub(crate) host: f64,
    /// Before and after: configuration, record, result.
    pub(crate) around: f64,
}

/// Lines of a trace, parsed after the measurement.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub(crate) fn push(&self, line: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The shares of this many ADDs, which took this many milliseconds in total.
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
        // The time of the caller's host call includes that of a delegate.
        let each = |time: f64| time / adds as f64;
        Shares { guest: each(plugins + delegates - calls), host: each(calls - delegates), around: each(wall - plugins) }
    }
}
