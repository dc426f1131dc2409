//! Links: makes some kinds, and changes, deletes and lists all. Must not know: which
//! of them belong together.

mod bridge;
mod check;
mod dummy;
mod flags;
mod macvlan;
mod message;
mod ports;
pub(crate) mod read;
mod types;
mod veth;

use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage::{DelLink, DelLinkProp, GetLink, NewLink as AddLink, SetLink};
use netlink_packet_route::link::LinkMessage;
use nix::errno::Errno;

use self::check::{check_mac, check_name};
pub use self::flags::{IF_OPER_UP, IFF_LOOPBACK, IFF_PROMISC, IFF_UP};
#[cfg(feature = "fuzzing")]
pub(crate) use self::macvlan::mode as read_macvlan_mode;
pub use self::macvlan::{Macvlan, MacvlanMode};
pub(crate) use self::read::IFINFOMSG_LEN;
pub use self::types::{Link, LinkAttrs, LinkKind, LinkRef, NewLink};
pub use self::veth::VethPeer;
use crate::{Error, Netlink};

/// How many indices are tried for a link in another namespace.
const INDEX_ATTEMPTS: usize = 3;

impl Netlink {
    /// Makes a link and returns its index. `EEXIST` if the name, or the peer's, is
    /// taken; `ERANGE` for a name of more than 15 bytes; `EADDRNOTAVAIL` for a
    /// multicast or zero MAC address; `EINVAL` if [`LinkAttrs::netns`] is set. A
    /// failure leaves no link behind. (`RTM_NEWLINK` with `NLM_F_CREATE |
    /// NLM_F_EXCL`)
    pub fn link_add(&mut self, link: &NewLink) -> Result<u32, Error> {
        Ok(self.link_new(link)?.index)
    }

    /// Makes a link and returns it as the kernel reports it. Otherwise as
    /// [`Netlink::link_add`].
    pub fn link_new(&mut self, link: &NewLink) -> Result<Link, Error> {
        self.try_link_add(link).map_err(|error| error.during(format!("link-add {}", link.name)))
    }

    /// Makes a link in another namespace, under its final name, and returns it.
    /// `target` is that namespace and `there` a socket in it; the link's parent is in
    /// this socket's namespace. The link gets a random index of at least 2^30.
    /// Otherwise as [`Netlink::link_add`]. (`RTM_NEWLINK` with `IFLA_NET_NS_FD`)
    pub fn link_new_in(&mut self, link: &NewLink, target: BorrowedFd<'_>, there: &mut Netlink) -> Result<Link, Error> {
        self.try_link_add_in(link, target, there).map_err(|error| error.during(format!("link-add {}", link.name)))
    }

    /// Sets attributes. This is not atomic: attributes that the kernel set before a
    /// failure stay set. (`RTM_SETLINK`)
    pub fn link_set(&mut self, index: u32, attrs: &LinkAttrs) -> Result<(), Error> {
        self.try_link_set(index, attrs).map_err(|error| error.during(format!("link-set index {index}")))
    }

    /// Sets sysctl `arp_notify` to 1: the kernel then tells the neighbours about the
    /// link's addresses. Unlike a write to `/proc/sys`, it does not get slower with
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

    /// The alternative names of a link, as bytes. `ENODEV` if there is no such link.
    /// (`RTM_GETLINK`)
    pub fn link_alternative_names(&mut self, index: u32) -> Result<Vec<Vec<u8>>, Error> {
        self.try_alternative_names(index).map_err(|error| error.during(format!("altnames index {index}")))
    }

    /// Removes alternative names of a link. (`RTM_DELLINKPROP`)
    pub fn link_drop_alternative_names(&mut self, index: u32, names: &[Vec<u8>]) -> Result<(), Error> {
        let request = DelLinkProp(message::without_names(index, names));
        self.request(request, 0).map(drop).map_err(|error| error.during(format!("altnames index {index}")))
    }

    /// One link. `ENODEV` if there is none. (`RTM_GETLINK`)
    pub fn link_get(&mut self, link: LinkRef<'_>) -> Result<Link, Error> {
        self.try_link_get(link).map_err(|error| match link {
            LinkRef::Index(index) => error.during(format!("link-get index {index}")),
            LinkRef::Name(name) => error.during(format!("link-get {name}")),
        })
    }

    /// A link of another namespace, which this socket's namespace numbers `nsid`.
    /// Needs `CAP_NET_ADMIN` in it. (`RTM_GETLINK` with `IFLA_TARGET_NETNSID`, Linux
    /// 4.20)
    pub fn link_get_in(&mut self, nsid: i32, index: u32) -> Result<Link, Error> {
        let found = self.query(GetLink(message::wanted_in(nsid, index)));
        let found = found.and_then(|reply| match reply.as_ref().and_then(read::link) {
            Some(link) => link,
            None => Err(Error::from_errno(Errno::ENODEV)),
        });
        found.map_err(|error| error.during(format!("link-get index {index} of namespace {nsid}")))
    }

