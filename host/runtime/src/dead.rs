//! Attachments whose namespace is gone. Where another ADD makes one anew, the lease or the rules of the dead one would be in
//! its way. Where its path is another container's by now, a DEL must not touch that.

use std::{fs, sync::Arc};

use wasm_cni_capabilities::{
    attempt::{Attempt, Subject},
    context::{Context, LogLine},
    record::{
        self,
        attached::{Attached, attached},
        effect::Cleanup,
        undo,
    },
};
use wasm_cni_kernel::Netns;
use wasm_cni_spec::{attachment::Owner, error::CniError};

/// Before an ADD: releases what is on record of the same attachment in a namespace that is gone. If it is still there, the
/// ADD will fail in the reference's words.
pub(crate) fn release(context: &Arc<Context>, subject: &Subject) {
    let Subject { network, container_id, ifname, .. } = subject.clone();
    let owner = Owner { network, container_id, ifname };
    let name = format!("{}{}", record::prefix(subject.plugin.as_deref()), record::name(&owner));
    let Ok(directory) = record::attachments(context, &subject.host.netns) else { return };
    let path = directory.join(name);
    let Some(attached) = attached(&path) else { return };
    // An IPAM plugin that is called by its name knows no namespace. Of one that has been released there is nothing left.
    if attached.sandbox.is_none() || attached.entries.is_empty() {
        return;
    }
    let is_gone = match Netns::open(attached.heading.netns.as_ref()) {
        Ok(netns) => attached.is_elsewhere(&netns),
        Err(e) => e.is_gone(),
    };
    if !is_gone {
        return;
    }
    let scene = attached.scene(context, &subject.host);
    let goes = attached.entries.iter().filter(|entry| entry.cleanup() != Cleanup::Never);
    let failures = undo::undo(goes, &scene);
    let what = "released what an ADD of the same attachment did in a namespace that is gone";
    let message = match failures.is_empty() {
        true => what.to_owned(),
        false => format!("{what}, but not: {}", failures.join(", ")),
    };
    (context.log)(&LogLine::warning("", &owner.network, &owner.container_id, &message));
    if failures.is_empty() {
        let _ = fs::remove_file(path);
    }
}

/// Before a DEL: looks at what its path leads to by now. Gives whether that is another container's namespace. An ADD that was
/// killed has no record any more when it has been taken back: `recovered` is what it was.
pub(crate) fn look(attempt: &Attempt, recovered: Option<&Attached>) -> bool {
    // What cannot be opened, or is the host's, the DEL itself will say.
    let kept = attempt.record_path().ok().and_then(|path| attached(&path));
    let Some(record) = kept.as_ref().or(recovered).filter(|_| !attempt.is_rehearsed()) else { return false };
    let Ok(netns) = Netns::open(attempt.netns.as_ref()) else { return false };
    let is_elsewhere = record.is_elsewhere(&netns);
    let _ = lend_unless(attempt, netns, is_elsewhere);
    is_elsewhere
}

/// Lends the namespace to the attempt, unless its attachment is in another one.
///
/// # Errors
///
/// If it is the host's, and may not be.
pub(crate) fn lend(attempt: &Attempt, netns: Netns) -> Result<(), CniError> {
    let record = attempt.record_path().ok().and_then(|path| attached(&path));
    let is_elsewhere = record.is_some_and(|record| record.is_elsewhere(&netns));
    lend_unless(attempt, netns, is_elsewhere)
}

fn lend_unless(attempt: &Attempt, netns: Netns, is_elsewhere: bool) -> Result<(), CniError> {
    if !is_elsewhere {
        return attempt.lend(netns);
    }
    attempt.warn("", &format!("{} is another container's namespace by now", attempt.netns));
    attempt.lose_sandbox();
    Ok(())
}
