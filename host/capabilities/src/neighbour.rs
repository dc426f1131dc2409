//! `neighbour`: which link-layer address belongs to an address: `ip neighbour replace`, `ip neighbour del`.

use std::{fmt, sync::Arc};

use nix::libc::ENOENT;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasm_cni_kernel::{Error, Neighbour};
use wasmtime::component::{HasSelf, Resource};

use crate::{
    bindings::{neighbours, net, types},
    capability::Capability,
    convert,
    describe::{Describe, Scribe, mac, number, object},
    failure::{Reply, kernel_error, refuse},
    grants::table::Operation,
    handles::{Namespace, Pending},
    needs::Needs,
    net::{
        change::{Change, Labels},
        commit::Commit,
        inside,
        pending::size_of_link,
        read,
    },
    record::{
        effect::{Cleanup, Effect, Undone},
        scene::{Scene, Shared},
    },
    space::{Place, RouteSocket, Space},
    state::State,
    world::World,
};

// linux/neighbour.h
const NTF_PROXY: u8 = 0x08;
const NTF_EXT_LEARNED: u8 = 0x10;
const NTF_ROUTER: u8 = 0x80;
const NUD_NOARP: u16 = 0x40;
const NUD_ALL: u16 = 0xff;

/// `wasm-cni:neighbour/neighbours`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:neighbour/neighbours@0.1.0",
    worlds: &[World::Interface],
    link: |linker| neighbours::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |table| table.namespaces.as_ref().is_some_and(|namespaces| !namespaces.is_empty()),
    abilities: |table, imported, abilities| {
        let changes = [Operation::NeighbourAdd, Operation::NeighbourDel];
        let what = "change neighbours in the container's namespace";
        abilities.say(imported && table.changes_inside(&changes), what);
    },
    needs: |_, _| {},
};

impl neighbours::Host for State {
    fn add(&mut self, neighbour: neighbours::Neighbour) -> wasmtime::Result<Resource<Pending>> {
        self.call_plain("neighbours.add", &[("neighbour", &neighbour)], |state| {
            state.keep(size(&neighbour), Add(neighbour.clone()))
        })
    }

    fn del(&mut self, neighbour: neighbours::Neighbour) -> wasmtime::Result<Resource<Pending>> {
        self.call_plain("neighbours.del", &[("neighbour", &neighbour)], |state| {
            state.keep(size(&neighbour), Delete(neighbour.clone()))
        })
    }

    fn list(&mut self, ns: Resource<Namespace>, link: Option<net::LinkRef>) -> Reply<Vec<neighbours::Neighbour>> {
        self.call("neighbours.list", &[("ns", &ns), ("link", &link)], |state| {
            let space = state.space(&ns)?;
            let link = link.as_ref().map(|link| read::resolve(&space, link, "neighbours")).transpose()?;
            let found = space.netlink(|netlink| netlink.neighbours(link)).map_err(|e| kernel_error(&e))?;
            let wit = |Neighbour { link, ip, mac, state, flags }| {
                let (link, ip) = (net::LinkRef::Index(link), convert::wit_ip(ip));
                neighbours::Neighbour { link, ip, mac, state, flags }
            };
            Ok(inside::listed(found, "neighbours", wit)?)
        })
    }
}

/// The bytes that a guest has sent.
fn size(neighbour: &neighbours::Neighbour) -> usize {
    size_of_link(&neighbour.link) + neighbour.mac.len()
}

/// `RTM_NEWNEIGH`.
struct Add(neighbours::Neighbour);

impl Change for Add {
    fn name(&self) -> &'static str {
        "neighbour-add"
    }

    fn operation(&self) -> Operation {
        Operation::NeighbourAdd
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        inside::check(commit, at, self.name())?;
        let Some(new) = checked(commit, at, &self.0, self.name())? else { return Ok(None) };
        let note = match commit.is_alone(at, new.link) {
            // It goes with the link.
            true => commit.state.count()?,
            false => commit.state.note(Set { at: at.place(), old: there(at, &new)?, new: new.clone() })?,
        };
        commit.noted(at, note, |netlink| netlink.neighbour_add(&new))?;
        Ok(None)
    }

    fn describe(&self, _: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        self.0.describe(scribe)
    }
}

/// `RTM_DELNEIGH`.
struct Delete(neighbours::Neighbour);

