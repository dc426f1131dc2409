//! Inverses of effects: plain data, so that they can be written down before the
//! effect and applied by another process after it.
//!
//! What only one attempt made goes unconditionally. What is shared between
//! attachments, a bridge, its addresses, a table of filters, a network's folder
//! of leases, goes only if nobody else uses it by then, and while no other ADD is
//! under way in the same namespace.

use std::{ffi::OsString, fmt, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;
use nix::libc::{EADDRNOTAVAIL, ENODEV, ENOENT, ESRCH};
use serde::{Deserialize, Serialize};
use wasm_cni_kernel::{Address, BridgeVlan, Error, Link, LinkAttrs, LinkRef, Netlink, Route};

use crate::{
    attempt::lock_exclusive,
    directory::{Directory, remove_created},
    host::{
        filter::{
            Owner,
            iptables::Iptables,
            nftables::{self, Table},
        },
        moves::{Moved, move_back},
        space::{Place, Space},
    },
    limits::{Cancel, Deadline},
    native::{self, ExecCall},
    plugin::Inner,
    trace::{Watched, Who},
};

/// linux/if.h
const IFF_UP: u32 = 0x1;
const IFF_PROMISC: u32 = 0x100;

/// Time for one lock while undoing.
const LOCK_TIME: Duration = Duration::from_secs(2);

/// Time for an executable's DEL while undoing.
const NATIVE_TIME: Duration = Duration::from_secs(10);

/// How to take back one effect.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Undo {
    /// The index is known once it is made, and to the process that made it.
    Link {
        at: Place,
        name: String,
        index: Option<u32>,
        bridge: bool,
    },
    /// `attrs` are the old ones.
    LinkAttrs {
        at: Place,
        name: String,
        index: u32,
        attrs: LinkAttrs,
    },
    LinkMoved {
        from: Place,
        to: Place,
        moved: Box<Moved>,
    },
    AddressAdded {
        at: Place,
        address: Address,
    },
    AddressRemoved {
        at: Place,
        address: Address,
    },
    RouteAdded {
        at: Place,
        route: Route,
    },
    RouteRemoved {
        at: Place,
        route: Route,
    },
    VlanAdded {
        at: Place,
        vlan: BridgeVlan,
    },
    VlanRemoved {
        at: Place,
        vlan: BridgeVlan,
    },
    Sysctl {
        at: Place,
        key: String,
        old: String,
    },
    EntryCreated {
        folder: PathBuf,
        key: String,
        value: Vec<u8>,
    },
    EntryRemoved {
        folder: PathBuf,
        key: String,
        value: Vec<u8>,
    },
    /// `old` is what was there, none if nothing was.
    EntryReplaced {
        folder: PathBuf,
        key: String,
        value: Vec<u8>,
        old: Option<Vec<u8>>,
    },
    /// `created` are the folders that were made for it, outermost first.
    EntriesFolder {
        folder: PathBuf,
        created: Vec<PathBuf>,
    },
    Folders {
        created: Vec<PathBuf>,
    },
    File {
        path: PathBuf,
    },
    /// Without addresses, as earlier builds noted it, it is that of all of the
    /// container's interfaces.
    Masquerade {
        owner: Owner,
        #[serde(default)]
        addresses: Vec<IpNet>,
    },
    SpoofCheck {
        owner: Owner,
    },
    FilterTable {
        table: Table,
    },
    /// Nothing to take back: that a component from elsewhere took part, which may
    /// not be there any more when it is to detach. `digest` is its file's, SHA-256.
    Component {
        kind: String,
        digest: String,
    },
    /// A DEL of an executable.
    Delegated {
        kind: String,
        path: PathBuf,
        env: Vec<(OsString, OsString)>,
        stdin: Vec<u8>,
    },
}

impl Undo {
    /// `link` is what it was before `attrs` were set.
    pub(crate) fn link_set(at: Place, link: &Link, attrs: &LinkAttrs) -> Self {
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
        Self::LinkAttrs { at, name: link.name.clone(), index: link.index, attrs: old }
    }

    /// None for forwarding: other attachments may have come to rely on it.
    pub(crate) fn sysctl_set(at: Place, key: &str, old: &str) -> Option<Self> {
        let forwarding = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"].contains(&key);
        (!forwarding).then(|| Self::Sysctl { at, key: key.to_owned(), old: old.to_owned() })
    }

