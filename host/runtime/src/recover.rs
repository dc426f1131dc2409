//! What processes that were killed have left half-done, taken back by whoever
//! comes next.

use std::sync::Arc;

use wasm_cni_capabilities::{
    context::{Context, LogLine},
    record::{
        attached::Attached,
        format,
        orphans::{Orphan, orphans},
        undo,
    },
    space::{HOST, Space},
};
use wasm_cni_spec::error::CniError;

use crate::{progress::Progress, runtime::Runtime};

/// An ADD that did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// The network's name.
    pub network: String,
    /// The container.
    pub container_id: String,
    /// The interface inside the container.
    pub ifname: String,
    /// What it had done, in this order.
    pub effects: Vec<String>,
    /// What could not be taken back, and why.
    pub failures: Vec<String>,
}

impl Runtime {
    /// Takes back what ADDs have left that were killed, also those that have
    /// been tried in vain before. Every ADD, DEL and GC does it for new ones.
    /// With `dry_run` it only says what it would do.
    ///
    /// # Errors
    ///
    /// If the host's namespace can't be opened.
    pub fn recover(&self, dry_run: bool) -> Result<Vec<Recovered>, CniError> {
        let host = Arc::new(Space::new(HOST, self.host_netns()?));
        let id = host.netns.id().map_err(|e| CniError::internal(e.to_string()))?;
        let orphans = orphans(&format::directory(&self.host.context), id, true);
        if dry_run {
            return Ok(orphans.iter().map(found).collect());
        }
        let of = orphans.len();
        let take = |(number, orphan): (usize, Orphan)| {
            let container_id = &*orphan.attached.heading.container_id;
            (self.host.progress)(&Progress::TakingBack { container_id, number: number + 1, of });
            take_back(&self.host.context, &host, orphan)
        };
        let recovered = orphans.into_iter().enumerate().map(take).collect();
        (self.host.progress)(&Progress::Over);
        Ok(recovered)
    }
}

/// Before something else is done in this namespace. Gives what the attachments were that were taken back, without their effects.
pub(crate) fn recover(context: &Arc<Context>, host: &Arc<Space>) -> Vec<Attached> {
    // What cannot be told from another's is left alone.
    let Ok(id) = host.netns.id() else { return Vec::new() };
    let mut all = Vec::new();
    for orphan in orphans(&format::directory(context), id, false) {
        let Attached { heading, sandbox, .. } = &orphan.attached;
        all.push(Attached { heading: heading.clone(), sandbox: *sandbox, entries: Vec::new() });
        let recovered = take_back(context, host, orphan);
        let what = format!("took back {} effects of an ADD that was killed", recovered.effects.len());
        let message = match recovered.failures.is_empty() {
            true => what,
            false => format!("{what}, but not: {}", recovered.failures.join(", ")),
        };
        (context.log)(&LogLine::warning("", &recovered.network, &recovered.container_id, &message));
    }
    all
}

fn found(orphan: &Orphan) -> Recovered {
    Recovered {
        network: orphan.attached.heading.network.clone(),
        container_id: orphan.attached.heading.container_id.clone(),
        ifname: orphan.attached.heading.ifname.clone(),
        effects: orphan.attached.entries.iter().map(ToString::to_string).collect(),
        failures: Vec::new(),
    }
}

fn take_back(context: &Arc<Context>, host: &Arc<Space>, mut orphan: Orphan) -> Recovered {
    orphan.begin();
    let scene = orphan.attached.scene(context, host);
    let failures = undo::undo(orphan.attached.entries.iter(), &scene);
    let recovered = Recovered { failures, ..found(&orphan) };
    if recovered.failures.is_empty() {
        orphan.done()
    } else {
        orphan.stuck()
    }
    recovered
}
