//! What an attachment consists of, from its ADD to its DEL: the record of the
//! ADD's effects, kept below `/run`. DEL removes by it what the plugins no longer
//! find, because the configuration has changed, a cached result is lost or a
//! namespace is out of reach; GC, what is not valid any more.
//!
//! A directory for each namespace that is a host's. With a reboot all of it is gone,
//! attachments and records. That a record cannot be kept is no reason to refuse
//! an ADD.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use wasm_cni_capabilities::{
    attempt::Attempt,
    bindings::cni::Attachment,
    context::Context,
    record::{
        self,
        attached::{Attached, attached},
        component::Component,
        effect::Cleanup,
        name, prefix, undo,
    },
    space::Space,
};
use wasm_cni_kernel::entries;

/// Where the records of attachments are kept, of other networks' too: those by a list of plugins are a list's to find, and
/// those by each of its plugins.
pub(crate) fn all(attempt: &Attempt) -> Vec<PathBuf> {
    let prefix = if attempt.plugin.is_none() { String::new() } else { prefix(attempt.plugin.as_deref()) };
    let Ok(directory) = record::attachments(&attempt.context, &attempt.host.netns) else { return Vec::new() };
    let entries = entries(&directory).unwrap_or_default();
    let ours = entries.into_iter().filter(|entry| entry.name.as_encoded_bytes().starts_with(prefix.as_bytes()));
    ours.map(|entry| directory.join(entry.name)).collect()
}

/// What the attachment's record says of a component that is not there any more:
/// did it take part, so that all it did is on the record?
pub(crate) fn has_run(attempt: &Attempt, kind: &str) -> bool {
    let Some(record) = attempt.record_path().ok().and_then(|path| attached(&path)) else { return false };
    let components = record.entries.iter().filter_map(|entry| entry.as_any().downcast_ref::<Component>());
    components.into_iter().any(|component| component.kind == kind)
}

/// The records of this attempt's attachment that are there.
pub(crate) fn of(attempt: &Attempt) -> Vec<PathBuf> {
    match attempt.plugin {
        Some(_) => attempt.record_path().into_iter().filter(|path| path.exists()).collect(),
        // Also that of a runtime which calls each plugin by its name.
        None => {
            let end = format!(":{}", name(&attempt.owner()));
            let is_it = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(&end));
            all(attempt).into_iter().filter(is_it).collect()
        }
    }
}

/// After the plugins have done their part of a DEL: what they have left goes. If
/// they could not do it, what an executable did for them goes as well. Gives the
/// failures.
pub(crate) fn finish(attempt: &Attempt, failed: bool) -> Vec<String> {
    of(attempt).iter().flat_map(|path| finish_one(attempt, path, failed)).collect()
}

fn finish_one(attempt: &Attempt, path: &Path, failed: bool) -> Vec<String> {
    let Some(attached) = attached(path) else { return Vec::new() };
    // By now this process may not open it any more.
    let sandbox = attempt.sandbox().ok().flatten();
    let sandbox = sandbox.filter(|space| attached.is_in(&space.netns));
    let failures = take_back(&attempt.context, &attempt.host, &attached, sandbox, |cleanup| match cleanup {
        Cleanup::Detach => true,
        Cleanup::DetachAfterFailure => failed,
        Cleanup::Collect | Cleanup::Never => false,
    });
    if failures.is_empty() {
        let _ = fs::remove_file(path);
    }
    failures
}

/// Takes back the attachments of a network that are not among `live`. Gives the
/// failures.
pub(crate) fn collect(attempt: &Attempt, live: &[Attachment]) -> Vec<String> {
    let mut failures = Vec::new();
    for path in all(attempt) {
        let Some(attached) = attached(&path) else { continue };
        let heading = &attached.heading;
        let is_live = |live: &Attachment| live.container_id == heading.container_id && live.ifname == heading.ifname;
        if heading.network != attempt.network || live.iter().any(is_live) {
            continue;
        }
        let left = take_back(&attempt.context, &attempt.host, &attached, None, |cleanup| cleanup != Cleanup::Never);
        if left.is_empty() {
            let _ = fs::remove_file(path);
        } else {
            let what = format!("stale attachment {} {}", heading.container_id, heading.ifname);
            failures.push(format!("could not remove all of {what}: {}", left.join(", ")));
        }
    }
    failures
}

/// What belongs to the attachment alone. Bridges, tables and directories stay, as after any DEL, and so does what goes with
/// the container's interface. `sandbox` is the container's namespace, if it is open already.
fn take_back(
    context: &Arc<Context>,
    host: &Arc<Space>,
    attached: &Attached,
    sandbox: Option<Arc<Space>>,
    goes: impl Fn(Cleanup) -> bool,
) -> Vec<String> {
    let mut scene = attached.scene(context, host);
    scene.sandbox = sandbox.or(scene.sandbox);
    undo::undo(attached.entries.iter().filter(|entry| goes(entry.cleanup())), &scene)
}
