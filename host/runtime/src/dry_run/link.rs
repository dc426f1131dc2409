//! Links of a recording: what the kernel would make of them.

use std::net::IpAddr;

use ipnet::IpNet;
use nix::libc::{EEXIST, ENODEV};
use wasm_cni_kernel::{Address, Error, IFF_PROMISC, IFF_UP, Link, LinkAttrs, LinkKind, LinkRef, NewLink, Route};

use super::world::{State, World};

/// The start of MAC addresses that are made up in the kernel's place: a locally administered address that nobody has.
pub(super) const MADE_UP: [u8; 3] = [0xee, 0xee, 0xee];

/// `IF_OPER_DOWN` and `IF_OPER_UP` (linux/if.h).
const OPER_DOWN: u8 = 2;
const OPER_UP: u8 = 6;

/// `IFA_F_NOPREFIXROUTE` (linux/if_addr.h).
const NOPREFIXROUTE: u32 = 0x200;

/// `RT_TABLE_MAIN`, `RTPROT_KERNEL`, `RT_SCOPE_LINK` (linux/rtnetlink.h), and the metric of IPv6's connected routes.
const TABLE_MAIN: u32 = 254;
const BY_KERNEL: u8 = 2;
const SCOPE_LINK: u8 = 253;
const METRIC_V6: u32 = 256;

/// The link that is named.
///
/// # Errors
///
/// `ENODEV`.
pub(super) fn find<'s>(state: &'s State, link: LinkRef<'_>) -> Result<&'s Link, Error> {
    let found = match link {
        LinkRef::Index(index) => state.links.get(&index),
        LinkRef::Name(name) => state.links.values().find(|link| link.name == name),
    };
    found.ok_or_else(|| Error::of_errno("link-get", ENODEV))
}

fn is_free(state: &State, name: &str) -> Result<(), Error> {
    match find(state, LinkRef::Name(name)) {
        Ok(_) => Err(Error::of_errno(format!("link-add {name}"), EEXIST)),
        Err(_) => Ok(()),
    }
}

/// An index that neither namespace has, so that a link keeps its own when it moves.
fn free_index(world: &World) -> u32 {
    world.places.iter().filter_map(|state| state.links.last_key_value()).map(|(index, _)| *index).max().unwrap_or(1) + 1
}

fn made_up(index: u32) -> Vec<u8> {
    [&MADE_UP[..], &index.to_be_bytes()[1..]].concat()
}

/// What [`RouteSocket::link_new`](wasm_cni_capabilities::space::RouteSocket::link_new) would make.
pub(super) fn make(world: &mut World, place: usize, new: &NewLink) -> Result<Link, Error> {
    is_free(&world.places[place], &new.name)?;
    let index = free_index(world);
    let mut link = Link { index, name: new.name.clone(), mtu: 1500, operstate: OPER_DOWN, ..Link::default() };
    link.mac = made_up(index);
    match &new.kind {
        LinkKind::Bridge { .. } => "bridge".clone_into(&mut link.kind),
        LinkKind::Dummy => "dummy".clone_into(&mut link.kind),
        LinkKind::Macvlan(macvlan) => {
            "macvlan".clone_into(&mut link.kind);
            link.parent = macvlan.parent;
            let parents = world.places.iter().filter_map(|state| state.links.get(&macvlan.parent));
            link.mtu = parents.map(|parent| parent.mtu).next().unwrap_or(link.mtu);
            world.places[place].modes.insert(index, macvlan.mode);
        }
        LinkKind::Veth(peer) => {
            "veth".clone_into(&mut link.kind);
            link.parent = index + 1;
            let fd = peer.netns.unwrap_or(world.places[place].fd);
            let there = world.at(fd).ok_or_else(|| Error::of_errno("link-add", ENODEV))?;
            is_free(there, &peer.name)?;
            let other = Link {
                index: index + 1,
                name: peer.name.clone(),
                kind: "veth".to_owned(),
                mac: peer.mac.clone().unwrap_or_else(|| made_up(index + 1)),
                mtu: peer.mtu.unwrap_or(1500),
                operstate: OPER_DOWN,
                parent: index,
                ..Link::default()
            };
            there.put(other);
        }
        // Whatever comes later has its kind at least in its name.
        _ => {}
    }
    apply(&mut link, &new.attrs);
    world.places[place].put(link.clone());
    Ok(link)
}

