//! Whether the owner of a lease still exists.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::Path,
    time::{Duration, SystemTime},
};

use wasm_cni::{Attachment, Netns, Runtime, inspect::Lease};

/// A lease younger than this may belong to an ADD in progress: it writes its result
/// last.
const YOUNG: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Alive,
    /// Nobody owns it, for this reason.
    Stale(String),
    /// It may be either, for this reason.
    Unknown(String),
}

/// The attachments in the result cache and in the records of ADDs.
pub(super) struct Known<'a> {
    runtime: &'a Runtime,
    cached: RefCell<BTreeMap<String, Result<Vec<Attachment>, String>>>,
    recorded: Vec<(String, Attachment)>,
    has_cache: bool,
}

impl<'a> Known<'a> {
    /// `cache` is the directory of the result cache.
    pub(super) fn of(runtime: &'a Runtime, cache: &Path) -> Self {
        Self { runtime, cached: RefCell::default(), recorded: runtime.recorded(), has_cache: cache.is_dir() }
    }

    /// The attachments of a network in the result cache, or why they cannot be told.
    fn cached(&self, network: &str) -> Result<Vec<Attachment>, String> {
        let read = || match self.runtime.cached_of(network) {
            Ok(all) => Ok(all.into_iter().map(|cached| cached.attachment).collect()),
            Err(error) => Err(error.to_string()),
        };
        self.cached.borrow_mut().entry(network.to_owned()).or_insert_with(read).clone()
    }

    pub(super) fn state(&self, network: &str, lease: &Lease) -> State {
        if lease.before_this_boot {
            return State::Stale("from before the last boot".to_owned());
        }
        if lease.container_id.is_empty() {
            return State::Stale("the file is empty".to_owned());
        }
        let is_its = |at: &&Attachment| {
            let same = lease.ifname.is_empty() || lease.ifname == at.ifname;
            at.container_id == lease.container_id && same
        };
        let recorded = self.recorded.iter().filter(|(of, _)| of == network).map(|(_, at)| at).find(is_its);
        let cached = self.cached(network);
        let attachment = cached.iter().flatten().find(is_its).or(recorded);
        let young = || lease.since.and_then(|since| SystemTime::now().duration_since(since).ok());
        let Some(at) = attachment else {
            return match cached {
                Err(why) => State::Unknown(why),
                Ok(_) if !self.has_cache => State::Unknown("there is no result cache".to_owned()),
                Ok(_) if young().is_none_or(|age| age < YOUNG) => {
                    State::Unknown("an ADD may be in progress".to_owned())
                }
                Ok(_) => State::Stale("no attachment uses it".to_owned()),
            };
        };
        let netns = at.netns.display();
        match Netns::is_at(&at.netns) {
            _ if at.netns.as_os_str().is_empty() => State::Unknown("its namespace is not known".to_owned()),
            Some(true) => State::Alive,
            Some(false) => State::Stale(format!("its namespace {netns} is gone")),
            None => State::Unknown(format!("its namespace {netns} cannot be looked at")),
        }
    }
}
