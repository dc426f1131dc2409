//! A device that is moved into the container: what it was on the host, and where it is by now, whatever the container has
//! done with its names.

use std::os::fd::{AsFd as _, AsRawFd as _};

use nix::{errno::Errno, libc::ENODEV};
use serde::{Deserialize, Serialize};
use wasm_cni_kernel::{Address, Error, IFF_UP, Link, LinkAttrs, LinkRef, Route, random_index};

use crate::space::{Place, Space};

/// `RTPROT_KERNEL` and `RTPROT_RA` (linux/rtnetlink.h): these come by themselves.
const KERNELS_ROUTES: [u8; 2] = [2, 9];

/// How a namespace numbers that of a link's other end, or of its parent.
type OtherEnd = Option<i32>;

/// A device of the host, as it was before it was moved.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Device {
    /// Its link there.
    pub link: Link,
    addresses: Vec<Address>,
    routes: Vec<Route>,
    /// Its alternative names, as bytes.
    #[serde(default)]
    names: Vec<Vec<u8>>,
    /// Its index in the container, chosen beforehand: to ask for it by its name there would be to ask the container.
    pub index: u32,
}

/// Where a device is.
#[derive(Debug)]
pub enum Whereabouts {
    /// On the host: it has not been moved, or has come back.
    Home,
    /// In the container.
    Container(Box<Link>),
    /// The container has put it into another namespace, which the host numbers like this.
    Elsewhere {
        /// `IFLA_LINK_NETNSID` of its other end.
        nsid: i32,
        /// Its index there.
        index: u32,
    },
    /// In neither namespace, as far as can be seen.
    Unknown,
}

impl Device {
    /// A device that leaves a namespace, for an index that is free where it goes. What it has on the host comes back with it;
    /// a container may have given it more than can be read.
    pub fn of(link: Link, from: &Space, index: u32) -> Result<Self, Error> {
        let (addresses, routes) = match from.place() {
            Place::Host => {
                from.netlink(|netlink| Ok((netlink.addresses(Some(link.index))?, netlink.routes(Some(link.index))?)))?
            }
            Place::Sandbox => Default::default(),
        };
        let names = from.netlink(|netlink| netlink.link_alternative_names(link.index))?;
        Ok(Self { link, addresses, routes, names, index })
    }

    /// Whether a link of the container is this device. The container can give a link of its own any name, alias, MAC and
    /// index. It cannot make hardware, nor one end of a pair whose other end is where this one's is.
    fn is(&self, found: &Link, other_end: OtherEnd) -> bool {
        key(&self.link) == key(found)
            && (self.link.parent == 0 || other_end.is_some_and(|nsid| found.parent_nsid == Some(nsid)))
    }

    /// How the container numbers the namespace of the other end, or of the parent. If it has no number for it, that is not the
    /// other end of any of its links.
    fn other_end(&self, host: &Space, sandbox: &Space) -> Result<OtherEnd, Error> {
        match (self.link.parent, self.link.parent_nsid) {
            (0, _) => Ok(None),
            // It is on the host.
            (_, None) => sandbox.netlink(|netlink| netlink.nsid(host.netns.as_fd())),
            (_, Some(nsid)) => host.netlink(|netlink| match netlink.nsid(sandbox.netns.as_fd())? {
                Some(container) => netlink.nsid_in(nsid, container),
                None => Ok(None),
            }),
        }
    }

    /// Whether nothing else can be taken for it when its index has changed.
    fn is_unmistakable(&self) -> bool {
        !self.link.device.is_empty() || self.link.parent != 0
    }

    /// Looks for it.
    pub fn find(&self, host: &Space, sandbox: &Space) -> Result<Whereabouts, Error> {
        let other_end = self.other_end(host, sandbox)?;
        if let Some(found) = get(sandbox, self.index)?
            && self.is(&found, other_end)
        {
            return Ok(Whereabouts::Container(Box::new(found)));
        }
        if self.is_home(host)? {
            return Ok(Whereabouts::Home);
        }
        if self.is_unmistakable() {
            let links = sandbox.netlink(|netlink| netlink.links())?;
            if let Some(found) = links.into_iter().find(|found| self.is(found, other_end)) {
                return Ok(Whereabouts::Container(Box::new(found)));
            }
        }
        self.find_by_other_end(host)
    }

