//! Why a host function did not succeed, and a refusal's way to the guest.

use nix::errno::Errno;
use wasm_cni_kernel as kernel;
use wasmtime::component::ResourceTableError;

use crate::{
    bindings::{cni, net, store, types},
    cause::Cause,
    text::for_people,
};

/// What a host function gives: the outer failure ends the guest, the inner one is the guest's to handle.
pub type Reply<T, E = types::Error> = wasmtime::Result<Result<T, E>>;

/// Why a host function did not succeed.
#[derive(Debug)]
pub enum Failure<E = types::Error> {
    /// The guest is told.
    Refused(E),
    /// The guest ends: its time or its calls are used up, or a handle is not one of its own.
    Ended(wasmtime::Error),
}

impl<E> From<E> for Failure<E> {
    fn from(error: E) -> Self {
        Self::Refused(error)
    }
}

impl<E> Failure<E> {
    /// The guest ends.
    pub fn ended(error: impl Into<wasmtime::Error>) -> Self {
        Self::Ended(error.into())
    }

    /// A handle that is not one of the guest's.
    pub fn handle(error: ResourceTableError) -> Self {
        Self::Ended(error.into())
    }
}

/// An error of the WIT.
pub trait GuestError {
    /// What the report quotes if the guest then traps: operation and reason, on one line.
    fn summary(&self) -> Option<String>;

    /// What an error of the guest is about, if it comes from this one.
    fn cause(&self) -> Option<Cause>;
}

impl GuestError for types::Error {
    fn summary(&self) -> Option<String> {
        let errno = if self.errno == 0 { String::new() } else { format!(" (errno {})", self.errno) };
        Some(for_people(&format!("{}: {}{errno}", self.what, self.msg)))
    }

    fn cause(&self) -> Option<Cause> {
        Some(Cause::of_refusal(self))
    }
}

impl GuestError for net::CommitError {
    fn summary(&self) -> Option<String> {
        self.cause.summary()
    }

    fn cause(&self) -> Option<Cause> {
        self.cause.cause()
    }
}

impl GuestError for store::ChangeError {
    fn summary(&self) -> Option<String> {
        self.cause.summary()
    }

    fn cause(&self) -> Option<Cause> {
        self.cause.cause()
    }
}

impl GuestError for cni::Failure {
    /// It does not say which plugin failed; whoever delegates to it does.
    fn summary(&self) -> Option<String> {
        None
    }

    fn cause(&self) -> Option<Cause> {
        None
    }
}

/// A refusal by the kernel.
#[must_use]
pub fn kernel_error(error: &kernel::Error) -> types::Error {
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
#[must_use]
pub fn refuse(code: types::Code, what: impl Into<String>, msg: impl Into<String>) -> types::Error {
    types::Error { code, errno: 0, what: what.into(), msg: msg.into() }
}
