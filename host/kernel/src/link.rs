//! Links: bridges, veth pairs, and the attributes of any device. Must not know:
//! which of them belong together.

use std::os::fd::RawFd;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage::{DelLink, GetLink, NewLink as AddLink, SetLink};
use nix::errno::Errno;

use crate::link_message as message;
use crate::{Error, Netlink};

/// How a call names a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRef<'a> {
    /// `ifi_index`.
    Index(u32),
    /// `IFLA_IFNAME`, at most 15 octets.
    Name(&'a str),
}

/// A link to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    /// `IFLA_IFNAME`, 1 to 15 octets.
    pub name: String,
    /// `IFLA_INFO_KIND` and what belongs to it.
    pub kind: LinkKind,
    /// What it starts with; `None` leaves an attribute to the kernel.
    pub attrs: LinkAttrs,
}

/// The kinds of link that can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkKind {
    /// linux/if_bridge.h
    Bridge {
        /// `IFLA_BR_VLAN_FILTERING`. `EOPNOTSUPP` from a kernel without
        /// `CONFIG_BRIDGE_VLAN_FILTERING`.
        vlan_filtering: bool,
    },
    /// A pair; the peer is made in its namespace, down.
    Veth(VethPeer),
}

/// The other end of a veth pair (`VETH_INFO_PEER`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VethPeer {
    /// `IFLA_IFNAME`, 1 to 15 octets.
    pub name: String,
    /// `IFLA_NET_NS_FD`, of a namespace that is open; `None`: the same namespace.
    pub netns: Option<RawFd>,
    /// `IFLA_ADDRESS`, 6 octets; `None`: at random.
    pub mac: Option<Vec<u8>>,
    /// `IFLA_MTU`, octets; `None`: 1500.
    pub mtu: Option<u32>,
}

/// What can be set on a link; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct LinkAttrs {
    /// `IFF_UP`.
    pub up: Option<bool>,
    /// `IFLA_MTU`, octets.
    pub mtu: Option<u32>,
    /// `IFLA_ADDRESS`.
    pub mac: Option<Vec<u8>>,
    /// `IFLA_MASTER`; 0 takes the link out of its bridge.
    pub master: Option<u32>,
    /// `IFF_PROMISC`.
    pub promisc: Option<bool>,
    /// `IFLA_BRPORT_MODE`, of a bridge port.
    pub hairpin: Option<bool>,
    /// `IFLA_BRPORT_ISOLATED`, of a bridge port.
    pub isolated: Option<bool>,
    /// `IFLA_IFNAME`, 1 to 15 octets, of a link that is there.
    pub name: Option<String>,
    /// `IFLA_IFALIAS`, at most 255 octets; empty removes it.
    pub alias: Option<String>,
    /// `IFLA_NET_NS_FD`, of a namespace that is open and a link that is there.
    /// It arrives down; its new name and alias, and `up`, apply there.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub netns: Option<RawFd>,
}

/// A link, as `RTM_GETLINK` reports it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct Link {
    /// `ifi_index`, from 1.
    pub index: u32,
    /// `IFLA_IFNAME`.
    pub name: String,
    /// `IFLA_INFO_KIND`; empty for a device without one, such as `lo`.
    pub kind: String,
    /// `IFLA_ADDRESS`; empty for a device without one.
    pub mac: Vec<u8>,
    /// `IFLA_MTU`, octets.
    pub mtu: u32,
    /// `IFF_*` (linux/if.h).
    pub flags: u32,
    /// `IF_OPER_*` (linux/if.h): 0 unknown, 6 up.
    pub operstate: u8,
    /// `IFLA_MASTER`; 0 for none.
    pub master: u32,
    /// `IFLA_LINK`: of a veth, the peer's index in the peer's namespace; 0 for none.
    pub parent: u32,
    /// `IFLA_PROMISCUITY`: how many want the device promiscuous.
    pub promiscuity: u32,
    /// `IFLA_IFALIAS`; empty for none.
    pub alias: String,
}

impl Netlink {
    /// Makes a link and returns its index. `EEXIST` if the name, or the peer's,
    /// is taken; `ERANGE` for a name of more than 15 octets; `EADDRNOTAVAIL` for
    /// a MAC address that is no station's. What the kernel refuses leaves no
    /// link behind. (`RTM_NEWLINK` with `NLM_F_CREATE | NLM_F_EXCL`)
    pub fn link_add(&mut self, link: &NewLink) -> Result<u32, Error> {
        Ok(self.link_new(link)?.index)
    }

    /// The same, and returns the link as the kernel has made it. The `parent` of a
    /// veth is its peer's index.
    pub fn link_new(&mut self, link: &NewLink) -> Result<Link, Error> {
        self.try_link_add(link).map_err(|error| error.during(format!("link-add {}", link.name)))
    }

