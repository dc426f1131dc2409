//! Where effects are taken back.

use std::{fmt, sync::Arc, time::Duration};

use nix::libc::{EADDRNOTAVAIL, ENODEV, ENOENT, ESRCH};
use wasm_cni_kernel::{Error, LinkRef};
use wasm_cni_spec::attachment::Owner;

use super::undone::Undone;
use crate::{
    context::Context,
    link_id::{Found, LinkId},
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
    /// CNI_NETNS of their ADD.
    pub netns: String,
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
    ) -> Result<Undone, String> {
        self.at(place).map_or(Ok(Undone::All), |space| tolerate_gone(space.netlink(f)))
    }

    /// Deletes a link, if it is that one. None if there is none.
    ///
    /// # Errors
    ///
    /// Why it could not be deleted, or the kernel could not say whether it is there.
    pub fn delete(&self, place: Place, link: &LinkId) -> Result<Option<Undone>, String> {
        let Some(space) = self.at(place) else { return Ok(None) };
        match space.netlink(|netlink| link.find(netlink)).map_err(|e| e.to_string())? {
            Found::Here(found) => tolerate_gone(space.netlink(|netlink| netlink.link_del(found.index))).map(Some),
            Found::Gone => Ok(None),
            Found::Another(what) => Ok(Some(Undone::Another(what))),
        }
    }

    /// A bridge that other attachments may use, or an interface in one of its VLANs, if this link is one. What cannot be told
    /// is a bridge.
    #[must_use]
    pub fn shared_bridge(&self, place: Place, link: u32) -> Option<Shared<'static>> {
        let (space, link) = (self.at(place)?, LinkRef::Index(link));
        match space.netlink(|netlink| netlink.link_get(link)) {
            Ok(found) if found.kind == "bridge" => Some(Shared::Bridge(place, link)),
            Ok(found) => vlan_interface::bridge_of(space, &found).is_some().then_some(Shared::Vlan(place, link)),
            Err(e) => (e.errno() != ENODEV).then_some(Shared::Bridge(place, link)),
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
pub fn tolerate_gone(result: Result<(), Error>) -> Result<Undone, String> {
    match result {
        Err(e) if ![ENODEV, ENOENT, ESRCH, EADDRNOTAVAIL].contains(&e.errno()) => Err(e.to_string()),
        _ => Ok(Undone::All),
    }
}
