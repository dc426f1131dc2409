//! Moving a link between the namespaces of a call.

use std::{
    fmt,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::Arc,
};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use wasm_cni_kernel::{self as kernel, Link, LinkAttrs, LinkRef};

use crate::{
    bindings::types,
    device::{Device, Whereabouts, free_index},
    facts::Own,
    failure::{kernel_error, refuse},
    grants::pattern::matches_any,
    needs::Needs,
    record::{
        effect::{Cleanup, Effect, Undone},
        scene::{Scene, Shared},
    },
    space::{Place, Space},
    state::State,
};

/// A link that went to another namespace.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Moved {
    from: Place,
    to: Place,
    device: Box<Device>,
}

/// Moves a link, under the new name and alias of `attrs`.
///
/// # Errors
///
/// `exists` if the name is taken there; nothing is moved then. `not-found` for a link of the container that is not the
/// device which went in.
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
    let link = from.netlink(|netlink| netlink.link_get(LinkRef::Index(index))).map_err(|e| kernel_error(&e))?;
    // Its name on the host, be it where it comes from or where it goes to, is what the policy is about.
    let goes_home = from.place() != Place::Host;
    let recorded = if goes_home { recorded(state, &link, to, from)? } else { None };
    let attrs = match &recorded {
        // What the container has made of it does not count.
        Some(device) => {
            let Link { name, mtu, mac, .. } = &device.link;
            LinkAttrs {
                name: Some(name.clone()),
                mtu: Some(*mtu).filter(|mtu| *mtu != link.mtu),
                mac: Some(mac.clone()).filter(|mac| *mac != link.mac),
                ..attrs.clone()
            }
        }
        None => attrs.clone(),
    };
    let name = attrs.name.as_ref().unwrap_or(&link.name).clone();
    let on_host = if goes_home { &name } else { &link.name };
    if !matches_any(&state.grants.move_links, on_host) {
        return denied(&format!("move link {on_host:?} between namespaces"));
    }
    let is_unknown = goes_home && recorded.is_none();
    let not_it = |what: String| {
        let text = "of the container is not the device that was moved into it, by the attachment's record";
        Err(refuse(types::Code::NotFound, what, format!("link {:?} {text}", link.name)))
    };
    if is_unknown && (attrs.name.is_none() || !comes_from_a_host(state, &link)) {
        return not_it(what);
    }
    // The kernel would move the link first, and find the name taken then.
    match to.netlink(|netlink| netlink.link_get(LinkRef::Name(&name))) {
        // The device that had it is there.
        Ok(_) if is_unknown => return not_it(what),
        Ok(_) => return Err(taken(what)),
        Err(e) if e.errno() != Errno::ENODEV as i32 => return Err(kernel_error(&e)),
        Err(_) => {}
    }
    if let Some(device) = &recorded {
        device.drop_names_of_container(link.index, from).map_err(|e| kernel_error(&e))?;
    }
    move_free(state, from, link, to, attrs, &name)
}

/// The same, to where its name is free.
fn move_free(
    state: &State,
    from: &Space,
    link: Link,
    to: &Space,
    attrs: LinkAttrs,
    name: &str,
) -> Result<(), types::Error> {
    let (host, sandbox) = if from.place() == Place::Host { (from, to) } else { (to, from) };
    let index = link.index;
    let there = free_index(to, index).map_err(|e| kernel_error(&e))?;
    let attrs = LinkAttrs { netns: Some(to.netns.as_fd().as_raw_fd()), index: Some(there), ..attrs };
    let is_bridge = link.kind == "bridge";
    let device = Box::new(Device::of(link, from, there).map_err(|e| kernel_error(&e))?);
    let mut effect = Moved { from: from.place(), to: to.place(), device };
    let note = state.note(effect.clone())?;
    match from.netlink(|netlink| netlink.link_set(index, &attrs)) {
        Ok(()) => {
            state.attempt.facts().remove_own(from.place(), index);
            // Before Linux 5.13, the kernel chooses the index.
            if to.place() == Place::Sandbox
                && let Ok(Whereabouts::Container(found)) = effect.device.find(host, sandbox)
                && found.index != there
            {
                effect.device.index = found.index;
                state.attempt.done(note, effect.clone());
            }
            let arrived = if to.place() == Place::Sandbox { effect.device.index } else { there };
            let own = Own { name: name.to_owned(), bridge: is_bridge, moved: true };
            state.attempt.facts().insert_own(to.place(), arrived, own);
            Ok(())
        }
        Err(e) => {
            // It may have arrived and then been refused its name. The first
            // failure is the one to tell.
            if from.netlink(|netlink| netlink.link_get(LinkRef::Index(index))).is_err()
                && let Ok(at) = effect.device.find(host, sandbox)
            {
                let _ = effect.device.bring_home(&at, host, sandbox);
            }
            state.attempt.strike(note);
            Err(kernel_error(&e))
        }
    }
}

