//! What a change to the kernel is that a guest has asked for, whether it is one of `net.action` or comes from a package of
//! its own.

use std::sync::Arc;

use serde_json::Value;
use wasmtime::component::Resource;

use super::commit::Commit;
use crate::{
    bindings::{net, types},
    describe::{Describe, Scribe},
    grants::table::Operation,
    handles::{Namespace, Pending},
    space::Space,
};

/// One change. Everything that the host has to know of it is in one file: what it is called, which grant it needs, how it
/// is checked and done, and what the trace shows.
pub trait Change {
    /// Its name in the trace and in errors: `addr-add`.
    fn name(&self) -> &'static str;

    /// The kind of change that the plugin's grants have to name.
    fn operation(&self) -> Operation;

    /// Checks it, notes its inverse and does it, in one of the commit's namespaces.
    ///
    /// # Errors
    ///
    /// Why it was refused, or how it failed. What the operation tolerates is a success.
    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error>;

    /// As the trace shows it.
    fn describe(&self, context: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value;
}

/// The handle for a change that a function of another package has described.
#[must_use]
pub fn pending(change: impl Change + Send + 'static) -> Pending {
    let change: Box<dyn Change + Send> = Box::new(change);
    Pending(Box::new(change))
}

/// What [`pending`] made a handle for.
#[must_use]
pub fn described(pending: &Pending) -> Option<&dyn Change> {
    let change = pending.0.downcast_ref::<Box<dyn Change + Send>>()?;
    Some(&**change)
}

/// The namespaces of a commit, by their labels.
#[derive(Clone, Copy)]
pub struct Labels<'a>(pub &'a [Resource<Namespace>]);

impl Labels<'_> {
    /// The label of the namespace with this index, or the index if there is none.
    #[must_use]
    pub fn of(&self, ns: u32, scribe: &mut Scribe<'_>) -> Value {
        let handle = usize::try_from(ns).ok().and_then(|ns| self.0.get(ns));
        handle.map_or_else(|| ns.into(), |handle| handle.describe(scribe))
    }
}
