//! The messages behind `link.rs`: written with netlink-packet-route's types,
//! read attribute by attribute. Must not know: sockets.
//!
//! Reading doesn't use those types: a reply has sixty attributes, of which ten
//! are wanted, and one that a newer kernel made longer would fail all of it.

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NlasIterator, parse_string, parse_u8, parse_u32};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    AfSpecInet, AfSpecUnspec, InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkExtentMask, LinkFlags,
    LinkHeader, LinkInfo, LinkMessage, LinkProtoInfoBridge,
};

use crate::netlink::Reply;
use crate::{Error, Link, LinkAttrs, LinkKind, LinkRef, NewLink};

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
    let mut message = named(LinkRef::Name(&link.name));
    add_attrs(&mut message, &link.attrs);
    let info = match &link.kind {
        LinkKind::Bridge { vlan_filtering: false } => vec![LinkInfo::Kind(InfoKind::Bridge)],
        LinkKind::Bridge { vlan_filtering: true } => vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)])),
        ],
        LinkKind::Veth(peer) => {
            let mut other = named(LinkRef::Name(&peer.name));
            other.attributes.extend(peer.mtu.map(LinkAttribute::Mtu));
            other.attributes.extend(peer.mac.clone().map(LinkAttribute::Address));
            other.attributes.extend(peer.netns.map(LinkAttribute::NetNsFd));
            vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other)))]
        }
    };
    message.attributes.push(LinkAttribute::LinkInfo(info));
    message
}

/// `None` if there is nothing to set.
pub(crate) fn set_link(index: u32, attrs: &LinkAttrs) -> Option<LinkMessage> {
    let mut message = named(LinkRef::Index(index));
    add_attrs(&mut message, attrs);
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

fn add_attrs(message: &mut LinkMessage, attrs: &LinkAttrs) {
    for (flag, on) in [(LinkFlags::Up, attrs.up), (LinkFlags::Promisc, attrs.promisc)] {
        if let Some(on) = on {
            message.header.flags.set(flag, on);
            message.header.change_mask.insert(flag);
        }
    }
    let attributes = &mut message.attributes;
    attributes.extend(attrs.mtu.map(LinkAttribute::Mtu));
    attributes.extend(attrs.mac.clone().map(LinkAttribute::Address));
    attributes.extend(attrs.master.map(LinkAttribute::Controller));
    attributes.extend(attrs.name.clone().map(LinkAttribute::IfName));
    // Empty, it is to be an attribute of no octets: a lone NUL would be an alias.
    attributes.extend(
        attrs
            .alias
            .as_ref()
            .map(|alias| LinkAttribute::Other(DefaultNla::new(IFLA_IFALIAS, alias.clone().into_bytes()))),
    );
    attributes.extend(attrs.netns.map(LinkAttribute::NetNsFd));
}
