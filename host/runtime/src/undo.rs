//! Inverses of effects, and applying them after an ADD that failed.
//!
//! What only this attempt made goes unconditionally. What is shared between
//! attachments, a bridge, its addresses, a network's folder of leases, goes
//! only if nobody else uses it by then, and while no other ADD is under way in
//! the same namespace.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use nix::libc::{ENODEV, ENOENT, ESRCH};
use wasm_cni_kernel::{Address, BridgeVlan, Error, Link, LinkAttrs, LinkRef, Netlink, Route};

use crate::{
    directory::{Directory, remove_created},
    host::{
        filter::{
            Owner,
            iptables::Iptables,
            nftables::{self, Table},
        },
        space::Space,
    },
    limits::{Cancel, Deadline},
    native::{self, Exec, ExecCall},
    plugin::Inner,
};

/// linux/if.h
const IFF_UP: u32 = 0x1;

/// `RTPROT_KERNEL` and `RTPROT_RA` (linux/rtnetlink.h): these come by themselves.
const KERNELS_ROUTES: [u8; 2] = [2, 9];

/// Time for one lock while undoing.
const LOCK_TIME: Duration = Duration::from_secs(2);

/// Time for an executable's DEL while undoing.
const NATIVE_TIME: Duration = Duration::from_secs(10);

/// A link that went to another namespace.
pub(crate) struct Moved {
    /// What it was before.
    pub(crate) link: Link,
    pub(crate) addresses: Vec<Address>,
    pub(crate) routes: Vec<Route>,
    /// What it is to be called there.
    pub(crate) name: String,
    /// Its index there. None if it may still be under its old name, or not there.
    pub(crate) arrived: Option<u32>,
}

/// How to take back one effect.
pub(crate) struct Undo {
    what: String,
    action: Action,
}

enum Action {
    Link { space: Arc<Space>, index: u32, bridge: bool },
    LinkAttrs { space: Arc<Space>, index: u32, attrs: LinkAttrs },
    LinkMoved { from: Arc<Space>, to: Arc<Space>, moved: Box<Moved> },
    AddressAdded { space: Arc<Space>, address: Address },
    AddressRemoved { space: Arc<Space>, address: Address },
    RouteAdded { space: Arc<Space>, route: Route },
    RouteRemoved { space: Arc<Space>, route: Route },
    VlanAdded { space: Arc<Space>, vlan: BridgeVlan },
    VlanRemoved { space: Arc<Space>, vlan: BridgeVlan },
    Sysctl { space: Arc<Space>, key: String, old: String },
    EntryCreated { directory: Arc<Directory>, key: String, value: Vec<u8> },
    EntryRemoved { directory: Arc<Directory>, key: String, value: Vec<u8> },
    EntriesFolder { directory: Arc<Directory> },
    Folders { created: Vec<PathBuf> },
    Masquerade { space: Arc<Space>, runtime: Arc<Inner>, owner: Owner },
    SpoofCheck { space: Arc<Space>, owner: Owner },
    FilterTable { space: Arc<Space>, table: Table },
    Delegated { host: Arc<Space>, exec: Arc<dyn Exec>, call: Box<ExecCall> },
}

impl Undo {
    pub(crate) fn link_added(space: &Arc<Space>, index: u32, name: &str, bridge: bool) -> Self {
        let what = format!("link {name:?} in the {} namespace", space.label);
        Self { what, action: Action::Link { space: Arc::clone(space), index, bridge } }
    }

    pub(crate) fn link_moved(from: &Arc<Space>, to: &Arc<Space>, moved: Moved) -> Self {
        let what = format!("move of link {:?} to the {} namespace", moved.link.name, to.label);
        let (from, to) = (Arc::clone(from), Arc::clone(to));
        Self { what, action: Action::LinkMoved { from, to, moved: Box::new(moved) } }
    }