/// The device that a link of the container is, by what the attachment's ADD has recorded.
fn recorded(state: &State, link: &Link, host: &Space, sandbox: &Space) -> Result<Option<Box<Device>>, types::Error> {
    let kept = state.plugins.kept(&state.attempt).unwrap_or_default();
    for entry in state.attempt.recorded().into_iter().chain(kept) {
        let Some(moved) = entry.as_any().downcast_ref::<Moved>().filter(|moved| moved.from == Place::Host) else {
            continue;
        };
        let is_rehearsed = state.attempt.is_rehearsed() && moved.device.index == link.index;
        let at = moved.device.find(host, sandbox).map_err(|e| kernel_error(&e))?;
        if is_rehearsed || matches!(at, Whereabouts::Container(found) if found.index == link.index) {
            return Ok(Some(moved.device.clone()));
        }
    }
    Ok(None)
}

/// Without any record, as when another implementation did the ADD: no container can make hardware, nor one end of a pair whose
/// other end is in a namespace that it is not in. The name has to be free: it is only what the alias says.
fn comes_from_a_host(state: &State, link: &Link) -> bool {
    (!link.device.is_empty() || link.parent_nsid.is_some()) && state.plugins.kept(&state.attempt).is_none()
}

fn taken(what: String) -> types::Error {
    let errno = Errno::EEXIST as i32;
    types::Error { code: types::Code::Exists, errno: errno.unsigned_abs(), what, msg: kernel::errno_text(errno) }
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

    /// Whatever the plugin has found, the device goes home.
    fn cleanup(&self) -> Cleanup {
        Cleanup::Detach
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        // One that came home stays there.
        if self.from != Place::Host {
            return Ok(Undone::All);
        }
        let Some(sandbox) = scene.at(Place::Sandbox) else {
            // A namespace that ends takes it along, or gives it back. One that is only out of reach still has it.
            return match self.device.find_from(&scene.host).map_err(|e| e.to_string())? {
                Whereabouts::Elsewhere { nsid, index } => Err(format!(
                    "its network namespace is not at {:?} any more, and is still there: the host numbers it {nsid} (`ip netns \
                     list-id`); its index there is {index}",
                    scene.netns
                )),
                _ => Ok(Undone::All),
            };
        };
        let at = self.device.find(&scene.host, sandbox).map_err(|e| e.to_string())?;
        match at {
            Whereabouts::Elsewhere { nsid, index } => {
                return Err(format!(
                    "the container has moved it to another network namespace, which the host numbers {nsid} (`ip netns \
                     list-id`); its index there is {index}"
                ));
            }
            Whereabouts::Unknown if !self.device.link.device.is_empty() => {
                let text = "the container has moved it to another network namespace, and it comes back when that ends";
                return Err(text.to_owned());
            }
            Whereabouts::Unknown => return Ok(Undone::Another("the container has deleted it".to_owned())),
            _ => {}
        }
        self.device.bring_home(&at, &scene.host, sandbox).map(|()| Undone::All).map_err(|e| e.to_string())
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "move of link {:?} to the {} namespace", self.device.link.name, self.to)
    }
}
