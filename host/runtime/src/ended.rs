//! How an instance ended without a result, as an error for people.

use std::sync::{Arc, Mutex};

use wasm_cni_capabilities::{bindings::cni, cause::LastFailure, limits::Stop, wire};
use wasm_cni_spec::error::{CniError, ErrorKind};
use wasmtime::Trap;

/// Why there is no result.
pub(crate) enum Ended {
    Refused(cni::Failure),
    InvalidResult(String),
    /// It imports what it is not offered.
    Unlinked(wasmtime::Error),
    Crashed(wasmtime::Error),
    /// It was not called: what it needs it has no grant for.
    Denied(String),
}

impl Ended {
    /// Of an instance that could not be made. Its code may have run already.
    pub(crate) fn before_the_call(error: wasmtime::Error) -> Self {
        if error.is::<Trap>() || error.is::<Stop>() { Self::Crashed(error) } else { Self::Unlinked(error) }
    }

    /// As an error. `during` is the command, or what else it was called for.
    pub(crate) fn error(self, kind: &str, during: &str, traces: &Traces) -> CniError {
        match self {
            Self::Refused(failure) => {
                let error = wire::error(failure);
                match &traces.last_failure.lock().expect("no panic with the lock held").cause {
                    Some(cause) => cause.explain(error),
                    None => error,
                }
            }
            Self::InvalidResult(text) => {
                let text = format!("plugin {kind:?} returned an invalid result of {during}: {text}");
                CniError::internal(text).of_kind(ErrorKind::Crashed)
            }
            Self::Unlinked(error) => {
                let text = format!("plugin {kind:?} asks for a capability that it is not offered");
                CniError::internal(text).details(format!("{error:#}")).of_kind(ErrorKind::NoPlugin)
            }
            Self::Crashed(error) => crashed(kind, during, &error, traces),
            Self::Denied(why) => {
                let remedy = format!("add \"sandbox\" to `namespaces` of [plugins.{kind}] in the policy");
                CniError::internal(format!("plugin {kind:?} was not called: {why}"))
                    .details(remedy)
                    .of_kind(ErrorKind::Denied)
            }
        }
    }
}

/// What an instance leaves behind, for the report if it traps.
#[derive(Clone, Default)]
pub(crate) struct Traces {
    /// The last operation that failed.
    pub(crate) last_failure: Arc<Mutex<LastFailure>>,
    /// What it logged last at level error: a panic's message.
    pub(crate) last_words: Arc<Mutex<Option<String>>>,
}

impl From<wasmtime::Error> for Ended {
    fn from(error: wasmtime::Error) -> Self {
        Self::Crashed(error)
    }
}

impl From<wasmtime::component::ResourceTableError> for Ended {
    fn from(error: wasmtime::component::ResourceTableError) -> Self {
        Self::Crashed(error.into())
    }
}

/// A trap as an error: plugin, operation, cause, and the last operation of the
/// host that failed.
fn crashed(kind: &str, during: &str, error: &wasmtime::Error, traces: &Traces) -> CniError {
    let Traces { last_failure, last_words } = traces;
    let words = last_words.lock().expect("no panic with the lock held").clone();
    let cause = if let Some(stop) = error.downcast_ref::<Stop>() {
        stop.to_string()
    } else {
        match error.downcast_ref::<Trap>() {
            Some(Trap::UnreachableCodeReached) if words.is_some() => "it panicked".to_owned(),
            Some(Trap::StackOverflow) => "it used up its stack".to_owned(),
            // A guest's own stack lies at the start of its memory, so that one
            // that is too deep ends like this too.
            Some(Trap::MemoryOutOfBounds) => "it used memory that it does not have".to_owned(),
            Some(trap) => trap.to_string(),
            None => format!("{error:#}"),
        }
    };
    let verb = if error.is::<Stop>() { "was stopped" } else { "crashed" };
    let reason = match error.downcast_ref::<Stop>() {
        Some(Stop::Deadline(_)) => ErrorKind::TimedOut,
        Some(Stop::Cancelled) => ErrorKind::Cancelled,
        Some(Stop::Memory(_) | Stop::HostCalls(_) | Stop::Handles) => ErrorKind::Limit,
        None => ErrorKind::Crashed,
    };
    let text = format!("plugin {kind:?} {verb} during {during}: {cause}");
    let mut failure = CniError::internal(text).of_kind(reason);
    if let Some(words) = words {
        failure = failure.note(&format!("its last words: {words}"));
    }
    if let Some(operation) = &last_failure.lock().expect("no panic with the lock held").summary {
        failure = failure.note(&format!("the last operation that failed: {operation}"));
    }
    failure
}