    /// `link` is what it was before `attrs` were set.
    pub(crate) fn link_set(space: &Arc<Space>, link: &Link, attrs: &LinkAttrs) -> Self {
        const IFF_PROMISC: u32 = 0x100;
        let old = LinkAttrs {
            up: attrs.up.map(|_| link.flags & IFF_UP != 0),
            mtu: attrs.mtu.map(|_| link.mtu),
            // A bridge without ports may have none, and none can't be set.
            mac: attrs.mac.as_ref().map(|_| link.mac.clone()).filter(|mac| mac.iter().any(|&octet| octet != 0)),
            master: attrs.master.map(|_| link.master),
            promisc: attrs.promisc.map(|_| link.flags & IFF_PROMISC != 0),
            name: attrs.name.as_ref().map(|_| link.name.clone()),
            alias: attrs.alias.as_ref().map(|_| link.alias.clone()),
            ..LinkAttrs::default()
        };
        let what = format!("attributes of link {:?} in the {} namespace", link.name, space.label);
        Self { what, action: Action::LinkAttrs { space: Arc::clone(space), index: link.index, attrs: old } }
    }

    pub(crate) fn address_added(space: &Arc<Space>, address: &Address) -> Self {
        let what = format!("address {} in the {} namespace", address.ip, space.label);
        Self { what, action: Action::AddressAdded { space: Arc::clone(space), address: address.clone() } }
    }

    pub(crate) fn address_removed(space: &Arc<Space>, address: &Address) -> Self {
        let what = format!("removal of address {} in the {} namespace", address.ip, space.label);
        Self { what, action: Action::AddressRemoved { space: Arc::clone(space), address: address.clone() } }
    }

    pub(crate) fn route_added(space: &Arc<Space>, route: &Route) -> Self {
        let what = format!("route to {} in the {} namespace", route.dst, space.label);
        Self { what, action: Action::RouteAdded { space: Arc::clone(space), route: route.clone() } }
    }

    pub(crate) fn route_removed(space: &Arc<Space>, route: &Route) -> Self {
        let what = format!("removal of the route to {} in the {} namespace", route.dst, space.label);
        Self { what, action: Action::RouteRemoved { space: Arc::clone(space), route: route.clone() } }
    }

    pub(crate) fn vlan_added(space: &Arc<Space>, vlan: &BridgeVlan) -> Self {
        let what = format!("VLANs {}-{} of link {}", vlan.first, vlan.last, vlan.link);
        Self { what, action: Action::VlanAdded { space: Arc::clone(space), vlan: *vlan } }
    }

    pub(crate) fn vlan_removed(space: &Arc<Space>, vlan: &BridgeVlan) -> Self {
        let what = format!("removal of VLANs {}-{} of link {}", vlan.first, vlan.last, vlan.link);
        Self { what, action: Action::VlanRemoved { space: Arc::clone(space), vlan: *vlan } }
    }

    /// None for forwarding: other attachments may have come to rely on it.
    pub(crate) fn sysctl_set(space: &Arc<Space>, key: &str, old: &str) -> Option<Self> {
        if key == "net/ipv4/ip_forward" || key == "net/ipv6/conf/all/forwarding" {
            return None;
        }
        let what = format!("sysctl {key} in the {} namespace", space.label);
        let action = Action::Sysctl { space: Arc::clone(space), key: key.to_owned(), old: old.to_owned() };
        Some(Self { what, action })
    }

    pub(crate) fn entry_created(directory: &Arc<Directory>, key: &str, value: &[u8]) -> Self {
        let what = format!("{}/{key}", directory.path().display());
        let directory = Arc::clone(directory);
        Self { what, action: Action::EntryCreated { directory, key: key.to_owned(), value: value.to_owned() } }
    }

    pub(crate) fn entry_removed(directory: &Arc<Directory>, key: &str, value: &[u8]) -> Self {
        let what = format!("removal of {}/{key}", directory.path().display());
        let directory = Arc::clone(directory);
        Self { what, action: Action::EntryRemoved { directory, key: key.to_owned(), value: value.to_owned() } }
    }

    pub(crate) fn entries_folder(directory: &Arc<Directory>) -> Self {
        let what = format!("folder {}", directory.path().display());
        Self { what, action: Action::EntriesFolder { directory: Arc::clone(directory) } }
    }

    pub(crate) fn folders(created: Vec<PathBuf>) -> Self {
        Self { what: "folders".to_owned(), action: Action::Folders { created } }
    }

