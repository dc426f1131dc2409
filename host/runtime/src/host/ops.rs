//! The one place where a guest's operation becomes an effect: check, note the
//! inverse, act.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use wasm_cni_kernel::{self as kernel, LinkAttrs};

use super::{
    State, convert, kernel_error, moves,
    permits::Change,
    refuse,
    space::{HOST, Place, Space},
};
use crate::{
    bindings::{net, types},
    known::Own,
    undo::Undo,
};

// linux/if_addr.h
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;

type Failed = (usize, types::Error);
type Made = Vec<Option<net::Made>>;
/// What a change is, once it is known of which prefix.
type Kind = fn(IpNet) -> Change<'static>;

/// Does the operations in their order; see `net.commit`.
///
/// # Errors
///
/// The first operation that failed, and why.
pub(crate) fn commit(state: &mut State, spaces: &[Arc<Space>], operations: &[net::Op]) -> Result<Made, Failed> {
    let mut commit = Commit { state, spaces, made: Vec::with_capacity(operations.len()) };
    let mut at = 0;
    while let Some(operation) = operations.get(at) {
        if commit.state.attempt.deadline.passed() {
            return Err((at, refuse(types::Code::Timeout, "commit", "the time of this call is up")));
        }
        // A run of sysctls costs one visit to the namespace.
        let run = operations[at..].iter().take_while(|o| o.ns == operation.ns && sysctl(o).is_some()).count();
        if run > 0 {
            commit.set_sysctls(&operations[at..at + run]).map_err(|(i, e)| (at + i, e))?;
            at += run;
        } else {
            commit.one(operation).map_err(|e| (at, e))?;
            at += 1;
        }
    }
    Ok(commit.made)
}

/// Nobody asks for a link-local address by heart.
fn is_announced(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

fn sysctl(operation: &net::Op) -> Option<&net::Sysctl> {
    match &operation.act {
        net::Action::SysctlSet(sysctl) => Some(sysctl),
        _ => None,
    }
}

pub(super) struct Commit<'a> {
    pub(super) state: &'a mut State,
    spaces: &'a [Arc<Space>],
    made: Made,
}

