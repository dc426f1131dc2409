//! What one call of a plugin may use up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

pub use wasm_cni_policy::limits::Limits;
use wasm_cni_state::deadline::Deadline;
use wasmtime::ResourceLimiter;

/// Counts the memory of one instance.
pub struct Meter {
    limit: usize,
    used: usize,
}

impl Meter {
    /// Nothing is used yet.
    pub fn new(limits: &Limits) -> Self {
        Self { limit: limits.memory, used: 0 }
    }

    /// Counts what the host keeps for the instance, until its end.
    ///
    /// # Errors
    ///
    /// Ends the guest if that is more than it may have.
    pub fn keep(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.used = self.used.saturating_add(bytes);
        if self.used > self.limit { Err(wasmtime::Error::new(Stop::Memory(self.limit))) } else { Ok(()) }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.used = self.used.saturating_sub(current).saturating_add(desired);
        if self.used > self.limit {
            // A trap, so that the error can say what happened.
            return Err(wasmtime::Error::new(Stop::Memory(self.limit)));
        }
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 100_000)
    }

    /// A component is several core instances; ours take four.
    fn instances(&self) -> usize {
        32
    }

    fn tables(&self) -> usize {
        32
    }

    fn memories(&self) -> usize {
        8
    }
}

/// Most handles of one instance: namespaces, transactions, and changes that no commit has done.
pub const MAX_HANDLES: usize = 1024;

/// Most instances that a process of one call leaves to its end, each with all the
/// memory that it has: a plugin and its IPAM plugin.
const MAX_LEFT: u32 = 2;

/// What a plugin and the plugins that it delegates to may use up between them:
/// each instance has a share of its own of nothing but memory.
#[derive(Debug)]
pub struct Allowance {
    calls: AtomicU32,
    log: AtomicUsize,
    instances: AtomicU32,
}

impl Allowance {
    /// All of it is left.
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            calls: AtomicU32::new(limits.host_calls),
            log: AtomicUsize::new(limits.log_bytes),
            instances: AtomicU32::new(MAX_LEFT),
        })
    }

    /// One host call less; false if there is none left.
    pub fn take_call(&self) -> bool {
        self.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// May one more instance be left to the end of the process?
    pub fn leaves_instance(&self) -> bool {
        self.instances.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// The bytes of log that are left.
    pub fn log_left(&self) -> usize {
        self.log.load(Ordering::Relaxed)
    }

    /// So many bytes of log less.
    pub fn take_log(&self, bytes: usize) {
        self.log.store(self.log_left().saturating_sub(bytes), Ordering::Relaxed);
    }
}

/// Why the host ended a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// Time is up.
    #[error("it ran longer than {} s", .0.as_secs_f32())]
    Deadline(Duration),
    /// The caller said so.
    #[error("it was cancelled")]
    Cancelled,
    /// Its memory is used up.
    #[error("it wanted more than {} MiB of memory", .0 >> 20)]
    Memory(usize),
    /// Its handles are used up.
    #[error("it kept more than {MAX_HANDLES} handles")]
    Handles,
    /// Its calls are used up.
    #[error("it made more than {0} host calls")]
    HostCalls(u32),
}

impl Stop {
    /// Why this deadline has passed.
    pub fn of(deadline: &Deadline) -> Self {
        if deadline.cancel.is_cancelled() { Self::Cancelled } else { Self::Deadline(deadline.time) }
    }
}
