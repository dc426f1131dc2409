//! `delegate`: another plugin, in an instance and with grants of its own.

use std::sync::Arc;

use super::{State, refuse};
use crate::{
    bindings::{delegate, types},
    dispatch::{self, Labelled, Level, Verb},
    error::CniError,
    plugin::{self, Command},
    wire,
};

type Reply<T> = wasmtime::Result<Result<T, wire::Failure>>;

impl delegate::Host for State {
    fn add(&mut self, plugin: String) -> Reply<wire::Output> {
        let result = self.delegate(&plugin, Verb::Call(Command::Add))?;
        Ok(result.map(|result| wire::output(&result.map(|r| r.success).unwrap_or_default())))
    }

    fn del(&mut self, plugin: String) -> Reply<()> {
        Ok(self.delegate(&plugin, Verb::Call(Command::Del))?.map(drop))
    }

    fn check(&mut self, plugin: String) -> Reply<()> {
        Ok(self.delegate(&plugin, Verb::Call(Command::Check))?.map(drop))
    }

    fn status(&mut self, plugin: String) -> Reply<()> {
        Ok(self.delegate(&plugin, Verb::Status)?.map(drop))
    }

    fn gc(&mut self, plugin: String, live: Vec<wire::Attachment>) -> Reply<()> {
        // The guest may have left some out.
        let live = self.attempt.known().with_live(live);
        Ok(self.delegate(&plugin, Verb::Gc(Some(live)))?.map(drop))
    }
}

impl State {
    fn delegate(&mut self, kind: &str, verb: Verb) -> Reply<Option<Labelled>> {
        self.enter()?;
        let result = self.checked_delegate(kind, verb);
        Ok(result.map_err(|error| {
            self.failed(refuse(types::Code::Other, format!("delegate {kind:?}"), error.to_string()));
            wire::failure(error)
        }))
    }

    fn checked_delegate(&self, kind: &str, verb: Verb) -> Result<Option<Labelled>, CniError> {
        plugin::check_name(kind)?;
        if !self.grants.delegates.iter().any(|granted| granted == kind) {
            let text = format!("plugin {:?} has no grant to delegate to {kind:?}", self.plugin);
            return Err(CniError::internal(text));
        }
        // A GC in an ADD would free what all others have.
        let (wanted, command) = (verb.command(), self.attempt.command);
        if wanted != command && (wanted, command) != (Command::Del, Command::Add) {
            let text = format!("plugin {:?} has no grant to delegate {wanted} during {command}", self.plugin);
            return Err(CniError::internal(text));
        }
        if self.depth >= self.attempt.runtime.limits.depth {
            let text = format!("plugin {:?} delegates more than {} deep", self.plugin, self.depth);
            return Err(CniError::internal(text));
        }
        if matches!(verb, Verb::Call(Command::Add))
            && let Some(undo) = dispatch::undo_delegation(&self.attempt, kind, &self.config)?
        {
            // It may do half and fail: the note stays.
            self.note(undo).map_err(|e| CniError::internal(format!("{}: {}", e.what, e.msg)))?;
        }
        let level = Level { depth: self.depth + 1, allowance: Arc::clone(&self.allowance) };
        dispatch::run(&self.attempt, kind, &self.config, verb, level)
    }
}
