//! The messages about links, written with rtnetlink's builders. Must not know:
//! sockets.

use std::os::fd::RawFd;

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    AfSpecInet, AfSpecUnspec, LinkAttribute, LinkExtentMask, LinkMessage, LinkProtoInfoBridge, Prop,
};
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use super::types::{LinkAttrs, LinkKind, LinkRef, NewLink};
use super::{bridge, dummy, macvlan, veth};
use crate::Error;

// linux/if_link.h
const IFLA_IFALIAS: u16 = 20;
const IFLA_TARGET_NETNSID: u16 = 46;
const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_INET_CONF: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_ISOLATED: u16 = 33;

/// `IPV4_DEVCONF_ARP_NOTIFY` (linux/ip.h).
const ARP_NOTIFY: u16 = 22;

/// A message with nothing but the link that it is about.
pub(super) fn named(link: LinkRef<'_>) -> LinkMessage {
    let mut message = LinkMessage::default();
    match link {
        LinkRef::Index(index) => message.header.index = index,
        LinkRef::Name(name) => message.attributes.push(LinkAttribute::IfName(name.to_owned())),
    }
    message
}

/// A request for a link, without its protocols' counters; index 0: for all links.
pub(super) fn wanted(link: LinkRef<'_>) -> LinkMessage {
    let mut message = named(link);
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    message
}

/// The namespace that a link is in, by its number.
fn target(nsid: i32) -> LinkAttribute {
    LinkAttribute::Other(DefaultNla::new(IFLA_TARGET_NETNSID, nsid.to_ne_bytes().to_vec()))
}

/// A request for a link of a namespace with a number.
pub(super) fn wanted_in(nsid: i32, index: u32) -> LinkMessage {
    let mut message = wanted(LinkRef::Index(index));
    message.attributes.push(target(nsid));
    message
}

/// A new link with all its attributes, except those of a bridge port, which
/// `RTM_NEWLINK` rejects.
///
/// Only this function distinguishes kinds. To add one, add a variant to
/// [`LinkKind`], a file beside this one, and a line here.
pub(super) fn new_link(link: &NewLink) -> Result<LinkMessage, Error> {
    let mut message = match &link.kind {
        LinkKind::Bridge { vlan_filtering } => bridge::message(&link.name, *vlan_filtering),
        LinkKind::Veth(peer) => veth::message(&link.name, peer)?,
        LinkKind::Dummy => dummy::message(&link.name),
        LinkKind::Macvlan(macvlan) => macvlan::message(&link.name, macvlan),
    };
    // After the name, and before the options of the kind.
    let attrs = with_attrs(LinkMessageBuilder::<LinkUnspec>::new(), &link.attrs).build();
    message.header = attrs.header;
    message.attributes.splice(1..1, attrs.attributes);
    Ok(message)
}

/// The same link, made in another namespace.
pub(super) fn in_namespace(mut new_link: LinkMessage, netns: RawFd) -> LinkMessage {
    new_link.attributes.insert(1, LinkAttribute::NetNsFd(netns));
    new_link
}

/// `None` if there is nothing to set.
pub(super) fn set_link(index: u32, attrs: &LinkAttrs) -> Option<LinkMessage> {
    let message = with_attrs(LinkUnspec::new_with_index(index), attrs).build();
    let flags = !message.header.change_mask.is_empty();
    (flags || !message.attributes.is_empty()).then_some(message)
}

/// Sets `arp_notify`, one of IPv4's settings of a link. Not written with `InetDevConf`,
/// which always sends all settings.
pub(super) fn notify_by_arp(index: u32) -> LinkMessage {
    let mut message = named(LinkRef::Index(index));
    let setting = DefaultNla::new(ARP_NOTIFY, 1_i32.to_ne_bytes().to_vec());
    let mut settings = vec![0; setting.buffer_len()];
    setting.emit(&mut settings);
    let settings = DefaultNla::new(IFLA_INET_CONF | NLA_F_NESTED, settings);
    let of_ipv4 = AfSpecUnspec::Inet(vec![AfSpecInet::Other(settings)]);
    message.attributes.push(LinkAttribute::AfSpecUnspec(vec![of_ipv4]));
    message
}

/// Takes alternative names away, given as bytes with their NUL.
pub(super) fn without_names(index: u32, names: &[Vec<u8>]) -> LinkMessage {
    let mut message = named(LinkRef::Index(index));
    let names = names.iter().map(|name| Prop::Other(DefaultNla::new(IFLA_ALT_IFNAME, name.clone()))).collect();
    message.attributes.push(LinkAttribute::PropList(names));
    message
}

/// The attributes of a bridge port, which need a message of their own, of family
/// `AF_BRIDGE`. `None` if there is nothing to set.
pub(super) fn set_port(index: u32, attrs: &LinkAttrs) -> Option<LinkMessage> {
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
        // Not the builder's `alias`, which adds a NUL. Only an attribute without any
        // bytes removes the alias.
        let alias = DefaultNla::new(IFLA_IFALIAS, alias.clone().into_bytes());
        builder = builder.append_extra_attribute(LinkAttribute::Other(alias));
    }
    if let Some(netns) = attrs.netns {
        builder = builder.setns_by_fd(netns);
    }
    if let Some(index) = attrs.index {
        builder = builder.append_extra_attribute(LinkAttribute::NewIfIndex(index.cast_signed()));
    }
    builder
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::{InfoBridge, InfoData, InfoKind, InfoVeth, LinkFlags, LinkInfo};

    use super::super::veth::VethPeer;
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

    /// The same message as before rtnetlink was used.
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
        assert_eq!(bytes(&new_link(&link).unwrap()), bytes(&by_hand(named(LinkRef::Name("veth0")), info)));
    }

    #[test]
    fn a_bridge_is_the_bytes_that_are_written_by_hand() {
        for (vlan_filtering, data) in
            [(false, None), (true, Some(LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]))))]
        {
            let kind = LinkKind::Bridge { vlan_filtering };
            let link = NewLink { name: "cni0".to_owned(), kind, attrs: all() };
            let info = [LinkInfo::Kind(InfoKind::Bridge)].into_iter().chain(data).collect();
            assert_eq!(bytes(&new_link(&link).unwrap()), bytes(&by_hand(named(LinkRef::Name("cni0")), info)));
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
