//! IP addresses of links. Must not know: who assigned them.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage::{DelAddress, GetAddress, NewAddress};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

use crate::netlink::Reply;
use crate::{Error, Netlink};

const RTM_NEWADDR: u16 = 20;

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct Address {
    /// `ifa_index`.
    pub link: u32,
    /// `IFA_LOCAL` and `ifa_prefixlen`; host bits are kept.
    pub ip: IpNet,
    /// `IFA_FLAGS` (linux/if_addr.h).
    pub flags: u32,
}

impl Netlink {
    /// Adds an address, without a label. An IPv4 address with a prefix below 31 also
    /// gets a broadcast address. `EEXIST` if the link has the address already.
    /// (`RTM_NEWADDR` with `NLM_F_CREATE | NLM_F_EXCL`)
    pub fn address_add(&mut self, address: &Address) -> Result<(), Error> {
        self.request(NewAddress(new_message(address)), NLM_F_CREATE | NLM_F_EXCL)
            .map(drop)
            .map_err(|error| error.during(format!("addr-add {}", address.ip)))
    }

    /// Deletes an address. `EADDRNOTAVAIL` if the link doesn't have it, `ENODEV`
    /// if there is no such link. (`RTM_DELADDR`)
    pub fn address_del(&mut self, address: &Address) -> Result<(), Error> {
        self.request(DelAddress(message(address)), 0)
            .map(drop)
            .map_err(|error| error.during(format!("addr-del {}", address.ip)))
    }

    /// Lists the addresses of a link, or of all links. `ENODEV` if there is no such
    /// link. (`RTM_GETADDR` with `NLM_F_DUMP`)
    pub fn addresses(&mut self, link: Option<u32>) -> Result<Vec<Address>, Error> {
        let mut message = AddressMessage::default();
        message.header.index = link.unwrap_or(0);
        self.dump(&GetAddress(message))
            .and_then(|replies| replies.iter().filter_map(|reply| read(reply, link)).collect())
            .map_err(|error| error.during("addresses"))
    }
}

/// Not written with rtnetlink's `AddressMessageBuilder`, which leaves out multicast
/// addresses, has no flags, and sends a broadcast address in deletions too.
fn message(address: &Address) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = match address.ip {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    message.header.prefix_len = address.ip.prefix_len();
    message.header.index = address.link;
    let ip = address.ip.addr();
    message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
    message
}

fn new_message(address: &Address) -> AddressMessage {
    let mut message = message(address);
    if let IpNet::V4(ip) = address.ip
        && ip.prefix_len() < 31
    {
        message.attributes.push(AddressAttribute::Broadcast(ip.broadcast()));
    }
    if address.flags != 0 {
        let flags = AddressFlags::from_bits_retain(address.flags);
        message.attributes.push(AddressAttribute::Flags(flags));
    }
    message
}

/// Reads an address; `None` for other messages, links and families.
pub(crate) fn read(reply: &Reply, link: Option<u32>) -> Option<Result<Address, Error>> {
    if reply.kind != RTM_NEWADDR {
        return None;
    }
    let message = match AddressMessage::parse(reply.payload.as_slice()) {
        Ok(message) => message,
        Err(error) => return Some(Err(Error::from_decode(error))),
    };
    if link.is_some_and(|link| link != message.header.index) {
        return None;
    }
    let (mut local, mut other) = (None, None);
    let mut flags = message.header.flags.bits().into();
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => other = Some(*ip),
            AddressAttribute::Flags(all) => flags = all.bits(),
            _ => {}
        }
    }
    // On a point-to-point link, IFA_ADDRESS is the peer's. Without IFA_LOCAL, it is
    // the link's own.
    let ip: IpAddr = local.or(other)?;
    let ip = IpNet::new(ip, message.header.prefix_len).ok()?;
    Some(Ok(Address { link: message.header.index, ip, flags }))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use netlink_packet_core::Emitable;
    use rtnetlink::AddressMessageBuilder;

    use super::*;

    /// The builder uses the same attributes, in another order.
    #[test]
    fn an_address_is_what_rtnetlink_makes_of_it() {
        let address = Address { link: 7, ip: "10.1.2.3/22".parse().unwrap(), flags: 0 };
        let built = AddressMessageBuilder::<Ipv4Addr>::new().index(7).address([10, 1, 2, 3].into(), 22).build();
        let mut ours = new_message(&address);
        ours.attributes.swap(0, 1);
        assert_eq!(ours, built);
        let mut bytes = vec![0; ours.buffer_len()];
        ours.emit(&mut bytes);
        // IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST: 8 bytes each after struct ifaddrmsg.
        assert_eq!(bytes.len(), 8 + 3 * 8);
        assert_eq!(bytes[28..], [10, 1, 3, 255]);
    }
}
