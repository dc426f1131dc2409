//! Where effects are taken back.

use std::{fmt, fs::File, os::fd::AsFd as _, sync::Arc, time::Duration};

use nix::{
    fcntl::{Flock, FlockArg},
    libc::{EADDRNOTAVAIL, ENODEV, ENOENT, ESRCH},
};
use wasm_cni_kernel::{Error, LinkRef, Netns};
use wasm_cni_spec::attachment::Owner;
use wasm_cni_state::{deadline::Deadline, files::lock_file};

use crate::{
    context::Context,
    space::{Place, RouteSocket, Space},
    trace::Who,
    vlan_interface,
};

/// Time for one lock while taking effects back.
pub const LOCK_TIME: Duration = Duration::from_secs(2);

/// What others may use too, so that it goes only if nobody does.
#[derive(Clone, Copy, Debug)]
pub enum Shared<'a> {
    /// A bridge: used if it has ports.
    Bridge(Place, LinkRef<'a>),
    /// The host's interface in a VLAN of a bridge: used if others are in the VLAN.
    Vlan(Place, LinkRef<'a>),
    /// Something whose own inverse leaves it alone if it is in use.
    Other,
}

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

    /// A bridge that other attachments may use, or an interface in one of its VLANs, if this link is one.
    #[must_use]
    pub fn shared_bridge(&self, place: Place, link: u32) -> Option<Shared<'static>> {
        let (space, link) = (self.at(place)?, LinkRef::Index(link));
        let found = space.netlink(|netlink| netlink.link_get(link)).ok()?;
        let is_of_vlan = || vlan_interface::bridge_of(space, &found).is_some();
        match found.kind.as_str() {
            "bridge" => Some(Shared::Bridge(place, link)),
            _ => is_of_vlan().then_some(Shared::Vlan(place, link)),
        }
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