    pub(crate) fn masquerade_added(space: &Arc<Space>, runtime: &Arc<Inner>, owner: &Owner) -> Self {
        let what = format!("masquerade rules of {} in the {} namespace", owner.container_id, space.label);
        let (space, runtime, owner) = (Arc::clone(space), Arc::clone(runtime), owner.clone());
        Self { what, action: Action::Masquerade { space, runtime, owner } }
    }

    pub(crate) fn spoof_check_added(space: &Arc<Space>, owner: &Owner) -> Self {
        let what = format!("spoof check of {} in the {} namespace", owner.container_id, space.label);
        Self { what, action: Action::SpoofCheck { space: Arc::clone(space), owner: owner.clone() } }
    }

    pub(crate) fn filter_table_made(space: &Arc<Space>, table: Table) -> Self {
        let what = format!("table of packet filters in the {} namespace", space.label);
        Self { what, action: Action::FilterTable { space: Arc::clone(space), table } }
    }

    pub(crate) fn delegated(host: &Arc<Space>, exec: &Arc<dyn Exec>, call: ExecCall) -> Self {
        let what = format!("what plugin {:?} did", call.kind);
        let call = Box::new(ExecCall { timeout: NATIVE_TIME, cancel: Cancel::default(), ..call });
        Self { what, action: Action::Delegated { host: Arc::clone(host), exec: Arc::clone(exec), call } }
    }

    /// Is it the making of this link?
    pub(crate) fn makes(&self, in_space: &Arc<Space>, link: u32) -> bool {
        matches!(&self.action, Action::Link { space, index, .. } if *index == link && Arc::ptr_eq(space, in_space))
    }

    /// Does it concern something that other attachments may use too?
    fn shared(&self) -> Option<Shared<'_>> {
        match &self.action {
            Action::Link { space, index, bridge: true } => Some(Shared::Bridge(space, *index)),
            Action::LinkAttrs { space, index, .. } if is_bridge(space, *index) => Some(Shared::Bridge(space, *index)),
            Action::AddressAdded { space, address } | Action::AddressRemoved { space, address }
                if is_bridge(space, address.link) =>
            {
                Some(Shared::Bridge(space, address.link))
            }
            Action::EntriesFolder { .. } | Action::Folders { .. } | Action::FilterTable { .. } => Some(Shared::Other),
            _ => None,
        }
    }

    /// Takes it back.
    ///
    /// # Errors
    ///
    /// Why that did not work.
    pub(crate) fn apply(&self) -> Result<(), String> {
        let kernel = |result: Result<(), Error>| match result {
            // Gone already, most often with the link or the namespace.
            Err(e) if ![ENODEV, ENOENT, ESRCH, nix::libc::EADDRNOTAVAIL].contains(&e.errno()) => Err(e.to_string()),
            _ => Ok(()),
        };
        let netlink = |space: &Space, f: &mut dyn FnMut(&mut Netlink) -> Result<(), Error>| kernel(space.netlink(f));
        match &self.action {
            Action::Link { space, index, .. } => netlink(space, &mut |n| n.link_del(*index)),
            Action::LinkAttrs { space, index, attrs } => netlink(space, &mut |n| n.link_set(*index, attrs)),
            Action::LinkMoved { from, to, moved } => kernel(move_back(from, to, moved)),
            Action::AddressAdded { space, address } => netlink(space, &mut |n| n.address_del(address)),
            Action::AddressRemoved { space, address } => netlink(space, &mut |n| n.address_add(address)),
            Action::RouteAdded { space, route } => netlink(space, &mut |n| n.route_del(route)),
            Action::RouteRemoved { space, route } => netlink(space, &mut |n| n.route_add(route)),
            Action::VlanAdded { space, vlan } => netlink(space, &mut |n| n.vlan_del(vlan)),
            Action::VlanRemoved { space, vlan } => netlink(space, &mut |n| n.vlan_add(vlan)),
            Action::Sysctl { space, key, old } => kernel(
                space
                    .netns
                    .sysctls_set(&[(key, old)])
                    .and_then(|results| results.into_iter().collect::<Result<(), _>>()),
            ),
            Action::EntryCreated { directory, key, value } => {
                let lock = directory.lock(&Deadline::after(LOCK_TIME)).map_err(|e| e.to_string())?;
                match lock.get(key) {
                    Ok(Some(found)) if found == *value => lock.delete(key).map_err(|e| e.to_string()),
                    Ok(_) => Ok(()),
                    Err(e) => Err(e.to_string()),
                }
            }
            Action::EntryRemoved { directory, key, value } => {
                let lock = directory.lock(&Deadline::after(LOCK_TIME)).map_err(|e| e.to_string())?;
                lock.create(key, value).map_err(|e| e.to_string())
            }
            Action::EntriesFolder { directory } => directory.remove_if_unused().map_err(|e| e.to_string()),
            Action::Delegated { host, exec, call } => {
                let run = || native::run(&**exec, call).map(drop).map_err(|e| e.to_string());
                host.netns.run(run).map_err(|e| e.to_string())?
            }
            Action::Masquerade { space, runtime, owner } => {
                let iptables = Iptables::new(runtime, space).remove(owner, &[]);
                let nftables = nftables::unmasquerade(space, owner).map_err(|e| e.to_string());
                nftables.and(iptables.map_err(|e| e.msg))
            }
            Action::SpoofCheck { space, owner } => nftables::uncheck_spoofing(space, owner).map_err(|e| e.to_string()),
            Action::FilterTable { space, table } => table.remove_if_unused(space).map_err(|e| e.to_string()),
            Action::Folders { created } => {
                remove_created(created);
                Ok(())
            }
        }
    }
}