    /// Every link of the namespace. (`RTM_GETLINK` with `NLM_F_DUMP`)
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        self.dump(&GetLink(message::wanted(LinkRef::Index(0))))
            .and_then(|replies| replies.iter().filter_map(read::link).collect())
            .map_err(|error| error.during("links"))
    }

    /// The mode of a macvlan link. `ENODEV` if there is no such link, `EINVAL` if it is
    /// of another kind, `EOPNOTSUPP` if [`MacvlanMode`] lacks its mode.
    /// (`RTM_GETLINK`)
    pub fn macvlan_mode(&mut self, index: u32) -> Result<MacvlanMode, Error> {
        self.try_macvlan_mode(index).map_err(|error| error.during(format!("macvlan-mode index {index}")))
    }

    fn try_macvlan_mode(&mut self, index: u32) -> Result<MacvlanMode, Error> {
        let reply = self.query(GetLink(message::wanted(LinkRef::Index(index))))?;
        let reply = reply.ok_or(Error::from_errno(Errno::ENODEV))?;
        let (kind, data) = read::kind(&reply).map_err(Error::from_decode)?;
        if kind != macvlan::KIND {
            return Err(Error::from_errno(Errno::EINVAL));
        }
        let mode = macvlan::mode(&data).map_err(Error::from_decode)?;
        mode.ok_or(Error::from_errno(Errno::EOPNOTSUPP))
    }

    fn try_alternative_names(&mut self, index: u32) -> Result<Vec<Vec<u8>>, Error> {
        let reply = self.query(GetLink(message::wanted(LinkRef::Index(index))))?;
        let reply = reply.ok_or(Error::from_errno(Errno::ENODEV))?;
        read::alternative_names(&reply).map_err(Error::from_decode)
    }

    fn try_link_add(&mut self, link: &NewLink) -> Result<Link, Error> {
        let replies = self.request(AddLink(new_link(link)?), NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO)?;
        let mut echo = replies.iter().filter_map(read::link).flatten();
        let made = match echo.find(|made| made.name == link.name) {
            Some(made) => made,
            // Before Linux 6.2, the kernel sends no echo.
            None => self.try_link_get(LinkRef::Name(&link.name))?,
        };
        self.set_port_or_delete(made.index, &link.attrs)?;
        Ok(made)
    }

    /// The kernel sends the echo of a new link to the namespace of the link, where
    /// this socket is not (tried on Linux 6.18). Asking there by name could find
    /// another link, if somebody in that namespace renames links. So the index is
    /// chosen beforehand (`ifi_index`).
    ///
    /// A taken index is `EEXIST`, or `EBUSY` if it was taken meanwhile. A random one
    /// is practically always free. A small one would not be: older kernels also
    /// refuse an index that this socket's namespace has. As a taken name is
    /// `EEXIST` too, it costs all attempts.
    fn try_link_add_in(&mut self, link: &NewLink, target: BorrowedFd<'_>, there: &mut Netlink) -> Result<Link, Error> {
        let message = message::in_namespace(new_link(link)?, target.as_raw_fd());
        let mut attempt = 1;
        let index = loop {
            let index = random_index();
            let mut message = message.clone();
            message.header.index = index;
            match self.request(AddLink(message), NLM_F_CREATE | NLM_F_EXCL) {
                Ok(_) => break index,
                Err(error) if attempt < INDEX_ATTEMPTS && is_taken(&error) => attempt += 1,
                Err(error) => return Err(error),
            }
        };
        there.set_port_or_delete(index, &link.attrs)?;
        there.try_link_get(LinkRef::Index(index)).inspect_err(|_| {
            let _ = there.link_del(index);
        })
    }

    fn set_port_or_delete(&mut self, index: u32, attrs: &LinkAttrs) -> Result<(), Error> {
        self.set_port(index, attrs).inspect_err(|_| {
            // The first failure is the one to report.
            let _ = self.link_del(index);
        })
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
        match reply.as_ref().and_then(read::link) {
            Some(link) => link,
            None => Err(Error::from_errno(Errno::ENODEV)),
        }
    }
}

fn new_link(link: &NewLink) -> Result<LinkMessage, Error> {
    check_name(&link.name)?;
    check_mac(link.attrs.mac.as_deref())?;
    if link.attrs.netns.is_some() {
        return Err(Error::from_errno(Errno::EINVAL));
    }
    message::new_link(link)
}

/// An index of at least 2^30, above those that the kernel gives out, which begin at 1.
pub fn random_index() -> u32 {
    let random = RandomState::new().hash_one(()) as u32;
    1 << 30 | random >> 2
}

fn is_taken(error: &Error) -> bool {
    [Errno::EEXIST as i32, Errno::EBUSY as i32].contains(&error.errno())
}
