//! Reads links attribute by attribute. Must not know: sockets.
//!
//! It doesn't use netlink-packet-route's types: a reply has sixty attributes, ten
//! are needed, and if a newer kernel made one longer, the whole reply would fail.
//! Names and aliases are bytes, which anybody in a namespace chooses: what is not
//! UTF-8 is read lossily, as one odd alias must not hide all links.

use netlink_packet_core::{DecodeError, NlasIterator, parse_i32, parse_u8, parse_u32};
use netlink_packet_route::link::LinkHeader;

use super::types::Link;
use crate::Error;
use crate::answer::{Reply, text};

/// Bytes of `struct ifinfomsg`.
pub(crate) const IFINFOMSG_LEN: usize = 16;

const RTM_NEWLINK: u16 = 16;

// linux/if_link.h
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_PROMISCUITY: u16 = 30;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_PERM_ADDRESS: u16 = 54;
const IFLA_PARENT_DEV_NAME: u16 = 56;
const IFLA_PARENT_DEV_BUS_NAME: u16 = 57;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;

/// Reads the link of an `RTM_NEWLINK`; `None` for any other message.
pub(crate) fn link(reply: &Reply) -> Option<Result<Link, Error>> {
    (reply.kind == RTM_NEWLINK).then(|| read_link(&reply.payload).map_err(Error::from_decode))
}

fn read_link(payload: &[u8]) -> Result<Link, DecodeError> {
    let header = LinkHeader::parse(payload)?;
    let mut link = Link { index: header.index, flags: header.flags.bits(), ..Link::default() };
    let (mut bus, mut device) = (String::new(), String::new());
    for attribute in NlasIterator::new(&payload[IFINFOMSG_LEN..]) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            IFLA_IFNAME => link.name = text(value),
            IFLA_ADDRESS => link.mac = value.to_vec(),
            IFLA_MTU => link.mtu = parse_u32(value)?,
            IFLA_LINK => link.parent = parse_u32(value)?,
            IFLA_MASTER => link.master = parse_u32(value)?,
            IFLA_OPERSTATE => link.operstate = parse_u8(value)?,
            IFLA_IFALIAS => link.alias = text(value),
            IFLA_PROMISCUITY => link.promiscuity = parse_u32(value)?,
            IFLA_LINK_NETNSID => link.parent_nsid = Some(parse_i32(value)?),
            IFLA_PERM_ADDRESS => link.permanent_mac = value.to_vec(),
            IFLA_PARENT_DEV_NAME => device = text(value),
            IFLA_PARENT_DEV_BUS_NAME => bus = text(value),
            IFLA_LINKINFO => link.kind = text(&value_of(value, IFLA_INFO_KIND)?),
            _ => {}
        }
    }
    if !device.is_empty() {
        link.device = format!("{bus}/{device}");
    }
    Ok(link)
}

/// Reads the alternative names of a link (`ip link property`), as bytes.
pub(crate) fn alternative_names(reply: &Reply) -> Result<Vec<Vec<u8>>, DecodeError> {
    LinkHeader::parse(&reply.payload)?;
    let list = value_of(&reply.payload[IFINFOMSG_LEN..], IFLA_PROP_LIST)?;
    let mut names = Vec::new();
    for property in NlasIterator::new(&list) {
        let property = property?;
        if property.kind() == IFLA_ALT_IFNAME {
            names.push(property.value().to_vec());
        }
    }
    Ok(names)
}

/// Reads `IFLA_INFO_KIND` and `IFLA_INFO_DATA` of a link; empty if it has none.
pub(crate) fn kind(reply: &Reply) -> Result<(String, Vec<u8>), DecodeError> {
    LinkHeader::parse(&reply.payload)?;
    let info = value_of(&reply.payload[IFINFOMSG_LEN..], IFLA_LINKINFO)?;
    Ok((text(&value_of(&info, IFLA_INFO_KIND)?), value_of(&info, IFLA_INFO_DATA)?))
}

/// Returns the value of the first attribute of a kind; empty if there is none.
fn value_of(bytes: &[u8], kind: u16) -> Result<Vec<u8>, DecodeError> {
    for attribute in NlasIterator::new(bytes) {
        let attribute = attribute?;
        if attribute.kind() == kind {
            return Ok(attribute.value().to_vec());
        }
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_name_that_is_not_utf8_is_read_lossily() {
        let attributes = [attribute(IFLA_IFNAME, b"e\xfcth\0"), attribute(IFLA_IFALIAS, b"B\xfcro\0")].concat();
        let link = read_link(&[vec![0; IFINFOMSG_LEN], attributes].concat()).unwrap();
        assert_eq!((&*link.name, &*link.alias), ("e\u{fffd}th", "B\u{fffd}ro"));
    }
}
