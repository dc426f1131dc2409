//! Links: bridges, veth pairs, and the attributes of any device. Must not know:
//! which of them belong together.

mod bridge;
mod check;
mod flags;
mod message;
mod read;
mod types;
mod veth;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage::{DelLink, GetLink, NewLink as AddLink, SetLink};
use nix::errno::Errno;

use self::check::{check_mac, check_name};
pub use self::flags::{IF_OPER_UP, IFF_LOOPBACK, IFF_PROMISC, IFF_UP};
pub(crate) use self::read::IFINFOMSG_LEN;
pub use self::types::{Link, LinkAttrs, LinkKind, LinkRef, NewLink};
pub use self::veth::VethPeer;
use crate::{Error, Netlink};

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
            .and_then(|replies| replies.iter().filter_map(read::link).collect())
            .map_err(|error| error.during("links"))
    }

    fn try_link_add(&mut self, link: &NewLink) -> Result<Link, Error> {
        check_name(&link.name)?;
        check_mac(link.attrs.mac.as_deref())?;
        let replies = self.request(AddLink(message::new_link(link)?), NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO)?;
        let mut echo = replies.iter().filter_map(read::link).flatten();
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
        match reply.as_ref().and_then(read::link) {
            Some(link) => link,
            None => Err(Error::from_errno(Errno::ENODEV)),
        }
    }
}
