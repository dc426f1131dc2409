//! Where effects are taken back, and the order in which that happens.
//!
//! What only one attempt made goes unconditionally. What is shared between attachments, a bridge, its addresses, a table of
//! filters, a network's directory of leases, goes only if nobody else uses it by then, and while no other ADD is under way
//! in the same namespace.

use std::{fmt, fs::File, os::fd::AsFd as _, sync::Arc, time::Duration};

use nix::{
    fcntl::{Flock, FlockArg},
    libc::{EADDRNOTAVAIL, ENODEV, ENOENT, ESRCH},
};
use wasm_cni_kernel::{Error, LinkRef, Netns};
use wasm_cni_spec::attachment::Owner;
use wasm_cni_state::{deadline::Deadline, files::lock_file};

use super::effect::{Recorded, Shared};
use crate::{
    context::Context,
    space::{Place, RouteSocket, Space},
    trace::Who,
};

/// Time for one lock while taking effects back.
pub const LOCK_TIME: Duration = Duration::from_secs(2);

/// Where effects are taken back.
#[derive(Clone)]
pub struct Scene {
    /// The host's namespace.
    pub host: Arc<Space>,
    /// The container's. None if it is gone, and what was in it.
    pub sandbox: Option<Arc<Space>>,
    /// How executables are run.
    pub context: Arc<Context>,
    /// Whose effects they are.
    pub owner: Owner,
}

impl Scene {
    /// For the trace: the host itself does it, or a plugin.
    #[must_use]
    pub fn who<'a>(&'a self, plugin: &'a str) -> Who<'a> {
        let Owner { network, container_id, ifname } = &self.owner;
        Who { container_id, ifname, network, plugin, depth: 0 }
    }

    /// One of the two namespaces, if it is there.
    #[must_use]
    pub fn at(&self, place: Place) -> Option<&Space> {
        match place {
            Place::Host => Some(&self.host),
            Place::Sandbox => self.sandbox.as_deref(),
        }
    }

    /// Asks the kernel, in a namespace that may be gone.
    ///
    /// # Errors
    ///
    /// As [`tolerate_gone`].
    pub fn netlink(
        &self,
        place: Place,
        f: impl FnOnce(&mut dyn RouteSocket) -> Result<(), Error>,
    ) -> Result<(), String> {
        self.at(place).map_or(Ok(()), |space| tolerate_gone(space.netlink(f)))
    }

    /// A bridge that other attachments may use, if this link is one.
    #[must_use]
    pub fn shared_bridge(&self, place: Place, link: u32) -> Option<Shared<'static>> {
        let get = |space: &Space| space.netlink(|netlink| netlink.link_get(LinkRef::Index(link)));
        let is_bridge = self.at(place).is_some_and(|space| get(space).is_ok_and(|link| link.kind == "bridge"));
        is_bridge.then_some(Shared::Bridge(place, LinkRef::Index(link)))
    }
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene").field("host", &self.host).field("sandbox", &self.sandbox).finish_non_exhaustive()
    }
}

/// What is gone already, most often with its link or its namespace, need not be taken back.
///
/// # Errors
///
/// Any other failure of the kernel, for people.
pub fn tolerate_gone(result: Result<(), Error>) -> Result<(), String> {
    match result {
        Err(e) if ![ENODEV, ENOENT, ESRCH, EADDRNOTAVAIL].contains(&e.errno()) => Err(e.to_string()),
        _ => Ok(()),
    }
}

/// An effect on the record.
pub type Entry = Arc<dyn Recorded>;

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
    let Some(_lock) = lock_exclusive(&scene.host.netns, &Deadline::after(LOCK_TIME)) else {
        // Others are attaching all the time, so it is in use.
        return Vec::new();
    };
    let is_unused = |entry: &&&Entry| match entry.shared(scene) {
        Some(Shared::Bridge(at, link)) => scene.at(at).is_some_and(|space| !has_ports(space, link)),
        _ => true,
    };
    shared.iter().filter(is_unused).filter_map(|entry| take_back(entry, scene)).collect()
}

/// Returns the failure, if it could not be taken back.
fn take_back(entry: &Entry, scene: &Scene) -> Option<String> {
    let done = scene.context.trace.undo(scene.who(""), entry, || entry.take_back(scene));
    done.err().map(|reason| format!("{entry} ({reason})"))
}

fn has_ports(space: &Space, bridge: LinkRef<'_>) -> bool {
    let ports = space.netlink(|netlink| {
        let bridge = netlink.link_get(bridge)?.index;
        Ok(netlink.links()?.iter().any(|link| link.master == bridge))
    });
    ports.unwrap_or(false)
}

/// Exclusive: no ADD is under way in this namespace.
#[must_use]
pub fn lock_exclusive(netns: &Netns, deadline: &Deadline) -> Option<Flock<File>> {
    lock_namespace(netns, FlockArg::LockExclusiveNonblock, deadline)
}

/// The lock is on the namespace itself, which all processes that work in it have in common, so there is no lock file to
/// leave behind. If it is not to be had, ADDs go on without: only tidying up afterwards depends on it.
#[must_use]
pub fn lock_namespace(netns: &Netns, how: FlockArg, deadline: &Deadline) -> Option<Flock<File>> {
    // An open of its own: duplicates of a descriptor share their lock.
    use std::os::fd::AsRawFd as _;
    let file = File::open(format!("/proc/self/fd/{}", netns.as_fd().as_raw_fd())).ok()?;
    lock_file(file, how, deadline).ok()
}
