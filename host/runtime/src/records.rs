//! What an attachment consists of, from its ADD to its DEL: the record of the
//! ADD's effects, kept below `/run`. DEL removes by it what the plugins no longer
//! find, because the configuration has changed, a cached result is lost or a
//! namespace is out of reach; GC, what is not valid any more.
//!
//! A folder for each namespace that is a host's. With a reboot all of it is gone,
//! attachments and records. That a record cannot be kept is no reason to refuse
//! an ADD.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use wasm_cni_kernel::{Netns, entries};

use crate::{
    attempt::Attempt,
    host::space::Space,
    journal::{self, Attached},
    plugin::Inner,
    undo::{self, Undo},
    wire,
};

fn folder(runtime: &Inner, host: &Netns) -> PathBuf {
    runtime.under_root(format!("/run/wasm-cni/attachments/{}", host.id().1))
}

/// By whom it was asked to attach: all plugins of a network, or one by its name.
fn prefix(attempt: &Attempt) -> String {
    match &attempt.plugin {
        None => "list:".to_owned(),
        Some(kind) => format!("plugin:{kind}:"),
    }
}

/// Where the record of an attempt's attachment is kept.
pub(crate) fn path(attempt: &Attempt) -> PathBuf {
    let Attempt { network, container_id, ifname, .. } = attempt;
    folder(&attempt.runtime, &attempt.host.netns).join(format!("{}{network}:{container_id}:{ifname}", prefix(attempt)))
}

/// Where those of attachments are kept, of other networks' too: those by a list
/// of plugins are a list's to find, and those by each of its plugins.
pub(crate) fn all(attempt: &Attempt) -> Vec<PathBuf> {
    let prefix = if attempt.plugin.is_none() { String::new() } else { prefix(attempt) };
    let folder = folder(&attempt.runtime, &attempt.host.netns);
    let entries = entries(&folder).unwrap_or_default();
    let ours = entries.into_iter().filter(|entry| entry.name.as_encoded_bytes().starts_with(prefix.as_bytes()));
    ours.map(|entry| folder.join(entry.name)).collect()
}

/// What the attachment's record says of a component that is not there any more:
/// did it take part, so that all it did is on the record?
pub(crate) fn has_run(attempt: &Attempt, kind: &str) -> bool {
    let is_it = |undo: &Undo| matches!(undo, Undo::Component { kind: ran, .. } if ran == kind);
    journal::attached(&path(attempt)).is_some_and(|attached| attached.entries.iter().any(is_it))
}

/// After the plugins have done their part of a DEL: what they have left goes. If
/// they could not do it, what an executable did for them goes as well. Gives the
/// failures.
pub(crate) fn finish(attempt: &Attempt, failed: bool) -> Vec<String> {
    let paths = match attempt.plugin {
        Some(_) => vec![path(attempt)],
        // Also that of a runtime which calls each plugin by its name.
        None => {
            let Attempt { network, container_id, ifname, .. } = attempt;
            let end = format!(":{network}:{container_id}:{ifname}");
            let is_it = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(&end));
            all(attempt).into_iter().filter(is_it).collect()
        }
    };
    paths.iter().flat_map(|path| finish_one(attempt, path, failed)).collect()
}

fn finish_one(attempt: &Attempt, path: &Path, failed: bool) -> Vec<String> {
    let Some(attached) = journal::attached(path) else { return Vec::new() };
    // The cached result is the caller's to keep or to remove, and a device that
    // could not go back stays where it is in use.
    let is_others = |undo: &Undo| matches!(undo, Undo::File { .. } | Undo::LinkMoved { .. });
    let entries = attached.entries.into_iter().filter(|undo| !is_others(undo)).collect();
    let attached = Attached { entries, ..attached };
    let failures = take_back(&attempt.runtime, &attempt.host, &attached, failed);
    if failures.is_empty() {
        let _ = fs::remove_file(path);
    }
    failures
}

/// Takes back the attachments of a network that are not among `live`. Gives the
/// failures.
pub(crate) fn collect(attempt: &Attempt, live: &[wire::Attachment]) -> Vec<String> {
    let mut failures = Vec::new();
    for path in all(attempt) {
        let Some(attached) = journal::attached(&path) else { continue };
        let heading = &attached.heading;
        let is_live =
            |live: &wire::Attachment| live.container_id == heading.container_id && live.ifname == heading.ifname;
        if heading.network != attempt.network || live.iter().any(is_live) {
            continue;
        }
        let left = take_back(&attempt.runtime, &attempt.host, &attached, true);
        if left.is_empty() {
            let _ = fs::remove_file(path);
        } else {
            let what = format!("stale attachment {} {}", heading.container_id, heading.ifname);
            failures.push(format!("could not remove all of {what}: {}", left.join(", ")));
        }
    }
    failures
}

/// What belongs to the attachment alone. Bridges, tables and folders stay, as
/// after any DEL, and so does what goes with the container's interface.
fn take_back(runtime: &Arc<Inner>, host: &Arc<Space>, attached: &Attached, delegated: bool) -> Vec<String> {
    let is_own = |undo: &&Undo| match undo {
        Undo::Link { bridge, .. } => !bridge,
        Undo::LinkMoved { .. } | Undo::EntryCreated { .. } | Undo::File { .. } => true,
        Undo::Masquerade { .. } | Undo::SpoofCheck { .. } => true,
        Undo::Delegated { .. } => delegated,
        _ => false,
    };
    let scene = attached.scene(runtime, host);
    undo::undo(attached.entries.iter().filter(is_own), &scene)
}