fn apply(link: &mut Link, attrs: &LinkAttrs) {
    // By name, so that a new attribute is not forgotten here. Those of a port are not read back.
    let LinkAttrs { up, mtu, mac, master, promisc, hairpin: _, isolated: _, name, alias, netns: _, index: _ } = attrs;
    let mut flag = |bit: u32, on: Option<bool>| match on {
        Some(true) => link.flags |= bit,
        Some(false) => link.flags &= !bit,
        None => {}
    };
    flag(IFF_UP, *up);
    flag(IFF_PROMISC, *promisc);
    if let Some(up) = up {
        link.operstate = if *up { OPER_UP } else { OPER_DOWN };
    }
    link.mtu = mtu.unwrap_or(link.mtu);
    link.master = master.unwrap_or(link.master);
    link.mac.clone_from(mac.as_ref().unwrap_or(&link.mac.clone()));
    link.name.clone_from(name.as_ref().unwrap_or(&link.name.clone()));
    link.alias.clone_from(alias.as_ref().unwrap_or(&link.alias.clone()));
}

/// What setting attributes would do, to another namespace too.
pub(super) fn set(world: &mut World, place: usize, index: u32, attrs: &LinkAttrs) -> Result<(), Error> {
    let mut link = find(&world.places[place], LinkRef::Index(index))?.clone();
    let Some(fd) = attrs.netns else {
        if attrs.name.as_ref().is_some_and(|name| *name != link.name) {
            is_free(&world.places[place], attrs.name.as_deref().unwrap_or_default())?;
        }
        apply(&mut link, attrs);
        world.places[place].put(link);
        return Ok(());
    };
    let there = world.at(fd).ok_or_else(|| Error::of_errno("link-set", ENODEV))?;
    is_free(there, attrs.name.as_deref().unwrap_or(&link.name))?;
    // It arrives down, without addresses, and without a master.
    link.flags &= !IFF_UP;
    (link.operstate, link.master) = (OPER_DOWN, 0);
    link.index = attrs.index.unwrap_or(link.index);
    apply(&mut link, attrs);
    there.put(link);
    forget(&mut world.places[place], index);
    Ok(())
}

/// What deleting a link would do: what belongs to it goes too, and the other end of a pair.
pub(super) fn delete(world: &mut World, place: usize, index: u32) -> Result<(), Error> {
    let link = find(&world.places[place], LinkRef::Index(index))?.clone();
    forget(&mut world.places[place], index);
    if link.kind == "veth" {
        for state in &mut world.places {
            if state.links.get(&link.parent).is_some_and(|other| other.kind == "veth" && other.parent == index) {
                forget(state, link.parent);
            }
        }
    }
    Ok(())
}

fn forget(state: &mut State, index: u32) {
    state.links.remove(&index);
    state.vlans.remove(&index);
    state.addresses.retain(|address| address.link != index);
    state.routes.retain(|route| route.link != index);
}

/// The route that the kernel adds with an address.
pub(super) fn connected(address: &Address) -> Option<Route> {
    let is_alone = address.ip.prefix_len() == address.ip.max_prefix_len();
    let (metric, scope, src) = match address.ip.addr() {
        IpAddr::V4(ip) => (0, SCOPE_LINK, Some(ip.into())),
        IpAddr::V6(_) => (METRIC_V6, 0, None),
    };
    (!is_alone && address.flags & NOPREFIXROUTE == 0).then(|| Route {
        link: address.link,
        dst: address.ip.trunc(),
        gateway: None,
        src,
        table: TABLE_MAIN,
        metric,
        scope,
        protocol: BY_KERNEL,
    })
}

/// A route as the kernel would report it.
pub(super) fn as_read(route: &Route) -> Route {
    let table = if route.table == 0 { TABLE_MAIN } else { route.table };
    let metric = match (route.metric, route.dst) {
        (0, IpNet::V6(_)) => 1024,
        (metric, _) => metric,
    };
    Route { table, metric, ..route.clone() }
}
