//! Whether who has a lease is still there.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use wasm_cni::{Attachment, Lease, Runtime};

/// Younger than this, a lease may be that of an ADD that is not done yet: its
/// result is written last.
const YOUNG: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Alive,
    /// Nobody's, and why.
    Stale(String),
    /// It may be either, and why.
    Unknown(&'static str),
}

/// The attachments that are known, by the result cache and by the records of
/// their ADDs.
pub(super) struct Known {
    cached: Vec<(String, Attachment)>,
    recorded: Vec<(String, Attachment)>,
    has_cache: bool,
}

impl Known {
    /// `cache` is the folder of the result cache.
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
            Some((_, at)) if at.netns.is_empty() => State::Unknown("it is not known which namespace it is for"),
            Some((_, at)) if Path::new(&at.netns).exists() => State::Alive,
            Some((_, at)) => State::Stale(format!("its namespace {} is gone", at.netns)),
            None if !self.has_cache => State::Unknown("there is no result cache"),
            None if young().is_none_or(|age| age < YOUNG) => State::Unknown("an ADD may be under way"),
            None => State::Stale("no attachment is known that it is for".to_owned()),
        }
    }
}
