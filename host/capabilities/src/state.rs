//! What one instance's host functions work on, and the one way of calling them.
//!
//! Every function that changes something does, in this order: count the call, check grant, handles and arguments, note the
//! inverse, act. Nothing here believes a guest.

use std::sync::{Arc, Mutex};

use nix::libc;
use serde_json::json;
use wasm_cni_kernel as kernel;
use wasmtime::{Trap, component::ResourceTable};

use crate::{
    attempt::{Attempt, Note},
    bindings::types,
    call::{CallConfig, Plugins},
    cause::{Cause, LastFailure},
    describe::{Describe, Scribe},
    failure::{Failure, GuestError, Reply, refuse},
    faults::{self, Fault},
    grants::Grants,
    limits::{Allowance, Meter, Stop},
    printed::Printed,
    record::effect::Effect,
    text::cut,
    trace::{Begun, Who},
};

/// What is wrong when the record of an attempt is full.
const TOO_MANY: &str = "more effects than one attempt may have";

/// What one instance's host functions work on.
pub struct State {
    /// The plugin's type.
    pub plugin: String,
    /// What the plugin was called with.
    pub config: Arc<CallConfig>,
    /// What it may reach.
    pub grants: Grants,
    /// The operation that it takes part in.
    pub attempt: Arc<Attempt>,
    /// How plugins that it delegates to are run.
    pub plugins: Arc<dyn Plugins>,
    /// What its handles stand for.
    pub table: ResourceTable,
    /// Its memory.
    pub meter: Meter,
    /// Delegations above this one.
    pub depth: u32,
    /// Shared with the plugins above and below this one.
    pub allowance: Arc<Allowance>,
    /// The last operation that failed, for the report if the guest traps or fails.
    pub last_failure: Arc<Mutex<LastFailure>>,
    /// What the guest logged last at level error: a panic's message.
    pub last_words: Arc<Mutex<Option<String>>>,
    /// What it printed, if it has WASI.
    pub printed: Printed,
}