    pub(crate) fn delegated(call: ExecCall) -> Self {
        let ExecCall { kind, path, env, stdin, .. } = call;
        Self::Delegated { kind, path, env, stdin }
    }

    /// The link that was to be made has been.
    pub(crate) fn has_made(&mut self, link: u32) {
        match self {
            Self::Link { index, .. } => *index = Some(link),
            Self::LinkMoved { moved, .. } => moved.arrived = Some(link),
            _ => {}
        }
    }

    /// Is it about the container's namespace?
    pub(crate) fn is_inside(&self) -> bool {
        match self {
            Self::LinkMoved { .. } => true,
            Self::Link { at, .. }
            | Self::LinkAttrs { at, .. }
            | Self::AddressAdded { at, .. }
            | Self::AddressRemoved { at, .. }
            | Self::RouteAdded { at, .. }
            | Self::RouteRemoved { at, .. }
            | Self::VlanAdded { at, .. }
            | Self::VlanRemoved { at, .. }
            | Self::Sysctl { at, .. } => *at == Place::Sandbox,
            _ => false,
        }
    }

    /// Does it concern something that other attachments may use too?
    fn shared(&self, scene: &Scene) -> Option<Shared<'_>> {
        let of_bridge = |at: Place, index: u32| {
            scene
                .at(at)
                .is_some_and(|space| is_bridge(space, index))
                .then_some(Shared::Bridge(at, LinkRef::Index(index)))
        };
        match self {
            Self::Link { at, name, index, bridge: true } => {
                Some(Shared::Bridge(*at, index.map_or(LinkRef::Name(name), LinkRef::Index)))
            }
            Self::LinkAttrs { at, index, .. } => of_bridge(*at, *index),
            Self::AddressAdded { at, address } | Self::AddressRemoved { at, address } => of_bridge(*at, address.link),
            Self::EntriesFolder { .. } | Self::Folders { .. } | Self::FilterTable { .. } => Some(Shared::Other),
            _ => None,
        }
    }

    /// Takes it back.
    ///
    /// # Errors
    ///
    /// Why that did not work.
    pub(crate) fn take_back(&self, scene: &Scene) -> Result<(), String> {
        if matches!(self, Self::Component { .. }) {
            return Ok(());
        }
        scene.runtime.trace.undo(scene.who(""), self, || self.apply(scene))
    }

    fn apply(&self, scene: &Scene) -> Result<(), String> {
        // Gone already, most often with the link or the namespace.
        let kernel = |result: Result<(), Error>| match result {
            Err(e) if ![ENODEV, ENOENT, ESRCH, EADDRNOTAVAIL].contains(&e.errno()) => Err(e.to_string()),
            _ => Ok(()),
        };
        let netlink = |at: &Place, f: &mut dyn FnMut(&mut Netlink) -> Result<(), Error>| {
            scene.at(*at).map_or(Ok(()), |space| kernel(space.netlink(f)))
        };
        match self {
            Self::Link { at, name, index, .. } => netlink(at, &mut |n| {
                let index = match index {
                    Some(index) => *index,
                    None => n.link_get(LinkRef::Name(name))?.index,
                };
                n.link_del(index)
            }),
            Self::LinkAttrs { at, index, attrs, .. } => netlink(at, &mut |n| n.link_set(*index, attrs)),
            Self::LinkMoved { from, to, moved } => match (scene.at(*from), scene.at(*to)) {
                (Some(from), Some(to)) => kernel(move_back(from, to, moved)),
                _ => Ok(()),
            },
            Self::AddressAdded { at, address } => netlink(at, &mut |n| n.address_del(address)),
            Self::AddressRemoved { at, address } => netlink(at, &mut |n| n.address_add(address)),
            Self::RouteAdded { at, route } => netlink(at, &mut |n| n.route_del(route)),
            Self::RouteRemoved { at, route } => netlink(at, &mut |n| n.route_add(route)),
            Self::VlanAdded { at, vlan } => netlink(at, &mut |n| n.vlan_del(vlan)),
            Self::VlanRemoved { at, vlan } => netlink(at, &mut |n| n.vlan_add(vlan)),
            Self::Sysctl { at, key, old } => scene.at(*at).map_or(Ok(()), |space| {
                let set = space.netns.sysctls_set(&[(key, old)]);
                kernel(set.and_then(|results| results.into_iter().collect::<Result<(), _>>()))
            }),
            Self::EntryCreated { folder, key, value } => {
                let Some(directory) = Directory::existing(folder, &[]) else { return Ok(()) };
                let lock = directory.lock(&Deadline::after(LOCK_TIME)).map_err(|e| e.to_string())?;
                match lock.get(key) {
                    Ok(Some(found)) if found == *value => lock.delete(key).map_err(|e| e.to_string()),
                    Ok(_) => Ok(()),
                    Err(e) => Err(e.to_string()),
                }
            }
            Self::EntryRemoved { folder, key, value } => {
                let Some(directory) = Directory::existing(folder, &[]) else { return Ok(()) };
                let lock = directory.lock(&Deadline::after(LOCK_TIME)).map_err(|e| e.to_string())?;
                match lock.create(key, value) {
                    // It was not removed after all.
                    Err(e) if e.errno() != nix::libc::EEXIST => Err(e.to_string()),
                    _ => Ok(()),
                }
            }
            Self::EntryReplaced { folder, key, value, old } => {
                let Some(directory) = Directory::existing(folder, &[]) else { return Ok(()) };
                let lock = directory.lock(&Deadline::after(LOCK_TIME)).map_err(|e| e.to_string())?;
                let put_back = |found: Option<Vec<u8>>| match (found, old) {
                    (Some(found), Some(old)) if value.starts_with(&found) => lock.put(key, old),
                    (Some(found), None) if value.starts_with(&found) => lock.delete(key),
                    // Somebody else has written or removed it meanwhile.
                    _ => Ok(()),
                };
                lock.get(key).and_then(put_back).map_err(|e| e.to_string())
            }
            Self::EntriesFolder { folder, created } => match Directory::existing(folder, created) {
                Some(directory) => directory.remove_if_unused().map_err(|e| e.to_string()),
                None => Ok(()),
            },
            Self::Folders { created } => {
                remove_created(created);
                Ok(())
            }
            Self::File { path } => match std::fs::remove_file(path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.to_string()),
                _ => Ok(()),
            },
            Self::Masquerade { owner, addresses } => {
                let iptables = Iptables::new(&scene.runtime, &scene.host, scene.who("")).remove(owner, addresses);
                let nftables = nftables::unmasquerade(&scene.host, owner).map_err(|e| e.to_string());
                nftables.and(iptables.map_err(|e| e.msg))
            }
            Self::SpoofCheck { owner } => nftables::uncheck_spoofing(&scene.host, owner).map_err(|e| e.to_string()),
            Self::FilterTable { table } => table.remove_if_unused(&scene.host).map_err(|e| e.to_string()),
            Self::Component { .. } => Ok(()),
            Self::Delegated { kind, path, env, stdin } => {
                let (kind, path, env, stdin) = (kind.clone(), path.clone(), env.clone(), stdin.clone());
                let call = ExecCall { kind, path, env, stdin, timeout: NATIVE_TIME, cancel: Cancel::default() };
                let Inner { exec, trace, .. } = &*scene.runtime;
                let exec = Watched { exec: &**exec, trace, who: scene.who(&call.kind) };
                let run = || native::run(&exec, &call).map(drop).map_err(|e| e.to_string());
                scene.host.netns.run(run).map_err(|e| e.to_string())?
            }
        }
    }
}