    /// The same where the container's namespace cannot be reached: it may be gone, or have lost its path.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn find_from(&self, host: &Space) -> Result<Whereabouts, Error> {
        if self.is_home(host)? { Ok(Whereabouts::Home) } else { self.find_by_other_end(host) }
    }

    /// Whether the host has it: under its index, or, as the kernel puts hardware back when a namespace ends, under another.
    fn is_home(&self, host: &Space) -> Result<bool, Error> {
        let Link { parent_nsid, mac, .. } = &self.link;
        let is_it = |found: &Link| {
            key(&self.link) == key(found)
                && *parent_nsid == found.parent_nsid
                && (self.is_unmistakable() || *mac == found.mac)
        };
        if get(host, self.link.index)?.is_some_and(|found| is_it(&found)) {
            return Ok(true);
        }
        Ok(self.is_unmistakable() && host.netlink(|netlink| netlink.links())?.iter().any(is_it))
    }

    /// The other end of a pair, if the host has that, knows where this end is.
    fn find_by_other_end(&self, host: &Space) -> Result<Whereabouts, Error> {
        if self.link.kind != "veth" || self.link.parent_nsid.is_some() {
            return Ok(Whereabouts::Unknown);
        }
        let Some(other) = get(host, self.link.parent)? else { return Ok(Whereabouts::Unknown) };
        match other.parent_nsid {
            Some(nsid) if other.kind == "veth" => {
                let found = host.netlink(|netlink| netlink.link_get_in(nsid, other.parent));
                Ok(match found {
                    Ok(found) => Whereabouts::Elsewhere { nsid, index: found.index },
                    Err(_) => Whereabouts::Unknown,
                })
            }
            _ => Ok(Whereabouts::Unknown),
        }
    }

    /// Takes away the alternative names that it has not brought along: it would not go if the host had one of them.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn drop_names_of_container(&self, index: u32, sandbox: &Space) -> Result<(), Error> {
        sandbox.netlink(|netlink| {
            let mut names = netlink.link_alternative_names(index)?;
            names.retain(|name| !self.names.contains(name));
            if names.is_empty() { Ok(()) } else { netlink.link_drop_alternative_names(index, &names) }
        })
    }

    /// Brings it home from the container, as it was.
    pub fn bring_home(&self, at: &Whereabouts, host: &Space, sandbox: &Space) -> Result<(), Error> {
        let Self { link, addresses, routes, .. } = self;
        let Whereabouts::Container(found) = at else { return Ok(()) };
        // The kernel would move the link first, and find the name taken then.
        if host.netlink(|netlink| netlink.link_get(LinkRef::Name(&link.name))).is_ok() {
            return Err(Error::of_errno(format!("link {:?}", link.name), Errno::EEXIST as i32));
        }
        let index = free_index(host, link.index)?;
        let attrs = LinkAttrs {
            netns: Some(host.netns.as_fd().as_raw_fd()),
            index: Some(index),
            name: Some(link.name.clone()),
            alias: Some(link.alias.clone()),
            up: Some(link.flags & IFF_UP != 0),
            ..LinkAttrs::default()
        };
        let attrs = LinkAttrs {
            // Chained plugins may have set them.
            mtu: (found.mtu != link.mtu).then_some(link.mtu),
            mac: (found.mac != link.mac).then(|| link.mac.clone()),
            ..attrs
        };
        self.drop_names_of_container(found.index, sandbox)?;
        sandbox.netlink(|netlink| netlink.link_set(found.index, &attrs))?;
        host.netlink(|netlink| {
            // Before Linux 5.13, the kernel chooses the index. On the host, names can be believed.
            let index = match netlink.link_get(LinkRef::Index(index)) {
                Ok(found) if found.name == link.name => index,
                _ => netlink.link_get(LinkRef::Name(&link.name))?.index,
            };
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
}

/// What nobody can choose for a link of his own, and what stays the same wherever a link is.
fn key(link: &Link) -> (&str, &str, &[u8], u32) {
    let Link { kind, device, permanent_mac, parent, .. } = link;
    (kind, device, permanent_mac, *parent)
}

/// This index if no link there has it, else a random one.
pub fn free_index(space: &Space, index: u32) -> Result<u32, Error> {
    Ok(if get(space, index)?.is_none() { index } else { random_index() })
}

fn get(space: &Space, index: u32) -> Result<Option<Link>, Error> {
    match space.netlink(|netlink| netlink.link_get(LinkRef::Index(index))) {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.errno() == ENODEV => Ok(None),
        Err(e) => Err(e),
    }
}
