//! `delegate`: another plugin, in an instance and with grants of its own.

use super::{State, refuse};
use crate::{
    bindings::{delegate, types},
    error::CniError,
    instance::{self, Verb},
    plugin::{self, Command},
    result::Success,
    wire,
};

type Reply<T> = wasmtime::Result<Result<T, wire::Failure>>;

impl delegate::Host for State {
    fn add(&mut self, plugin: String) -> Reply<wire::Output> {
        let result = self.delegate(&plugin, Verb::Call(Command::Add))?;
        Ok(result.map(|success| wire::output(&success.unwrap_or_default())))
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
        Ok(self.delegate(&plugin, Verb::Gc(live))?.map(drop))
    }
}

impl State {
    fn delegate(&mut self, kind: &str, verb: Verb) -> Reply<Option<Success>> {
        self.enter()?;
        let result = self.checked_delegate(kind, verb);
        Ok(result.map_err(|error| {
            self.failed(refuse(types::Code::Other, format!("delegate {kind:?}"), error.to_string()));
            wire::failure(error)
        }))
    }

    fn checked_delegate(&self, kind: &str, verb: Verb) -> Result<Option<Success>, CniError> {
        plugin::check_name(kind)?;
        if !self.grants.delegates.iter().any(|granted| granted == kind) {
            let text = format!("plugin {:?} has no grant to delegate to {kind:?}", self.plugin);
            return Err(CniError::internal(text));
        }
        if self.depth >= self.attempt.runtime.limits.depth {
            let text = format!("plugin {:?} delegates more than {} deep", self.plugin, self.depth);
            return Err(CniError::internal(text));
        }
        let request =
            instance::Request { kind, config: self.config.clone(), previous: Ok(None), verb, depth: self.depth + 1 };
        instance::run(&self.attempt, request)
    }
}
