//! VLANs of bridge ports, as in `bridge vlan`. Must not know: what a trunk is.

use netlink_packet_core::{DecodeError, NlasIterator};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage::{DelLink, GetLink, SetLink};
use netlink_packet_route::link::{
    AfSpecBridge, BridgeVlanInfo, BridgeVlanInfoFlags as Flags, LinkAttribute, LinkExtentMask, LinkHeader, LinkMessage,
};

use crate::link::IFINFOMSG_LEN;
use crate::{Error, Netlink};

const RTM_NEWLINK: u16 = 16;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_BRIDGE_VLAN_INFO: u16 = 2;

/// A range of VLANs of a bridge port (`IFLA_BRIDGE_VLAN_INFO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct BridgeVlan {
    /// `ifi_index` of the port.
    pub link: u32,
    /// The lowest VLAN ID, 1 to 4094.
    pub first: u16,
    /// The highest; the same for a single one.
    pub last: u16,
    /// Untagged frames belong to it. Not for a range.
    pub pvid: bool,
    /// Its frames leave untagged.
    pub untagged: bool,
}

impl Netlink {
    /// Adds VLANs to a port. `EOPNOTSUPP` if the link is not in a bridge, or the
    /// kernel was built without `CONFIG_BRIDGE_VLAN_FILTERING`; `EINVAL` for
    /// IDs out of range. (`RTM_SETLINK` in `AF_BRIDGE`)
    pub fn vlan_add(&mut self, vlan: &BridgeVlan) -> Result<(), Error> {
        self.request(SetLink(message(vlan)), 0).map(drop).map_err(|error| error.during(named("vlan-add", vlan)))
    }

    /// Removes VLANs from a port. For a VLAN that the port doesn't have, some kernels
    /// report `ENOENT` and others success. (`RTM_DELLINK` in `AF_BRIDGE`)
    pub fn vlan_del(&mut self, vlan: &BridgeVlan) -> Result<(), Error> {
        self.request(DelLink(message(vlan)), 0).map(drop).map_err(|error| error.during(named("vlan-del", vlan)))
    }

    /// Lists the VLANs of a port; none if the link is not a port. (`RTM_GETLINK` in
    /// `AF_BRIDGE` with `RTEXT_FILTER_BRVLAN_COMPRESSED`)
    pub fn vlans(&mut self, link: u32) -> Result<Vec<BridgeVlan>, Error> {
        let mut message = LinkMessage::default();
        message.header.interface_family = AddressFamily::Bridge;
        message.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::BrvlanCompressed])];
        let during = |error: Error| error.during(format!("vlans index {link}"));

        let mut vlans = Vec::new();
        for reply in self.dump(&GetLink(message)).map_err(during)? {
            if reply.kind == RTM_NEWLINK {
                let found = read(&reply.payload, link).map_err(Error::from_decode);
                vlans.extend(found.map_err(during)?);
            }
        }
        Ok(vlans)
    }
}

fn named(what: &str, vlan: &BridgeVlan) -> String {
    format!("{what} {}-{} index {}", vlan.first, vlan.last, vlan.link)
}

fn message(vlan: &BridgeVlan) -> LinkMessage {
    let mut flags = Flags::empty();
    flags.set(Flags::Pvid, vlan.pvid);
    flags.set(Flags::Untagged, vlan.untagged);
    let info = |range, vid| AfSpecBridge::VlanInfo(BridgeVlanInfo { flags: flags | range, vid });
    let range = match vlan.first == vlan.last {
        true => vec![info(Flags::empty(), vlan.first)],
        false => vec![info(Flags::RangeBegin, vlan.first), info(Flags::RangeEnd, vlan.last)],
    };
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = vlan.link;
    message.attributes = vec![LinkAttribute::AfSpecBridge(range)];
    message
}

/// Reads the VLANs of a port; none for other links.
pub(crate) fn read(payload: &[u8], link: u32) -> Result<Vec<BridgeVlan>, DecodeError> {
    let mut vlans = Vec::new();
    if LinkHeader::parse(payload)?.index != link {
        return Ok(vlans);
    }
    for attribute in NlasIterator::new(&payload[IFINFOMSG_LEN..]) {
        let attribute = attribute?;
        if attribute.kind() != IFLA_AF_SPEC {
            continue;
        }
        let mut first = None;
        for entry in NlasIterator::new(attribute.value()) {
            let entry = entry?;
            if entry.kind() != IFLA_BRIDGE_VLAN_INFO {
                continue;
            }
            let info = BridgeVlanInfo::try_from(entry.value())?;
            if info.flags.contains(Flags::RangeBegin) {
                first = Some(info.vid);
                continue;
            }
            vlans.push(BridgeVlan {
                link,
                first: first.take().unwrap_or(info.vid),
                last: info.vid,
                pvid: info.flags.contains(Flags::Pvid),
                untagged: info.flags.contains(Flags::Untagged),
            });
        }
    }
    Ok(vlans)
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;

    use super::*;

    /// Reads what is sent, as not every kernel has VLAN filtering.
    #[test]
    fn ranges_keep_their_ends_and_flags() {
        let single = BridgeVlan { link: 7, first: 100, last: 100, pvid: true, untagged: true };
        let range = BridgeVlan { link: 7, first: 200, last: 299, pvid: false, untagged: false };
        for vlan in [single, range] {
            let message = message(&vlan);
            let mut bytes = vec![0; message.buffer_len()];
            message.emit(&mut bytes);
            assert_eq!(read(&bytes, 7).unwrap(), [vlan]);
            assert_eq!(read(&bytes, 8).unwrap(), []);
        }
    }
}
