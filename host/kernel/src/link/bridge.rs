//! Bridges (net/bridge).

use netlink_packet_route::link::LinkMessage;
use rtnetlink::{LinkBridge, LinkMessageBuilder};

pub(super) fn message(name: &str, vlan_filtering: bool) -> LinkMessage {
    // Not `LinkBridge::new`, which sets the bridge up.
    let builder = LinkMessageBuilder::<LinkBridge>::new(name);
    if vlan_filtering { builder.vlan_filtering(true) } else { builder }.build()
}