impl Change for Delete {
    fn name(&self) -> &'static str {
        "neighbour-del"
    }

    fn operation(&self) -> Operation {
        Operation::NeighbourDel
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        inside::check(commit, at, self.name())?;
        let Some(given) = checked(commit, at, &self.0, self.name())? else { return Ok(None) };
        let Some(old) = there(at, &given)? else {
            let missing = Error::of_errno(format!("neighbour-del {}", given.ip), ENOENT);
            commit.tolerated::<()>(Err(kernel_error(&missing)))?;
            return Ok(None);
        };
        let link = old.link;
        let delete = |netlink: &mut dyn RouteSocket, gone: &Removed| netlink.neighbour_del(&gone.old);
        commit.effect(at, link, Removed { at: at.place(), old }, |_, _| Ok(false), delete)?;
        Ok(None)
    }

    fn describe(&self, _: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        self.0.describe(scribe)
    }
}

/// None if its link is missing, and that is tolerated.
fn checked(
    commit: &Commit<'_>,
    at: &Space,
    neighbour: &neighbours::Neighbour,
    what: &str,
) -> Result<Option<Neighbour>, types::Error> {
    let mac = check_plain(neighbour, what)?;
    let link = commit.tolerated(commit.link(at, &neighbour.link, what))?;
    let (ip, state, flags) = (convert::ip(&neighbour.ip), neighbour.state, neighbour.flags);
    Ok(link.map(|link| Neighbour { link, ip, mac, state, flags }))
}

/// All but the link; gives the MAC.
fn check_plain(neighbour: &neighbours::Neighbour, what: &str) -> Result<Vec<u8>, types::Error> {
    if neighbour.flags & !(NTF_PROXY | NTF_EXT_LEARNED | NTF_ROUTER) != 0 {
        return Err(refuse(types::Code::Invalid, what, "flags are of proxy (0x08), learned (0x10) and router (0x80)"));
    }
    if neighbour.state & !NUD_ALL != 0 {
        return Err(refuse(types::Code::Invalid, what, "a state has 8 bits"));
    }
    if neighbour.mac.is_empty() { Ok(Vec::new()) } else { convert::mac(&neighbour.mac, what) }
}

/// The neighbour that there is, if it is of use.
fn there(at: &Space, given: &Neighbour) -> Result<Option<Neighbour>, types::Error> {
    let found = at.netlink(|netlink| netlink.neighbours(Some(given.link))).map_err(|e| kernel_error(&e))?;
    Ok(found.into_iter().find(|old| is_same(old, given) && is_known(old)))
}

fn is_same(one: &Neighbour, other: &Neighbour) -> bool {
    (one.link, one.ip, one.flags & NTF_PROXY) == (other.link, other.ip, other.flags & NTF_PROXY)
}

/// Whether it says anything. One that is being looked for, or was not found, is as good as none.
fn is_known(neighbour: &Neighbour) -> bool {
    neighbour.flags & NTF_PROXY != 0 || neighbour.state & NUD_NOARP != 0 || !neighbour.mac.is_empty()
}

impl Describe for neighbours::Neighbour {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let Self { link, ip, mac: bytes, state, flags } = self;
        object([
            ("link", link.describe(scribe)),
            ("ip", ip.describe(scribe)),
            ("mac", if bytes.is_empty() { Value::Null } else { mac(bytes, scribe) }),
            ("state", number((*state).into())),
            ("flags", number((*flags).into())),
        ])
    }
}

/// A neighbour that was set.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Set {
    at: Place,
    /// What was there before.
    old: Option<Neighbour>,
    new: Neighbour,
}

impl Effect for Set {
    const TAG: &'static str = "neighbour-set";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        self.at == Place::Sandbox
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Never
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        scene.netlink(self.at, |netlink| match &self.old {
            Some(old) => netlink.neighbour_add(old),
            None => netlink.neighbour_del(&self.new),
        })
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "neighbour {} in the {} namespace", self.new.ip, self.at)
    }
}

/// A neighbour that was removed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Removed {
    at: Place,
    old: Neighbour,
}

impl Effect for Removed {
    const TAG: &'static str = "neighbour-removed";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        self.at == Place::Sandbox
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Never
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        scene.netlink(self.at, |netlink| netlink.neighbour_add(&self.old))
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "removal of neighbour {} in the {} namespace", self.old.ip, self.at)
    }
}