/// What the effect was.
impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link { at, name, .. } => write!(f, "link {name:?} in the {at} namespace"),
            Self::LinkAttrs { at, name, .. } => write!(f, "attributes of link {name:?} in the {at} namespace"),
            Self::LinkMoved { to, moved, .. } => write!(f, "move of link {:?} to the {to} namespace", moved.link.name),
            Self::AddressAdded { at, address } => write!(f, "address {} in the {at} namespace", address.ip),
            Self::AddressRemoved { at, address } => {
                write!(f, "removal of address {} in the {at} namespace", address.ip)
            }
            Self::RouteAdded { at, route } => write!(f, "route to {} in the {at} namespace", route.dst),
            Self::RouteRemoved { at, route } => {
                write!(f, "removal of the route to {} in the {at} namespace", route.dst)
            }
            Self::VlanAdded { vlan, .. } => write!(f, "VLANs {}-{} of link {}", vlan.first, vlan.last, vlan.link),
            Self::VlanRemoved { vlan, .. } => {
                write!(f, "removal of VLANs {}-{} of link {}", vlan.first, vlan.last, vlan.link)
            }
            Self::Sysctl { at, key, .. } => write!(f, "sysctl {key} in the {at} namespace"),
            Self::EntryCreated { folder, key, .. } => write!(f, "{}/{key}", folder.display()),
            Self::EntryRemoved { folder, key, .. } => write!(f, "removal of {}/{key}", folder.display()),
            Self::EntryReplaced { folder, key, .. } => write!(f, "content of {}/{key}", folder.display()),
            Self::EntriesFolder { folder, .. } => write!(f, "folder {}", folder.display()),
            Self::Folders { created } => match created.first() {
                Some(folder) => write!(f, "folder {}", folder.display()),
                None => f.write_str("folders"),
            },
            Self::File { path } => write!(f, "{}", path.display()),
            Self::Masquerade { owner, .. } => write!(f, "masquerade rules of {}", owner.container_id),
            Self::SpoofCheck { owner } => write!(f, "spoof check of {}", owner.container_id),
            Self::FilterTable { .. } => f.write_str("table of packet filters"),
            Self::Component { kind, digest } => write!(f, "plugin {kind:?} (sha256:{digest})"),
            Self::Delegated { kind, .. } => write!(f, "what plugin {kind:?} did"),
        }
    }
}