impl Commit<'_> {
    fn space(&self, ns: u32, what: &str) -> Result<Arc<Space>, types::Error> {
        let space = usize::try_from(ns).ok().and_then(|ns| self.spaces.get(ns)).cloned();
        space.ok_or_else(|| refuse(types::Code::Invalid, what, format!("there is no namespace {ns} in this commit")))
    }

    fn one(&mut self, operation: &net::Op) -> Result<(), types::Error> {
        self.may_do(operation)?;
        let space = self.space(operation.ns, "commit")?;
        let tolerance = operation.tolerate;
        let mut made = None;
        match &operation.act {
            net::Action::LinkAdd(new) => made = Some(self.link_add(&space, new, tolerance)?),
            net::Action::LinkSet(set) => self.link_set(&space, set, tolerance)?,
            net::Action::LinkDel(link) => {
                let index = self.link(&space, link, "link-del");
                if let Some(index) = self.tolerated(index, tolerance)? {
                    let delete = || space.netlink(|netlink| netlink.link_del(index)).map_err(|e| kernel_error(&e));
                    let done = match self.may_delete(&space, index) {
                        // The kernel was faster.
                        Err(e) if e.code == types::Code::NotFound => Err(e),
                        permitted => permitted.and_then(|()| delete()),
                    };
                    if self.tolerated(done, tolerance)?.is_some() {
                        self.state.attempt.known().lost(space.place(), index);
                    }
                }
            }
            net::Action::AddrAdd(address) => {
                let (kind, act) = (("addr-add", Change::AddressAdded as Kind), kernel::Netlink::address_add);
                self.address(&space, address, tolerance, kind, act, |at, address| Undo::AddressAdded { at, address })?;
            }
            net::Action::AddrDel(address) => {
                let (kind, act) = (("addr-del", Change::AddressRemoved as Kind), kernel::Netlink::address_del);
                self.address(&space, address, tolerance, kind, act, |at, address| Undo::AddressRemoved {
                    at,
                    address,
                })?;
            }
            net::Action::RouteAdd(route) => {
                let (kind, act) = (("route-add", Change::RouteAdded as Kind), kernel::Netlink::route_add);
                self.route(&space, route, tolerance, kind, act, |at, route| Undo::RouteAdded { at, route })?;
            }
            net::Action::RouteDel(route) => {
                let (kind, act) = (("route-del", (|_| Change::Other) as Kind), kernel::Netlink::route_del);
                self.route(&space, route, tolerance, kind, act, |at, route| Undo::RouteRemoved { at, route })?;
            }
            net::Action::VlanAdd(vlan) => {
                self.vlan(&space, vlan, tolerance, "vlan-add", kernel::Netlink::vlan_add, |at, vlan| {
                    Undo::VlanAdded { at, vlan }
                })?;
            }
            net::Action::VlanDel(vlan) => {
                self.vlan(&space, vlan, tolerance, "vlan-del", kernel::Netlink::vlan_del, |at, vlan| {
                    Undo::VlanRemoved { at, vlan }
                })?;
            }
            net::Action::Announce(link) => {
                let announced = self.announce(&space, link);
                self.tolerated(announced, tolerance)?;
            }
            net::Action::SysctlSet(_) => unreachable!("commit() takes these in runs"),
        }
        self.made.push(made);
        Ok(())
    }

    fn link_add(
        &mut self,
        space: &Arc<Space>,
        new: &net::LinkNew,
        tolerance: net::Tolerance,
    ) -> Result<net::Made, types::Error> {
        let what = format!("link-add {:?}", new.name);
        convert::link_name(&new.name, &what)?;
        if new.attrs.iter().any(|attr| matches!(attr, net::LinkAttr::Name(_) | net::LinkAttr::Netns(_))) {
            return Err(refuse(types::Code::Invalid, what, "a link is made with its name, where it belongs"));
        }
        let attrs = self.attrs(space, &new.attrs, &what)?;
        attrs.master.map_or(Ok(()), |master| self.may_join(space, master, &what))?;
        let mut peer = None;
        let kind = match &new.kind {
            net::LinkKind::Bridge(bridge) => kernel::LinkKind::Bridge { vlan_filtering: bridge.vlan_filtering },
            net::LinkKind::Veth(veth) => {
                use std::os::fd::{AsFd as _, AsRawFd as _};
                convert::link_name(&veth.peer_name, &what)?;
                let peer_space = self.space(veth.peer_ns, &what)?;
                peer = Some((peer_space.place(), &veth.peer_name));
                let peer = kernel::VethPeer {
                    name: veth.peer_name.clone(),
                    netns: (!Arc::ptr_eq(&peer_space, space)).then(|| peer_space.netns.as_fd().as_raw_fd()),
                    mac: veth.peer_mac.as_deref().map(|mac| convert::mac(mac, &what)).transpose()?,
                    mtu: veth.peer_mtu,
                };
                kernel::LinkKind::Veth(peer)
            }
        };
        let bridge = matches!(kind, kernel::LinkKind::Bridge { .. });
        if bridge && space.label == HOST {
            self.may_have_bridge(&new.name, &what)?;
        }
        let undo = Undo::Link { at: space.place(), name: new.name.clone(), index: None, bridge };
        let note = self.state.note(undo)?;
        let link = kernel::NewLink { name: new.name.clone(), kind, attrs };
        match space.netlink(|netlink| netlink.link_new(&link)) {
            Ok(made) => {
                self.state.attempt.has_made(note, made.index);
                let own = |name: &String| Own { name: name.clone(), bridge, moved: false };
                let mut known = self.state.attempt.known();
                known.got(space.place(), made.index, own(&new.name));
                if let Some((place, name)) = peer.filter(|_| made.parent != 0) {
                    known.got(place, made.parent, own(name));
                }
                Ok(net::Made { index: made.index, existed: false })
            }
            Err(e) => {
                self.state.attempt.strike(note);
                if e.errno() != nix::libc::EEXIST || !matches!(tolerance, net::Tolerance::OkIfExists) {
                    return Err(kernel_error(&e));
                }
                let found = space.netlink(|netlink| netlink.link_get(kernel::LinkRef::Name(&new.name)));
                let found = found.map_err(|e| kernel_error(&e))?;
                if space.label == HOST {
                    self.state.attempt.known().saw(&found);
                }
                Ok(net::Made { index: found.index, existed: true })
            }
        }
    }

    fn link_set(
        &mut self,
        space: &Arc<Space>,
        set: &net::LinkSet,
        tolerance: net::Tolerance,
    ) -> Result<(), types::Error> {
        let what = "link-set";
        let index = self.link(space, &set.link, what);
        let Some(index) = self.tolerated(index, tolerance)? else { return Ok(()) };
        let attrs = self.attrs(space, &set.attrs, what)?;
        let target = set.attrs.iter().rev().find_map(|attr| match attr {
            net::LinkAttr::Netns(ns) => Some(*ns),
            _ => None,
        });
        let done = match target {
            Some(ns) => {
                let target = self.space(ns, what)?;
                if attrs.master.is_some() {
                    return Err(refuse(types::Code::Invalid, what, "a link that goes elsewhere has no master there"));
                }
                moves::move_link(self.state, space, index, &target, &attrs)
            }
            None => {
                self.may_change(space, index, Change::Attrs(&attrs), what)?;
                self.note_link_attrs(space, index, &attrs)?;
                let done = space.netlink(|netlink| netlink.link_set(index, &attrs)).map_err(|e| kernel_error(&e));
                if let (Ok(()), Some(name)) = (&done, &attrs.name) {
                    self.state.attempt.known().renamed(space.place(), index, name);
                }
                done
            }
        };
        self.tolerated(done, tolerance).map(drop)
    }

    fn announce(&self, space: &Arc<Space>, link: &net::LinkRef) -> Result<(), types::Error> {
        let what = "announce";
        let index = self.link(space, link, what)?;
        self.may_change(space, index, Change::Other, what)?;
        let (link, addresses) = space
            .netlink(|netlink| Ok((netlink.link_get(kernel::LinkRef::Index(index))?, netlink.addresses(Some(index))?)))
            .map_err(|e| kernel_error(&e))?;
        let usable = addresses.iter().filter(|address| address.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) == 0);
        let addresses: Vec<_> = usable.map(|address| address.ip.addr()).filter(|ip| is_announced(*ip)).collect();
        if link.mac.len() != 6 || addresses.is_empty() {
            return Ok(());
        }
        space.netns.announce(index, &link.mac, &addresses).map_err(|e| kernel_error(&e))
    }

    fn address(
        &mut self,
        space: &Arc<Space>,
        address: &net::Address,
        tolerance: net::Tolerance,
        (what, change): (&str, Kind),
        act: fn(&mut kernel::Netlink, &kernel::Address) -> Result<(), kernel::Error>,
        undo: fn(Place, kernel::Address) -> Undo,
    ) -> Result<(), types::Error> {
        let ip = convert::ip_net(&address.ip, what)?;
        let Some(link) = self.tolerated(self.link(space, &address.link, what), tolerance)? else { return Ok(()) };
        self.may_change(space, link, change(ip), what)?;
        let address = kernel::Address { link, ip, flags: address.flags };
        self.act(space, link, &address, tolerance, act, undo)
    }

    fn route(
        &mut self,
        space: &Arc<Space>,
        route: &net::Route,
        tolerance: net::Tolerance,
        (what, change): (&str, Kind),
        act: fn(&mut kernel::Netlink, &kernel::Route) -> Result<(), kernel::Error>,
        undo: fn(Place, kernel::Route) -> Undo,
    ) -> Result<(), types::Error> {
        let dst = convert::ip_net(&route.dst, what)?;
        let Some(link) = self.tolerated(self.link(space, &route.link, what), tolerance)? else { return Ok(()) };
        self.may_change(space, link, change(dst), what)?;
        let route = kernel::Route {
            link,
            dst,
            gateway: route.gateway.as_ref().map(convert::ip),
            src: route.src.as_ref().map(convert::ip),
            table: route.table,
            metric: route.metric,
            scope: route.scope,
            protocol: route.protocol,
        };
        let families = [route.gateway, route.src].into_iter().flatten().map(|ip| ip.is_ipv4());
        if families.into_iter().any(|v4| v4 != route.dst.addr().is_ipv4()) {
            return Err(refuse(
                types::Code::Invalid,
                what,
                "destination, gateway and source are of different families",
            ));
        }
        self.act(space, link, &route, tolerance, act, undo)
    }

    fn vlan(
        &mut self,
        space: &Arc<Space>,
        vlan: &net::BridgeVlan,
        tolerance: net::Tolerance,
        what: &str,
        act: fn(&mut kernel::Netlink, &kernel::BridgeVlan) -> Result<(), kernel::Error>,
        undo: fn(Place, kernel::BridgeVlan) -> Undo,
    ) -> Result<(), types::Error> {
        convert::vlan_ids(vlan.first, vlan.last, what)?;
        let Some(link) = self.tolerated(self.link(space, &vlan.link, what), tolerance)? else { return Ok(()) };
        self.may_change(space, link, Change::Other, what)?;
        let (first, last) = (vlan.first, vlan.last);
        let vlan = kernel::BridgeVlan { link, first, last, pvid: vlan.pvid, untagged: vlan.untagged };
        self.act(space, link, &vlan, tolerance, act, undo)
    }

    /// Does what has been checked, with its inverse noted.
    fn act<T: Clone>(
        &self,
        space: &Space,
        link: u32,
        object: &T,
        tolerance: net::Tolerance,
        act: fn(&mut kernel::Netlink, &T) -> Result<(), kernel::Error>,
        undo: fn(Place, T) -> Undo,
    ) -> Result<(), types::Error> {
        let note = match self.is_alone(space, link) {
            // It goes with the link.
            true => self.state.count()?,
            false => self.state.note(undo(space.place(), object.clone()))?,
        };
        let done = space.netlink(|netlink| act(netlink, object)).map_err(|e| kernel_error(&e));
        let done = self.tolerated(done, tolerance);
        // That it was there, or not there, before is not this attempt's doing.
        if !matches!(done, Ok(Some(()))) {
            self.state.attempt.strike(note);
        }
        done.map(drop)
    }

    /// A run of `sysctl-set`s in one namespace.
    fn set_sysctls(&mut self, run: &[net::Op]) -> Result<(), Failed> {
        let space = self.space(run[0].ns, "sysctl-set").map_err(|e| (0, e))?;
        let mut pairs = Vec::with_capacity(run.len());
        for (i, operation) in run.iter().enumerate() {
            self.may_do(operation).map_err(|e| (i, e))?;
            let sysctl = sysctl(operation).expect("a run holds only these");
            self.may_set_sysctl(&space, sysctl).map_err(|e| (i, e))?;
            convert::sysctl_value(&sysctl.value, &sysctl.key).map_err(|e| (i, e))?;
            pairs.push((sysctl.key.as_str(), sysctl.value.as_str()));
        }
        let failed = |e: &kernel::Error| (0, kernel_error(e));
        // Those of a link of our own go with the link.
        let undoes = |key: &&str| self.state.attempt.undoes() && !self.is_of_own_link(&space, key);
        let keys: Vec<&str> = pairs.iter().map(|(key, _)| *key).filter(undoes).collect();
        let old = if keys.is_empty() { Vec::new() } else { space.netns.sysctls_get(&keys).map_err(|e| failed(&e))? };
        let mut old: BTreeMap<&str, Option<String>> = keys.into_iter().zip(old).collect();
        // What is so already need not be said again.
        if pairs.iter().all(|(key, value)| old.get(key).and_then(Option::as_deref) == Some(*value)) {
            self.made.extend(run.iter().map(|_| None));
            return Ok(());
        }
        let mut notes = Vec::with_capacity(pairs.len());
        for (key, _) in &pairs {
            let undo = old.remove(key).flatten().and_then(|old| Undo::sysctl_set(space.place(), key, &old));
            let note = undo.map(|undo| self.state.note(undo)).transpose();
            notes.push(note.and_then(|note| note.map_or_else(|| self.state.count(), Ok)).map_err(|e| (0, e))?);
        }
        let results = self.write_sysctls(&space, &pairs).map_err(|e| failed(&e))?;
        for (i, (result, operation)) in results.into_iter().zip(run).enumerate() {
            if result.is_err() {
                self.state.attempt.strike(notes[i]);
            }
            self.tolerated(result.map_err(|e| kernel_error(&e)), operation.tolerate).map_err(|e| (i, e))?;
            self.made.push(None);
        }
        Ok(())
    }

    /// By netlink what it has a message for; the rest by files.
    fn write_sysctls(
        &self,
        space: &Space,
        pairs: &[(&str, &str)],
    ) -> Result<Vec<Result<(), kernel::Error>>, kernel::Error> {
        let by_netlink = |(key, value): &(&str, &str)| {
            let name = key.strip_prefix("net/ipv4/conf/")?.strip_suffix("/arp_notify").filter(|_| *value == "1")?;
            let (index, _) = self.state.attempt.known().own_named(space.place(), name)?;
            space.netlink(|netlink| netlink.link_notify_by_arp(index)).ok()
        };
        let done: Vec<_> = pairs.iter().map(|pair| by_netlink(pair).is_some()).collect();
        let rest: Vec<_> = pairs.iter().zip(&done).filter(|(_, done)| !**done).map(|(pair, _)| *pair).collect();
        let rest = if rest.is_empty() { Vec::new() } else { space.netns.sysctls_set(&rest)? };
        let mut rest = rest.into_iter();
        Ok(done.into_iter().map(|done| if done { Ok(()) } else { rest.next().expect("one for each") }).collect())
    }

    fn link(&self, space: &Space, link: &net::LinkRef, what: &str) -> Result<u32, types::Error> {
        match link {
            net::LinkRef::Index(0) => Err(refuse(types::Code::Invalid, what, "no link has index 0")),
            net::LinkRef::Index(index) => i32::try_from(*index)
                .map(|_| *index)
                .map_err(|_| refuse(types::Code::Invalid, what, format!("no link has index {index}"))),
            net::LinkRef::Name(name) => {
                convert::link_name(name, what)?;
                if let Some((index, _)) = self.state.attempt.known().own_named(space.place(), name) {
                    return Ok(index);
                }
                let found = space.netlink(|netlink| netlink.link_get(kernel::LinkRef::Name(name)));
                Ok(found.map_err(|e| kernel_error(&e))?.index)
            }
            net::LinkRef::Made(i) => {
                let made = usize::try_from(*i).ok().and_then(|i| self.made.get(i)).and_then(Option::as_ref);
                let text = || format!("operation {i} of this commit made no link");
                made.map(|made| made.index).ok_or_else(|| refuse(types::Code::Invalid, what, text()))
            }
        }
    }

    fn attrs(&self, space: &Space, attrs: &[net::LinkAttr], what: &str) -> Result<LinkAttrs, types::Error> {
        let mut set = LinkAttrs::default();
        for attr in attrs {
            match attr {
                net::LinkAttr::Up(up) => set.up = Some(*up),
                net::LinkAttr::Mtu(mtu) => set.mtu = Some(*mtu),
                net::LinkAttr::Mac(mac) => set.mac = Some(convert::mac(mac, what)?),
                net::LinkAttr::Master(link) => set.master = Some(self.link(space, link, what)?),
                net::LinkAttr::Promisc(on) => set.promisc = Some(*on),
                net::LinkAttr::Hairpin(on) => set.hairpin = Some(*on),
                net::LinkAttr::Isolated(on) => set.isolated = Some(*on),
                net::LinkAttr::Name(name) => {
                    convert::link_name(name, what)?;
                    set.name = Some(name.clone());
                }
                net::LinkAttr::Alias(alias) => {
                    convert::alias(alias, what)?;
                    set.alias = Some(alias.clone());
                }
                // Where it goes is the caller's to see to.
                net::LinkAttr::Netns(_) => {}
            }
        }
        Ok(set)
    }

    /// Does all that is done to this link go with it?
    fn is_alone(&self, space: &Space, index: u32) -> bool {
        self.state.attempt.known().own(space.place(), index).is_some_and(Own::is_alone)
    }

    /// Is it a sysctl of such a link?
    fn is_of_own_link(&self, space: &Space, key: &str) -> bool {
        let of_link = ["net/ipv4/conf/", "net/ipv6/conf/"].iter().find_map(|folder| key.strip_prefix(folder));
        let name = of_link.and_then(|rest| rest.split('/').next());
        let known = self.state.attempt.known();
        let named = name.and_then(|name| known.own_named(space.place(), name));
        named.is_some_and(|(_, own)| own.is_alone())
    }

    /// What a `link-set` on a link that is not this attempt's will change.
    fn note_link_attrs(&self, space: &Space, index: u32, attrs: &LinkAttrs) -> Result<(), types::Error> {
        if !self.state.attempt.undoes() || self.state.attempt.known().made(space.place(), index) {
            return self.state.count().map(drop);
        }
        // A link that is not there fails in the operation itself.
        if let Ok(link) = space.netlink(|netlink| netlink.link_get(kernel::LinkRef::Index(index))) {
            self.state.note(Undo::link_set(space.place(), &link, attrs))?;
        }
        Ok(())
    }

    /// `Some` if it was done, `None` if it failed in a way that the operation
    /// tolerates.
    fn tolerated<T>(
        &self,
        result: Result<T, types::Error>,
        tolerance: net::Tolerance,
    ) -> Result<Option<T>, types::Error> {
        let error = match result {
            Ok(value) => return Ok(Some(value)),
            Err(error) => error,
        };
        let tolerated = match tolerance {
            net::Tolerance::Strict => false,
            net::Tolerance::OkIfExists => matches!(error.code, types::Code::Exists),
            net::Tolerance::OkIfMissing => matches!(error.code, types::Code::NotFound),
            // The kernel's failures only: a refusal by the host stays one.
            net::Tolerance::BestEffort => error.errno != 0,
        };
        if tolerated { Ok(None) } else { Err(error) }
    }
}
