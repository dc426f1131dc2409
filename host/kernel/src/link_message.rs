//! The messages behind `link.rs`: written with rtnetlink's builders, read
//! attribute by attribute. Must not know: sockets.
//!
//! Reading doesn't use those types: a reply has sixty attributes, of which ten
//! are wanted, and one that a newer kernel made longer would fail all of it.

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NlasIterator, parse_string, parse_u8, parse_u32};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    AfSpecInet, AfSpecUnspec, InfoData, InfoVeth, LinkAttribute, LinkExtentMask, LinkHeader, LinkMessage,
    LinkProtoInfoBridge,
};
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth};

use crate::netlink::Reply;
use crate::{Error, Link, LinkAttrs, LinkKind, LinkRef, NewLink, VethPeer};

/// Octets of `struct ifinfomsg`.
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
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INET_CONF: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_ISOLATED: u16 = 33;

/// `IPV4_DEVCONF_ARP_NOTIFY` (linux/ip.h).
const ARP_NOTIFY: u16 = 22;

/// A message that names a link and says nothing more.
pub(crate) fn named(link: LinkRef<'_>) -> LinkMessage {
    let mut message = LinkMessage::default();
    match link {
        LinkRef::Index(index) => message.header.index = index,
        LinkRef::Name(name) => message.attributes.push(LinkAttribute::IfName(name.to_owned())),
    }
    message
}

/// A question after a link, without its protocols' counters; index 0: after all
/// of them.
pub(crate) fn wanted(link: LinkRef<'_>) -> LinkMessage {
    let mut message = named(link);
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    message
}

/// All that `RTM_NEWLINK` takes at once; port attributes it does not.
pub(crate) fn new_link(link: &NewLink) -> LinkMessage {
    let mut message = match &link.kind {
        LinkKind::Bridge { vlan_filtering } => bridge(&link.name, *vlan_filtering),
        LinkKind::Veth(peer) => veth(&link.name, peer),
    };
    // The name comes first, what belongs to the kind last.
    let attrs = with_attrs(LinkMessageBuilder::<LinkUnspec>::new(), &link.attrs).build();
    message.header = attrs.header;
    message.attributes.splice(1..1, attrs.attributes);
    message
}

fn bridge(name: &str, vlan_filtering: bool) -> LinkMessage {
    // Not `LinkBridge::new`, which sets the bridge up.
    let builder = LinkMessageBuilder::<LinkBridge>::new(name);
    if vlan_filtering { builder.vlan_filtering(true) } else { builder }.build()
}

fn veth(name: &str, peer: &VethPeer) -> LinkMessage {
    let mut other = LinkUnspec::new_with_name(&peer.name);
    if let Some(mtu) = peer.mtu {
        other = other.mtu(mtu);
    }
    if let Some(mac) = &peer.mac {
        other = other.address(mac.clone());
    }
    if let Some(netns) = peer.netns {
        other = other.setns_by_fd(netns);
    }
    // The builder's own peer has nothing but its name.
    let other = InfoData::Veth(InfoVeth::Peer(other.build()));
    LinkVeth::new(name, &peer.name).set_info_data(other).build()
}

/// `None` if there is nothing to set.
pub(crate) fn set_link(index: u32, attrs: &LinkAttrs) -> Option<LinkMessage> {
    let message = with_attrs(LinkUnspec::new_with_index(index), attrs).build();
    let flags = !message.header.change_mask.is_empty();
    (flags || !message.attributes.is_empty()).then_some(message)
}

/// The one of IPv4's settings of a link that is set so. Its type here, `InetDevConf`,
/// holds all of them, and goes through them ten times to be written.
pub(crate) fn notify_by_arp(index: u32) -> LinkMessage {
    let mut message = named(LinkRef::Index(index));
    let setting = DefaultNla::new(ARP_NOTIFY, 1_i32.to_ne_bytes().to_vec());
    let mut settings = vec![0; setting.buffer_len()];
    setting.emit(&mut settings);
    let settings = DefaultNla::new(IFLA_INET_CONF | NLA_F_NESTED, settings);
    let of_ipv4 = AfSpecUnspec::Inet(vec![AfSpecInet::Other(settings)]);
    message.attributes.push(LinkAttribute::AfSpecUnspec(vec![of_ipv4]));
    message
}

/// The attributes of a bridge port: a message of their own, in the bridge's
/// family. `None` if there is nothing to set.
pub(crate) fn set_port(index: u32, attrs: &LinkAttrs) -> Option<LinkMessage> {
    let port: Vec<_> = [(IFLA_BRPORT_MODE, attrs.hairpin), (IFLA_BRPORT_ISOLATED, attrs.isolated)]
        .into_iter()
        .filter_map(|(kind, on)| Some(DefaultNla::new(kind, vec![on?.into()])))
        .map(LinkProtoInfoBridge::Other)
        .collect();
    if port.is_empty() {
        return None;
    }
    let mut message = named(LinkRef::Index(index));
    message.header.interface_family = AddressFamily::Bridge;
    message.attributes.push(LinkAttribute::ProtoInfoBridge(port));
    Some(message)
}

/// The link of an `RTM_NEWLINK`; `None` for any other message.
pub(crate) fn read(reply: &Reply) -> Option<Result<Link, Error>> {
    (reply.kind == RTM_NEWLINK).then(|| read_link(&reply.payload).map_err(Error::from_decode))
}