/// Where effects are taken back.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) host: Arc<Space>,
    /// None if it is gone, and what was in it.
    pub(crate) sandbox: Option<Arc<Space>>,
    pub(crate) runtime: Arc<Inner>,
    /// Whose they are.
    pub(crate) owner: Owner,
}

impl Scene {
    fn who<'a>(&'a self, plugin: &'a str) -> Who<'a> {
        let Owner { network, container_id, ifname } = &self.owner;
        Who { container_id, ifname, network, plugin, depth: 0 }
    }

    fn at(&self, place: Place) -> Option<&Space> {
        match place {
            Place::Host => Some(&self.host),
            Place::Sandbox => self.sandbox.as_deref(),
        }
    }
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene").field("host", &self.host).field("sandbox", &self.sandbox).finish_non_exhaustive()
    }
}

enum Shared<'a> {
    Bridge(Place, LinkRef<'a>),
    /// What its own inverse leaves alone if it is in use.
    Other,
}

/// Takes back effects, the last first. What could not be taken back is named.
pub(crate) fn undo<'a>(entries: impl DoubleEndedIterator<Item = &'a Undo>, scene: &Scene) -> Vec<String> {
    let mut failures = Vec::new();
    let mut shared = Vec::new();
    for entry in entries.rev() {
        if entry.shared(scene).is_some() {
            shared.push(entry);
        } else if let Err(reason) = entry.take_back(scene) {
            failures.push(format!("{entry} ({reason})"));
        }
    }
    failures.extend(undo_shared(&shared, scene));
    failures
}

/// Takes back what is shared, where nobody else uses it.
pub(crate) fn tidy(entries: &[Undo], scene: &Scene) -> Vec<String> {
    let shared: Vec<_> = entries.iter().rev().filter(|entry| entry.shared(scene).is_some()).collect();
    undo_shared(&shared, scene)
}

fn undo_shared(shared: &[&Undo], scene: &Scene) -> Vec<String> {
    if shared.is_empty() {
        return Vec::new();
    }
    let Some(_lock) = lock_exclusive(&scene.host.netns, &Deadline::after(LOCK_TIME)) else {
        // Others are attaching all the time, so it is in use.
        return Vec::new();
    };
    let mut failures = Vec::new();
    for entry in shared {
        let unused = match entry.shared(scene) {
            Some(Shared::Bridge(at, link)) => scene.at(at).is_some_and(|space| !has_ports(space, link)),
            _ => true,
        };
        if unused && let Err(reason) = entry.take_back(scene) {
            failures.push(format!("{entry} ({reason})"));
        }
    }
    failures
}

fn is_bridge(space: &Space, index: u32) -> bool {
    space.netlink(|netlink| netlink.link_get(LinkRef::Index(index))).is_ok_and(|link| link.kind == "bridge")
}

fn has_ports(space: &Space, bridge: LinkRef<'_>) -> bool {
    let ports = space.netlink(|netlink| {
        let bridge = netlink.link_get(bridge)?.index;
        Ok(netlink.links()?.iter().any(|link| link.master == bridge))
    });
    ports.unwrap_or(false)
}
