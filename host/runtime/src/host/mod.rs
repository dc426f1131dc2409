//! The host's side of the WIT: one file for each interface.
//!
//! Every function that changes something does, in this order: count the call,
//! check grant, handles and arguments, note the inverse, act. Nothing here
//! believes a guest.

pub(crate) mod convert;
pub(crate) mod delegate;
pub(crate) mod describe;
mod devices;
pub(crate) mod filter;
pub(crate) mod moves;
pub(crate) mod net;
pub(crate) mod ops;
mod permits;
pub(crate) mod space;
pub(crate) mod store;
pub(crate) mod system;
pub(crate) mod traced;
pub(crate) mod wasi;

#[cfg(test)]
mod properties;

use std::sync::{Arc, Mutex};

use wasm_cni_kernel as kernel;
use wasmtime::{Trap, component::ResourceTable};

use crate::{
    attempt::{Attempt, Note},
    bindings::types,
    dispatch::CallConfig,
    faults::{self, Fault},
    grants::Grants,
    limits::{Allowance, Meter, Stop},
    trace::Who,
    undo::Undo,
};

/// What is wrong when the record of an attempt is full.
const TOO_MANY: &str = "more effects than one attempt may have";

/// What one instance's host functions work on.
pub(crate) struct State {
    pub(crate) plugin: String,
    /// What the plugin was called with.
    pub(crate) config: Arc<CallConfig>,
    pub(crate) grants: Grants,
    pub(crate) attempt: Arc<Attempt>,
    pub(crate) table: ResourceTable,
    pub(crate) meter: Meter,
    /// Delegations above this one.
    pub(crate) depth: u32,
    /// Shared with the plugins above and below this one.
    pub(crate) allowance: Arc<Allowance>,
    /// The last operation that failed, for the report if the guest traps.
    pub(crate) last_failure: Arc<Mutex<Option<String>>>,
    /// What the guest logged last at level error: a panic's message.
    pub(crate) last_words: Arc<Mutex<Option<String>>>,
    /// What it printed, if it has WASI.
    pub(crate) printed: wasi::Printed,
}

impl State {
    /// Whose doing it is.
    pub(crate) fn who(&self) -> Who<'_> {
        self.attempt.who(&self.plugin, self.depth)
    }

    /// Counts a host call.
    ///
    /// # Errors
    ///
    /// Ends the guest if it has used up its calls or its time.
    fn enter(&mut self) -> wasmtime::Result<()> {
        if self.attempt.deadline.passed() {
            return Err(wasmtime::Error::new(self.attempt.deadline.stop()));
        }
        match faults::at_host_call() {
            Some(Fault::Deadline) => return Err(wasmtime::Error::new(Stop::Deadline(self.attempt.deadline.time))),
            Some(_) => return Err(wasmtime::Error::new(Trap::UnreachableCodeReached)),
            None => {}
        }
        if !self.allowance.take_call() {
            return Err(wasmtime::Error::new(Stop::HostCalls(self.attempt.runtime.limits.host_calls)));
        }
        Ok(())
    }

    /// Notes what is about to be done, so that it can be taken back.
    fn note(&self, undo: Undo) -> Result<Note, types::Error> {
        self.attempt.note(undo).map_err(|e| {
            let errno = e.raw_os_error().unwrap_or(nix::libc::EIO);
            if errno == nix::libc::EDQUOT {
                return refuse(types::Code::Limit, "journal", TOO_MANY);
            }
            let msg = format!("not done, as it could not be noted how to take it back: {}", kernel::errno_text(errno));
            types::Error { code: types::Code::Io, errno: errno.unsigned_abs(), what: "journal".to_owned(), msg }
        })
    }

    /// Counts an effect that needs no note, as it goes with another.
    fn count(&self) -> Result<Note, types::Error> {
        self.attempt.count().map_err(|_| refuse(types::Code::Limit, "journal", TOO_MANY))
    }

    /// Remembers a failure on its way to the guest.
    fn failed(&self, error: types::Error) -> types::Error {
        let errno = if error.errno == 0 { String::new() } else { format!(" (errno {})", error.errno) };
        let text = system::for_people(&format!("{}: {}{errno}", error.what, error.msg));
        *self.last_failure.lock().expect("no panic with the lock held") = Some(text);
        error
    }
}

/// A kernel's refusal as the WIT has it.
pub(crate) fn kernel_error(error: &kernel::Error) -> types::Error {
    use nix::errno::Errno;
    let errno = error.errno();
    let code = match Errno::from_raw(errno) {
        Errno::ENOENT | Errno::ENODEV | Errno::ESRCH | Errno::EADDRNOTAVAIL => types::Code::NotFound,
        Errno::EEXIST => types::Code::Exists,
        Errno::EBUSY => types::Code::Busy,
        Errno::EPERM | Errno::EACCES => types::Code::Denied,
        Errno::EINVAL | Errno::ERANGE => types::Code::Invalid,
        Errno::EOPNOTSUPP => types::Code::Unsupported,
        Errno::EAGAIN | Errno::EINTR => types::Code::Again,
        Errno::ETIMEDOUT => types::Code::Timeout,
        Errno::EIO | Errno::ENOSPC | Errno::EROFS | Errno::EDQUOT => types::Code::Io,
        _ => types::Code::Other,
    };
    types::Error {
        code,
        errno: u32::try_from(errno).unwrap_or_default(),
        what: error.what().to_owned(),
        msg: error.reason(),
    }
}

/// A refusal by the host itself.
pub(crate) fn refuse(code: types::Code, what: impl Into<String>, msg: impl Into<String>) -> types::Error {
    types::Error { code, errno: 0, what: what.into(), msg: msg.into() }
}