fn read_link(payload: &[u8]) -> Result<Link, netlink_packet_core::DecodeError> {
    let header = LinkHeader::parse(payload)?;
    let mut link = Link { index: header.index, flags: header.flags.bits(), ..Link::default() };
    for attribute in NlasIterator::new(&payload[IFINFOMSG_LEN..]) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            IFLA_IFNAME => link.name = parse_string(value)?,
            IFLA_ADDRESS => link.mac = value.to_vec(),
            IFLA_MTU => link.mtu = parse_u32(value)?,
            IFLA_LINK => link.parent = parse_u32(value)?,
            IFLA_MASTER => link.master = parse_u32(value)?,
            IFLA_OPERSTATE => link.operstate = parse_u8(value)?,
            IFLA_IFALIAS => link.alias = parse_string(value)?,
            IFLA_PROMISCUITY => link.promiscuity = parse_u32(value)?,
            IFLA_LINKINFO => {
                for info in NlasIterator::new(value) {
                    let info = info?;
                    if info.kind() == IFLA_INFO_KIND {
                        link.kind = parse_string(info.value())?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(link)
}

fn with_attrs(mut builder: LinkMessageBuilder<LinkUnspec>, attrs: &LinkAttrs) -> LinkMessageBuilder<LinkUnspec> {
    if let Some(up) = attrs.up {
        builder = if up { builder.up() } else { builder.down() };
    }
    if let Some(promisc) = attrs.promisc {
        builder = builder.promiscuous(promisc);
    }
    if let Some(mtu) = attrs.mtu {
        builder = builder.mtu(mtu);
    }
    if let Some(mac) = &attrs.mac {
        builder = builder.address(mac.clone());
    }
    if let Some(master) = attrs.master {
        builder = builder.controller(master);
    }
    if let Some(name) = &attrs.name {
        builder = builder.name(name);
    }
    if let Some(alias) = &attrs.alias {
        // The builder's `alias` ends in a NUL. Alone, that is an alias of no bytes;
        // only an attribute without any removes the alias.
        let alias = DefaultNla::new(IFLA_IFALIAS, alias.clone().into_bytes());
        builder = builder.append_extra_attribute(LinkAttribute::Other(alias));
    }
    if let Some(netns) = attrs.netns {
        builder = builder.setns_by_fd(netns);
    }
    builder
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::{InfoBridge, InfoKind, LinkFlags, LinkInfo};

    use super::*;

    fn bytes(message: &LinkMessage) -> Vec<u8> {
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    fn all() -> LinkAttrs {
        LinkAttrs {
            up: Some(true),
            mtu: Some(1450),
            mac: Some(vec![2, 0, 0, 0, 0, 9]),
            master: Some(3),
            promisc: Some(false),
            name: Some("new".to_owned()),
            alias: Some(String::new()),
            netns: Some(7),
            ..LinkAttrs::default()
        }
    }

    /// The message without a builder: what was sent before there was one.
    fn by_hand(mut message: LinkMessage, info: Vec<LinkInfo>) -> LinkMessage {
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up | LinkFlags::Promisc;
        message.attributes.extend([
            LinkAttribute::Mtu(1450),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 9]),
            LinkAttribute::Controller(3),
            LinkAttribute::IfName("new".to_owned()),
            LinkAttribute::Other(DefaultNla::new(IFLA_IFALIAS, Vec::new())),
            LinkAttribute::NetNsFd(7),
        ]);
        if !info.is_empty() {
            message.attributes.push(LinkAttribute::LinkInfo(info));
        }
        message
    }

    #[test]
    fn a_veth_pair_is_the_bytes_that_are_written_by_hand() {
        let peer =
            VethPeer { name: "eth0".to_owned(), netns: Some(9), mac: Some(vec![2, 0, 0, 0, 0, 7]), mtu: Some(1400) };
        let link = NewLink { name: "veth0".to_owned(), kind: LinkKind::Veth(peer), attrs: all() };
        let mut other = named(LinkRef::Name("eth0"));
        other.attributes.extend([
            LinkAttribute::Mtu(1400),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 7]),
            LinkAttribute::NetNsFd(9),
        ]);
        let info = vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other)))];
        assert_eq!(bytes(&new_link(&link)), bytes(&by_hand(named(LinkRef::Name("veth0")), info)));
    }

    #[test]
    fn a_bridge_is_the_bytes_that_are_written_by_hand() {
        for (vlan_filtering, data) in
            [(false, None), (true, Some(LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]))))]
        {
            let kind = LinkKind::Bridge { vlan_filtering };
            let link = NewLink { name: "cni0".to_owned(), kind, attrs: all() };
            let info = [LinkInfo::Kind(InfoKind::Bridge)].into_iter().chain(data).collect();
            assert_eq!(bytes(&new_link(&link)), bytes(&by_hand(named(LinkRef::Name("cni0")), info)));
        }
    }

    #[test]
    fn a_change_is_the_bytes_that_are_written_by_hand() {
        let by_hand = by_hand(named(LinkRef::Index(5)), Vec::new());
        assert_eq!(bytes(&set_link(5, &all()).unwrap()), bytes(&by_hand));
        assert_eq!(set_link(5, &LinkAttrs::default()), None);
        assert_eq!(set_link(5, &LinkAttrs { hairpin: Some(true), ..LinkAttrs::default() }), None);
    }
}