    /// Sets what is given. Setting several is not atomic: what the kernel took
    /// before it refused stays. (`RTM_SETLINK`)
    pub fn link_set(&mut self, index: u32, attrs: &LinkAttrs) -> Result<(), Error> {
        self.try_link_set(index, attrs).map_err(|error| error.during(format!("link-set index {index}")))
    }

    /// Has the kernel tell the neighbours where the link's addresses are: sysctl
    /// `arp_notify` is 1. Unlike a look at `/proc/sys`, it takes no longer with
    /// more namespaces on the machine. (`RTM_SETLINK` with `IFLA_INET_CONF`)
    pub fn link_notify_by_arp(&mut self, index: u32) -> Result<(), Error> {
        let done = self.request(SetLink(message::notify_by_arp(index)), 0);
        done.map(drop).map_err(|error| error.during(format!("link-notify-by-arp index {index}")))
    }

    /// Deletes a link, and its peer. `ENODEV` if there is none. (`RTM_DELLINK`)
    pub fn link_del(&mut self, index: u32) -> Result<(), Error> {
        let request = DelLink(message::named(LinkRef::Index(index)));
        self.request(request, 0).map(drop).map_err(|error| error.during(format!("link-del index {index}")))
    }

    /// One link. `ENODEV` if there is none. (`RTM_GETLINK`)
    pub fn link_get(&mut self, link: LinkRef<'_>) -> Result<Link, Error> {
        self.try_link_get(link).map_err(|error| match link {
            LinkRef::Index(index) => error.during(format!("link-get index {index}")),
            LinkRef::Name(name) => error.during(format!("link-get {name}")),
        })
    }

    /// Every link of the namespace. (`RTM_GETLINK` with `NLM_F_DUMP`)
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        self.dump(&GetLink(message::wanted(LinkRef::Index(0))))
            .and_then(|replies| replies.iter().filter_map(message::read).collect())
            .map_err(|error| error.during("links"))
    }

    fn try_link_add(&mut self, link: &NewLink) -> Result<Link, Error> {
        check_name(&link.name)?;
        check_mac(link.attrs.mac.as_deref())?;
        if let LinkKind::Veth(peer) = &link.kind {
            check_name(&peer.name)?;
            check_mac(peer.mac.as_deref())?;
        }
        let replies = self.request(AddLink(message::new_link(link)), NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO)?;
        let mut echo = replies.iter().filter_map(message::read).flatten();
        let made = match echo.find(|made| made.name == link.name) {
            Some(made) => made,
            // Before Linux 6.2 there is no echo.
            None => self.try_link_get(LinkRef::Name(&link.name))?,
        };
        if let Err(error) = self.set_port(made.index, &link.attrs) {
            // The first failure is the one to tell.
            let _ = self.link_del(made.index);
            return Err(error);
        }
        Ok(made)
    }

    fn try_link_set(&mut self, index: u32, attrs: &LinkAttrs) -> Result<(), Error> {
        if let Some(name) = &attrs.name {
            check_name(name)?;
        }
        if let Some(request) = message::set_link(index, attrs) {
            self.request(SetLink(request), 0)?;
        }
        self.set_port(index, attrs)
    }

    fn set_port(&mut self, index: u32, attrs: &LinkAttrs) -> Result<(), Error> {
        if let Some(request) = message::set_port(index, attrs) {
            self.request(SetLink(request), 0)?;
        }
        Ok(())
    }

    fn try_link_get(&mut self, link: LinkRef<'_>) -> Result<Link, Error> {
        if let LinkRef::Name(name) = link {
            check_name(name)?;
        }
        let reply = self.query(GetLink(message::wanted(link)))?;
        match reply.as_ref().and_then(message::read) {
            Some(link) => link,
            None => Err(Error::from_errno(Errno::ENODEV)),
        }
    }
}

/// The kernel would make up a name for an empty one, cut one at a NUL, and
/// number one with a `%`: none of them is the name that was asked for.
fn check_name(name: &str) -> Result<(), Error> {
    if name.len() > 15 {
        return Err(Error::from_errno(Errno::ERANGE));
    }
    if name.is_empty() || name.contains(['\0', '%']) {
        return Err(Error::from_errno(Errno::EINVAL));
    }
    Ok(())
}

/// What `veth_validate` asks of the first end; of the peer the kernel takes anything.
fn check_mac(mac: Option<&[u8]>) -> Result<(), Error> {
    match mac {
        Some(mac) if mac.len() != 6 => Err(Error::from_errno(Errno::EINVAL)),
        Some(mac) if mac[0] & 1 == 1 || mac == [0; 6] => Err(Error::from_errno(Errno::EADDRNOTAVAIL)),
        _ => Ok(()),
    }
}
