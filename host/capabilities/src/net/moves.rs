//! Moving a link between the namespaces of a call.

use std::{
    fmt,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::Arc,
};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use wasm_cni_kernel::{self as kernel, Address, Error, IFF_UP, Link, LinkAttrs, LinkRef, Route};

use crate::{
    bindings::types,
    facts::Own,
    failure::{kernel_error, refuse},
    grants::pattern::matches_any,
    needs::Needs,
    record::{
        effect::{Cleanup, Effect},
        scene::{Scene, Shared, tolerate_gone},
    },
    space::{Place, Space},
    state::State,
};

/// `RTPROT_KERNEL` and `RTPROT_RA` (linux/rtnetlink.h): these come by themselves.
const KERNELS_ROUTES: [u8; 2] = [2, 9];

/// A link that went to another namespace.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Moved {
    from: Place,
    to: Place,
    moved: Box<Device>,
}

/// The link, as it was before.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Device {
    link: Link,
    addresses: Vec<Address>,
    routes: Vec<Route>,
    /// What it is to be called there.
    name: String,
    /// Its index there. None if it may still be under its old name, or not there.
    arrived: Option<u32>,
}

/// Moves a link, under the new name and alias of `attrs`.
///
/// # Errors
///
/// `exists` if the name is taken there; nothing is moved then.
pub fn move_link(
    state: &State,
    from: &Arc<Space>,
    index: u32,
    to: &Arc<Space>,
    attrs: &LinkAttrs,
) -> Result<(), types::Error> {
    let what = format!("link-set index {index}");
    let denied = |text: &str| {
        Err(refuse(types::Code::Denied, what.clone(), format!("plugin {:?} has no grant to {text}", state.plugin)))
    };
    if state.grants.move_links.is_empty() {
        return denied("move links between namespaces");
    }
    if Arc::ptr_eq(from, to) {
        return Err(refuse(types::Code::Invalid, what, "the link is in that namespace already"));
    }
    let found = from.netlink(|netlink| {
        let link = netlink.link_get(LinkRef::Index(index))?;
        Ok((link, netlink.addresses(Some(index))?, netlink.routes(Some(index))?))
    });
    let (link, addresses, routes) = found.map_err(|e| kernel_error(&e))?;
    // Under its name on the host, be it where it comes from or where it goes to.
    let name = attrs.name.as_ref().unwrap_or(&link.name).clone();
    let on_host = if from.place() == Place::Host { &link.name } else { &name };
    if !matches_any(&state.grants.move_links, on_host) {
        return denied(&format!("move link {on_host:?} between namespaces"));
    }
    // The kernel would move the link first, and find the name taken then.
    match to.netlink(|netlink| netlink.link_get(LinkRef::Name(&name))) {
        Ok(_) => return Err(taken(what)),
        Err(e) if e.errno() != Errno::ENODEV as i32 => return Err(kernel_error(&e)),
        Err(_) => {}
    }
    let attrs = LinkAttrs { netns: Some(to.netns.as_fd().as_raw_fd()), ..attrs.clone() };
    let device = Box::new(Device { link, addresses, routes, name: name.clone(), arrived: None });
    let mut effect = Moved { from: from.place(), to: to.place(), moved: device };
    let note = state.note(effect.clone())?;
    match from.netlink(|netlink| netlink.link_set(index, &attrs)) {
        Ok(()) => {
            state.attempt.facts().remove_own(from.place(), index);
            // Chained plugins may change its name and MAC.
            if let Ok(link) = to.netlink(|netlink| netlink.link_get(LinkRef::Name(&name))) {
                effect.moved.arrived = Some(link.index);
                state.attempt.amend(note, effect);
                let own = Own { name: link.name, bridge: link.kind == "bridge", moved: true };
                state.attempt.facts().insert_own(to.place(), link.index, own);
            }
            Ok(())
        }
        Err(e) => {
            // It may have arrived and then been refused its name. The first
            // failure is the one to tell.
            if from.netlink(|netlink| netlink.link_get(LinkRef::Index(index))).is_err() {
                let _ = move_back(from, to, &effect.moved);
            }
            state.attempt.strike(note);
            Err(kernel_error(&e))
        }
    }
}

fn taken(what: String) -> types::Error {
    let errno = Errno::EEXIST as i32;
    types::Error { code: types::Code::Exists, errno: errno.unsigned_abs(), what, msg: kernel::errno_text(errno) }
}

/// A link goes back to where it came from, as it was there.
fn move_back(from: &Space, to: &Space, moved: &Device) -> Result<(), Error> {
    let Device { link, addresses, routes, name, arrived } = moved;
    // It did not come to that.
    if arrived.is_none()
        && from.netlink(|n| n.link_get(LinkRef::Index(link.index))).is_ok_and(|found| found.name == link.name)
    {
        return Ok(());
    }
    let get = |link: LinkRef<'_>| to.netlink(|netlink| netlink.link_get(link)).ok();
    let is_it = |found: &Link| found.mac == link.mac && found.kind == link.kind;
    let there = match arrived {
        Some(index) => get(LinkRef::Index(*index)),
        None => [name, &link.name].into_iter().filter_map(|name| get(LinkRef::Name(name))).find(is_it),
    };
    let Some(there) = there else { return Ok(()) };
    // The kernel would move the link first, and find the name taken then.
    if from.netlink(|netlink| netlink.link_get(LinkRef::Name(&link.name))).is_ok() {
        return Err(Error::of_errno(format!("link {:?}", link.name), Errno::EEXIST as i32));
    }
    let attrs = LinkAttrs {
        netns: Some(from.netns.as_fd().as_raw_fd()),
        name: Some(link.name.clone()),
        alias: Some(link.alias.clone()),
        up: Some(link.flags & IFF_UP != 0),
        // Chained plugins may have set them.
        mtu: (there.mtu != link.mtu).then_some(link.mtu),
        mac: (there.mac != link.mac).then(|| link.mac.clone()),
        ..LinkAttrs::default()
    };
    to.netlink(|netlink| netlink.link_set(there.index, &attrs))?;
    from.netlink(|netlink| {
        let index = netlink.link_get(LinkRef::Name(&link.name))?.index;
        if link.master != 0 {
            netlink.link_set(index, &LinkAttrs { master: Some(link.master), ..LinkAttrs::default() })?;
        }
        for address in addresses {
            // The kernel makes link-local ones by itself.
            let _ = netlink.address_add(&Address { link: index, flags: 0, ..address.clone() });
        }
        // Gateways are reached by the routes without one.
        let (near, far): (Vec<_>, Vec<_>) = routes.iter().partition(|route| route.gateway.is_none());
        for route in near.into_iter().chain(far).filter(|route| !KERNELS_ROUTES.contains(&route.protocol)) {
            let _ = netlink.route_add(&Route { link: index, ..route.clone() });
        }
        Ok(())
    })
}

impl Effect for Moved {
    const TAG: &'static str = "link-moved";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        true
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    /// A device that could not go back at DEL stays where it is in use.
    fn cleanup(&self) -> Cleanup {
        Cleanup::Collect
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<(), String> {
        match (scene.at(self.from), scene.at(self.to)) {
            (Some(from), Some(to)) => tolerate_gone(move_back(from, to, &self.moved)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "move of link {:?} to the {} namespace", self.moved.link.name, self.to)
    }
}
