//! What the operations of one commit share: its namespaces, what it has made, and doing an effect with its inverse noted.

use std::sync::Arc;

use wasm_cni_kernel as kernel;

use crate::{
    attempt::Note,
    bindings::{net, types},
    convert,
    facts::{Facts, Own},
    failure::{kernel_error, refuse},
    grants::table::Operation,
    record::effect::Effect,
    space::{RouteSocket, Space},
    state::State,
};

/// The operation that failed, by its place in the list, and why.
pub type Failed = (usize, types::Error);

/// A list of operations that is being done.
pub struct Commit<'a> {
    /// Whose doing it is.
    pub state: &'a State,
    /// Its namespaces.
    pub spaces: &'a [Arc<Space>],
    /// What the operations so far have made.
    pub made: Vec<Option<net::Made>>,
    /// Which failures of the current operation count as success.
    pub tolerance: net::Tolerance,
}

impl Commit<'_> {
    /// One of the commit's namespaces.
    ///
    /// # Errors
    ///
    /// If it has no such namespace.
    pub fn space(&self, ns: u32, what: &str) -> Result<Arc<Space>, types::Error> {
        let space = usize::try_from(ns).ok().and_then(|ns| self.spaces.get(ns)).cloned();
        space.ok_or_else(|| refuse(types::Code::Invalid, what, format!("there is no namespace {ns} in this commit")))
    }

    /// Whether the grants name this kind of change.
    ///
    /// # Errors
    ///
    /// `denied`, with what to add to the policy.
    pub fn may_do(&self, operation: Operation, what: &str) -> Result<(), types::Error> {
        if self.state.grants.operations.contains(&operation) {
            return Ok(());
        }
        let (name, plugin) = (operation.name(), &self.state.plugin);
        let text = format!("for operations of this kind: add {name:?} to `operations` of [plugins.{plugin}]");
        self.state.deny(what, &text)
    }

    /// The index of a link.
    ///
    /// # Errors
    ///
    /// `not-found`; `invalid` for what cannot be one.
    pub fn link(&self, space: &Space, link: &net::LinkRef, what: &str) -> Result<u32, types::Error> {
        match link {
            net::LinkRef::Index(0) => Err(refuse(types::Code::Invalid, what, "no link has index 0")),
            net::LinkRef::Index(index) => i32::try_from(*index)
                .map(|_| *index)
                .map_err(|_| refuse(types::Code::Invalid, what, format!("no link has index {index}"))),
            net::LinkRef::Name(name) => {
                convert::link_name(name, what)?;
                if let Some((index, _)) = self.facts().own_named(space.place(), name) {
                    return Ok(index);
                }
                let found = space.netlink(|netlink| netlink.link_get(kernel::LinkRef::Name(name)));
                Ok(found.map_err(|e| kernel_error(&e))?.index)
            }
            net::LinkRef::Made(i) => {
                let made = usize::try_from(*i).ok().and_then(|i| self.made.get(i)).and_then(Option::as_ref);
                let text = || format!("operation {i} of this commit made no link");
                made.map(|made| made.index).ok_or_else(|| refuse(types::Code::Invalid, what, text()))
            }
        }
    }

    /// Does what has been checked, to a link, with its inverse noted. `is_so` says whether it is so already.
    ///
    /// # Errors
    ///
    /// What the operation does not tolerate.
    pub fn effect<E: Effect>(
        &self,
        space: &Space,
        link: u32,
        effect: E,
        is_so: impl FnOnce(&mut dyn RouteSocket, &E) -> Result<bool, kernel::Error>,
        act: impl FnOnce(&mut dyn RouteSocket, &E) -> Result<(), kernel::Error>,
    ) -> Result<(), types::Error> {
        if self.is_alone(space, link) {
            // It goes with the link.
            let note = self.state.count()?;
            return self.noted(space, note, |netlink| act(netlink, &effect)).map(drop);
        }
        self.note_unless_so(space, effect, is_so, act)
    }

    /// Does something with its inverse noted. If it is so already, the inverse would undo what somebody else has done: then it
    /// is noted afterwards, should the kernel do it all the same.
    ///
    /// # Errors
    ///
    /// What the operation does not tolerate.
    pub fn note_unless_so<E: Effect>(
        &self,
        space: &Space,
        effect: E,
        is_so: impl FnOnce(&mut dyn RouteSocket, &E) -> Result<bool, kernel::Error>,
        act: impl FnOnce(&mut dyn RouteSocket, &E) -> Result<(), kernel::Error>,
    ) -> Result<(), types::Error> {
        let undoes = self.state.attempt.undoes();
        if undoes && space.netlink(|netlink| is_so(netlink, &effect)).map_err(|e| kernel_error(&e))? {
            let note = self.state.count()?;
            if self.noted(space, note, |netlink| act(netlink, &effect))?.is_some() {
                self.state.note(effect)?;
            }
            return Ok(());
        }
        let note = self.state.note(effect.clone())?;
        self.noted(space, note, |netlink| act(netlink, &effect)).map(drop)
    }

    /// Does what has been noted. None if it was not done, which is tolerated.
    ///
    /// # Errors
    ///
    /// What the operation does not tolerate.
    pub fn noted(
        &self,
        space: &Space,
        note: Note,
        act: impl FnOnce(&mut dyn RouteSocket) -> Result<(), kernel::Error>,
    ) -> Result<Option<()>, types::Error> {
        let done = self.tolerated(space.netlink(act).map_err(|e| kernel_error(&e)));
        // That it was there, or not there, before is not this attempt's doing.
        if !matches!(done, Ok(Some(()))) {
            self.state.attempt.strike(note);
        }
        done
    }

    /// Does all that is done to this link go with it?
    #[must_use]
    pub fn is_alone(&self, space: &Space, index: u32) -> bool {
        self.facts().own(space.place(), index).is_some_and(Own::is_alone)
    }

    /// `Some` if it was done, `None` if it failed in a way that the operation tolerates.
    ///
    /// # Errors
    ///
    /// Any other failure.
    pub fn tolerated<T>(&self, result: Result<T, types::Error>) -> Result<Option<T>, types::Error> {
        let error = match result {
            Ok(value) => return Ok(Some(value)),
            Err(error) => error,
        };
        let tolerated = match self.tolerance {
            net::Tolerance::Strict => false,
            net::Tolerance::OkIfExists => matches!(error.code, types::Code::Exists),
            net::Tolerance::OkIfMissing => matches!(error.code, types::Code::NotFound),
            // The kernel's failures only: a refusal by the host stays one.
            net::Tolerance::BestEffort => error.errno != 0,
        };
        if tolerated { Ok(None) } else { Err(error) }
    }

    /// What the attempt has learned. Not to be held while something is asked of it again.
    pub fn facts(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.state.attempt.facts()
    }
}
