//! Whether the owner of a lease still exists.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use wasm_cni::{Attachment, Runtime, inspect::Lease};

/// A lease younger than this may belong to an ADD in progress: it writes its result
/// last.
const YOUNG: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Alive,
    /// Nobody owns it, for this reason.
    Stale(String),
    /// It may be either, for this reason.
    Unknown(&'static str),
}

/// The attachments in the result cache and in the records of ADDs.
pub(super) struct Known {
    cached: Vec<(String, Attachment)>,
    recorded: Vec<(String, Attachment)>,
    has_cache: bool,
}

impl Known {
    /// `cache` is the directory of the result cache.
    pub(super) fn of(runtime: &Runtime, cache: &Path) -> Self {
        let cached = runtime.cached(None).into_iter().map(|cached| (cached.network, cached.attachment)).collect();
        Self { cached, recorded: runtime.recorded(), has_cache: cache.is_dir() }
    }

    pub(super) fn state(&self, network: &str, lease: &Lease) -> State {
        if lease.before_this_boot {
            return State::Stale("from before the last boot".to_owned());
        }
        if lease.container_id.is_empty() {
            return State::Stale("the file is empty".to_owned());
        }
        let is_its = |(of, at): &&(String, Attachment)| {
            let same = lease.ifname.is_empty() || lease.ifname == at.ifname;
            of == network && at.container_id == lease.container_id && same
        };
        let attachment = self.cached.iter().find(is_its).or_else(|| self.recorded.iter().find(is_its));
        let young = || lease.since.and_then(|since| SystemTime::now().duration_since(since).ok());
        match attachment {
            Some((_, at)) if at.netns.as_os_str().is_empty() => State::Unknown("its namespace is not known"),
            Some((_, at)) if at.netns.exists() => State::Alive,
            Some((_, at)) => State::Stale(format!("its namespace {} is gone", at.netns.display())),
            None if !self.has_cache => State::Unknown("there is no result cache"),
            None if young().is_none_or(|age| age < YOUNG) => State::Unknown("an ADD may be in progress"),
            None => State::Stale("no attachment uses it".to_owned()),
        }
    }
}