impl std::fmt::Debug for Undo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

enum Shared<'a> {
    Bridge(&'a Arc<Space>, u32),
    /// What its own inverse leaves alone if it is in use.
    Other,
}

/// Takes back effects, the last first. What could not be taken back is named.
pub(crate) fn undo(journal: &[Undo], host: &Space) -> Vec<String> {
    let mut failures = Vec::new();
    let mut shared = Vec::new();
    for entry in journal.iter().rev() {
        if entry.shared().is_some() {
            shared.push(entry);
        } else if let Err(reason) = entry.apply() {
            failures.push(format!("{} ({reason})", entry.what));
        }
    }
    failures.extend(undo_shared(&shared, host));
    failures
}

/// Takes back what is shared, of effects in the order of `undo`, where nobody
/// else uses it.
pub(crate) fn tidy(journal: &[Undo], host: &Space) -> Vec<String> {
    let shared: Vec<_> = journal.iter().rev().filter(|entry| entry.shared().is_some()).collect();
    undo_shared(&shared, host)
}

fn undo_shared(shared: &[&Undo], host: &Space) -> Vec<String> {
    if shared.is_empty() {
        return Vec::new();
    }
    let Some(_lock) = crate::attempt::lock_exclusive(&host.netns, &Deadline::after(LOCK_TIME)) else {
        // Others are attaching all the time, so it is in use.
        return Vec::new();
    };
    let mut failures = Vec::new();
    for entry in shared {
        let unused = match entry.shared() {
            Some(Shared::Bridge(space, index)) => !has_ports(space, index),
            _ => true,
        };
        if unused && let Err(reason) = entry.apply() {
            failures.push(format!("{} ({reason})", entry.what));
        }
    }
    failures
}

/// A link goes back to where it came from, as it was there.
fn move_back(from: &Space, to: &Space, moved: &Moved) -> Result<(), Error> {
    let Moved { link, addresses, routes, name, arrived } = moved;
    let get = |link: LinkRef<'_>| to.netlink(|netlink| netlink.link_get(link)).ok();
    let is_it = |found: &Link| found.mac == link.mac && found.kind == link.kind;
    let there = match arrived {
        Some(index) => get(LinkRef::Index(*index)),
        None => [name, &link.name].into_iter().filter_map(|name| get(LinkRef::Name(name))).find(is_it),
    };
    let Some(there) = there else { return Ok(()) };
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

fn is_bridge(space: &Space, index: u32) -> bool {
    space.netlink(|netlink| netlink.link_get(LinkRef::Index(index))).is_ok_and(|link| link.kind == "bridge")
}

fn has_ports(space: &Space, bridge: u32) -> bool {
    space.netlink(Netlink::links).is_ok_and(|links| links.iter().any(|link| link.master == bridge))
}
