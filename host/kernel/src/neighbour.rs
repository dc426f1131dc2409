//! Neighbours: the link-layer addresses of IP addresses (ARP, NDP), as in
//! `ip neighbour`. Must not know: what they are set for.

use std::net::IpAddr;

use netlink_packet_core::{DecodeError, NLM_F_CREATE, NLM_F_REPLACE, NlasIterator};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage::{DelNeighbour, GetNeighbour, NewNeighbour};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourHeader, NeighbourMessage};

use crate::answer::{Reply, ip_address};
use crate::{Error, Netlink};

const RTM_NEWNEIGH: u16 = 28;

/// Bytes of `struct ndmsg`.
const NDMSG_LEN: usize = 12;

// linux/neighbour.h
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;

/// A neighbour of a link, or an address that the link answers for (proxy entry).
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct Neighbour {
    /// `ndm_ifindex`. 0 in a proxy entry: every link.
    pub link: u32,
    /// `NDA_DST`.
    pub ip: IpAddr,
    /// `NDA_LLADDR`; empty if it is not known, and in a proxy entry.
    pub mac: Vec<u8>,
    /// `NUD_*` (linux/neighbour.h): 0x80 permanent, 0x40 no ARP, 0x02 reachable.
    pub state: u16,
    /// `NTF_*` (linux/neighbour.h): 0x08 proxy, 0x80 router.
    pub flags: u8,
}

impl Netlink {
    /// Adds a neighbour, or replaces the one with the same address on the same
    /// link. `ENODEV` if there is no such link; `EINVAL` if the state needs a MAC
    /// address and there is none, or the MAC address is too short.
    /// (`RTM_NEWNEIGH` with `NLM_F_CREATE | NLM_F_REPLACE`)
    pub fn neighbour_add(&mut self, neighbour: &Neighbour) -> Result<(), Error> {
        let mut message = message(neighbour);
        message.header.state = neighbour.state.into();
        if !neighbour.mac.is_empty() {
            message.attributes.push(NeighbourAttribute::LinkLayerAddress(neighbour.mac.clone()));
        }
        self.request(NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE)
            .map(drop)
            .map_err(|error| error.during(format!("neighbour-add {}", neighbour.ip)))
    }

    /// Deletes a neighbour by its link, address and proxy flag. `ENOENT` if there
    /// is none, `ENODEV` if there is no such link. (`RTM_DELNEIGH`)
    pub fn neighbour_del(&mut self, neighbour: &Neighbour) -> Result<(), Error> {
        self.request(DelNeighbour(message(neighbour)), 0)
            .map(drop)
            .map_err(|error| error.during(format!("neighbour-del {}", neighbour.ip)))
    }

    /// Lists the neighbours of a link, or of all links, and then the proxy entries. The
    /// list is empty if there is no such link. (`RTM_GETNEIGH` with `NLM_F_DUMP`)
    pub fn neighbours(&mut self, link: Option<u32>) -> Result<Vec<Neighbour>, Error> {
        let mut neighbours = Vec::new();
        for flags in [NeighbourFlags::empty(), NeighbourFlags::Proxy] {
            let mut message = NeighbourMessage::default();
            message.header.flags = flags;
            message.attributes.extend(link.map(NeighbourAttribute::IfIndex));
            let replies = self.dump(&GetNeighbour(message)).map_err(|error| error.during("neighbours"))?;
            for reply in &replies {
                let neighbour = read(reply, link).map_err(|error| Error::from_decode(error).during("neighbours"))?;
                neighbours.extend(neighbour);
            }
        }
        Ok(neighbours)
    }
}

fn message(neighbour: &Neighbour) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = match neighbour.ip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.ifindex = neighbour.link;
    message.header.flags = NeighbourFlags::from_bits_retain(neighbour.flags);
    message.attributes = vec![NeighbourAttribute::Destination(neighbour.ip.into())];
    message
}

/// Reads a neighbour; `None` for other messages, links and families.
pub(crate) fn read(reply: &Reply, link: Option<u32>) -> Result<Option<Neighbour>, DecodeError> {
    if reply.kind != RTM_NEWNEIGH {
        return Ok(None);
    }
    let header = NeighbourHeader::parse(&reply.payload)?;
    if ![AddressFamily::Inet, AddressFamily::Inet6].contains(&header.family)
        || link.is_some_and(|link| link != header.ifindex)
    {
        return Ok(None);
    }
    let (mut ip, mut mac) = (None, Vec::new());
    for attribute in NlasIterator::new(&reply.payload[NDMSG_LEN..]) {
        let attribute = attribute?;
        match attribute.kind() {
            NDA_DST => ip = ip_address(attribute.value()),
            NDA_LLADDR => mac = attribute.value().to_vec(),
            _ => {}
        }
    }
    let (state, flags) = (header.state.into(), header.flags.bits());
    Ok(ip.map(|ip| Neighbour { link: header.ifindex, ip, mac, state, flags }))
}
