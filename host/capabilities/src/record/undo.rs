//! Taking effects back, in their order.
//!
//! What only one attempt made goes unconditionally. What is shared between attachments, a bridge, its addresses, a table of
//! filters, a network's directory of leases, goes only if nobody else uses it by then, and while no other ADD is under way
//! in the same namespace.

use wasm_cni_kernel::LinkRef;
use wasm_cni_spec::attachment::Owner;
use wasm_cni_state::deadline::Deadline;

use super::{
    effect::{Entry, Undone},
    lock::lock_exclusive,
    scene::{LOCK_TIME, Scene, Shared},
};
use crate::{context::LogLine, space::Space, vlan_interface};

/// Takes effects back, the last first. Returns what could not be taken back, and why.
pub fn undo<'a>(entries: impl DoubleEndedIterator<Item = &'a Entry>, scene: &Scene) -> Vec<String> {
    let mut failures = Vec::new();
    let mut shared = Vec::new();
    for entry in entries.rev() {
        if entry.shared(scene).is_some() {
            shared.push(entry);
        } else {
            failures.extend(take_back(entry, scene));
        }
    }
    failures.extend(undo_shared(&shared, scene));
    failures
}

/// Takes back what is shared, where nobody else uses it.
pub fn tidy(entries: &[Entry], scene: &Scene) -> Vec<String> {
    let shared: Vec<_> = entries.iter().rev().filter(|entry| entry.shared(scene).is_some()).collect();
    undo_shared(&shared, scene)
}

fn undo_shared(shared: &[&Entry], scene: &Scene) -> Vec<String> {
    if shared.is_empty() {
        return Vec::new();
    }
    let Some(_lock) = lock_exclusive(&scene.context, &scene.host.netns, &Deadline::after(LOCK_TIME)) else {
        // Others are attaching all the time, so it is in use.
        return Vec::new();
    };
    let is_unused = |entry: &&&Entry| match entry.shared(scene) {
        Some(Shared::Bridge(at, link)) => scene.at(at).is_some_and(|space| !has_ports(space, link)),
        Some(Shared::Vlan(at, link)) => scene.at(at).is_some_and(|space| !vlan_interface::is_used(space, link)),
        _ => true,
    };
    shared.iter().filter(is_unused).filter_map(|entry| take_back(entry, scene)).collect()
}

/// Returns the failure, if it could not be taken back. Something else in its place is no failure: that is told and left alone.
fn take_back(entry: &Entry, scene: &Scene) -> Option<String> {
    match scene.context.trace.undo(scene.who(""), entry, || entry.take_back(scene)) {
        Ok(Undone::All) => None,
        Ok(Undone::Another(what)) => {
            let Owner { network, container_id, .. } = &scene.owner;
            let message = format!("{entry} was left alone: {what}");
            (scene.context.log)(&LogLine::warning("", network, container_id, &message));
            None
        }
        Err(reason) => Some(format!("{entry} ({reason})")),
    }
}

/// Not being able to tell means that it has: others may be on it.
fn has_ports(space: &Space, bridge: LinkRef<'_>) -> bool {
    let ports = space.netlink(|netlink| {
        let bridge = netlink.link_get(bridge)?.index;
        Ok(match netlink.kernel() {
            Some(kernel) => !kernel.ports(bridge)?.is_empty(),
            None => netlink.links()?.iter().any(|link| link.master == bridge),
        })
    });
    ports.unwrap_or(true)
}