impl State {
    /// Whose doing it is.
    #[must_use]
    pub fn who(&self) -> Who<'_> {
        self.attempt.who(&self.plugin, self.depth)
    }

    /// Does a host function: counts it, traces it, and remembers how it failed.
    ///
    /// # Errors
    ///
    /// The outer ones end the guest.
    pub fn call<T: Describe, E: Describe + GuestError>(
        &mut self,
        function: &'static str,
        arguments: &[(&str, &dyn Describe)],
        f: impl FnOnce(&mut Self) -> Result<T, Failure<E>>,
    ) -> Reply<T, E> {
        let traced = self.begin(function, arguments);
        let done = match self.enter() {
            Ok(()) => f(self),
            Err(ended) => Err(Failure::Ended(ended)),
        };
        if let Err(Failure::Refused(error)) = &done {
            self.remember(error);
        }
        if let Some(traced) = traced {
            let whole = self.attempt.context.trace.is_whole();
            let outcome = match &done {
                Ok(value) => Ok(value.describe(&mut Scribe::new(&self.table, whole))),
                Err(Failure::Refused(error)) => Err(error.describe(&mut Scribe::new(&self.table, whole))),
                Err(Failure::Ended(trap)) => Err(json!({ "trap": cut(&trap.to_string()) })),
            };
            self.end(traced, outcome);
        }
        match done {
            Ok(value) => Ok(Ok(value)),
            Err(Failure::Refused(error)) => Ok(Err(error)),
            Err(Failure::Ended(trap)) => Err(trap),
        }
    }

    /// The same of a function that only ends the guest.
    ///
    /// # Errors
    ///
    /// What ends the guest.
    pub fn call_plain<T: Describe>(
        &mut self,
        function: &'static str,
        arguments: &[(&str, &dyn Describe)],
        f: impl FnOnce(&mut Self) -> wasmtime::Result<T>,
    ) -> wasmtime::Result<T> {
        let done = self.call(function, arguments, |state| f(state).map_err(Failure::<types::Error>::Ended))?;
        done.map_err(|_| wasmtime::Error::msg("it refuses nothing"))
    }

    /// Traces a function that is not counted, so that it does its work also when the guest's calls are used up: the end of
    /// a handle.
    ///
    /// # Errors
    ///
    /// What ends the guest.
    pub fn uncounted(
        &mut self,
        function: &'static str,
        f: impl FnOnce(&mut Self) -> wasmtime::Result<()>,
    ) -> wasmtime::Result<()> {
        let traced = self.begin(function, &[]);
        let done = f(self);
        if let Some(traced) = traced {
            let outcome = done.as_ref().map(|()| serde_json::Value::Null);
            self.end(traced, outcome.map_err(|trap| json!({ "trap": cut(&trap.to_string()) })));
        }
        done
    }

    /// None without a trace: nothing is described then.
    fn begin(&self, function: &'static str, arguments: &[(&str, &dyn Describe)]) -> Option<Traced> {
        if !self.attempt.context.trace.is_on() {
            return None;
        }
        let whole = self.attempt.context.trace.is_whole();
        let arguments = Scribe::new(&self.table, whole).arguments(arguments);
        Some(Traced { function, begun: Begun::now(), arguments })
    }

    fn end(&self, traced: Traced, outcome: Result<serde_json::Value, serde_json::Value>) {
        let Traced { function, begun, arguments } = traced;
        self.attempt.context.trace.called(self.who(), begun, function, arguments, outcome);
    }

    /// For the report, should the guest trap or fail.
    pub fn remember(&self, error: &impl GuestError) {
        if let Some(text) = error.summary() {
            let mut last = self.last_failure.lock().expect("no panic with the lock held");
            *last = LastFailure { summary: Some(text), cause: error.cause() };
        }
    }

    /// For the report, should the guest fail for the same reason.
    pub fn remember_cause(&self, cause: Cause) {
        self.last_failure.lock().expect("no panic with the lock held").cause = Some(cause);
    }

    /// Counts a host call.
    ///
    /// # Errors
    ///
    /// Ends the guest if it has used up its calls or its time.
    pub fn enter(&self) -> wasmtime::Result<()> {
        if self.attempt.deadline.passed() {
            return Err(wasmtime::Error::new(Stop::of(&self.attempt.deadline)));
        }
        match faults::at_host_call() {
            Some(Fault::Deadline) => return Err(wasmtime::Error::new(Stop::Deadline(self.attempt.deadline.time))),
            Some(_) => return Err(wasmtime::Error::new(Trap::UnreachableCodeReached)),
            None => {}
        }
        if !self.allowance.take_call() {
            return Err(wasmtime::Error::new(Stop::HostCalls(self.attempt.context.limits.host_calls)));
        }
        Ok(())
    }

    /// Notes what is about to be done, so that it can be taken back.
    ///
    /// # Errors
    ///
    /// If it could not be noted: then it must not be done.
    pub fn note(&self, effect: impl Effect) -> Result<Note, types::Error> {
        self.attempt.note(effect).map_err(|e| {
            let errno = e.raw_os_error().unwrap_or(libc::EIO);
            if errno == libc::EDQUOT {
                return refuse(types::Code::Limit, "journal", TOO_MANY);
            }
            let msg = format!("refused: cannot write the undo record: {}", kernel::errno_text(errno));
            types::Error { code: types::Code::Io, errno: errno.unsigned_abs(), what: "journal".to_owned(), msg }
        })
    }

    /// Counts an effect that needs no note, as it goes with another.
    ///
    /// # Errors
    ///
    /// If there are too many.
    pub fn count(&self) -> Result<Note, types::Error> {
        self.attempt.count().map_err(|_| refuse(types::Code::Limit, "journal", TOO_MANY))
    }

    /// A refusal for want of a grant to do this.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn deny<T>(&self, what: &str, text: &str) -> Result<T, types::Error> {
        Err(refuse(types::Code::Denied, what, format!("plugin {:?} has no grant {text}", self.plugin)))
    }
}

/// A call that is to go on the trace.
struct Traced {
    function: &'static str,
    begun: Begun,
    arguments: serde_json::Value,
}
