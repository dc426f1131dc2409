//! Further MAC addresses on a parent link (drivers/net/macvlan.c).

use netlink_packet_core::{DecodeError, NlasIterator, parse_u32};
use netlink_packet_route::link::{InfoMacVlan, LinkMessage, MacVlanMode};
use rtnetlink::LinkMacVlan;

/// `IFLA_INFO_KIND` of these links.
pub(super) const KIND: &str = "macvlan";

/// `IFLA_MACVLAN_MODE` (linux/if_link.h).
const IFLA_MACVLAN_MODE: u16 = 1;

/// What a macvlan link is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct Macvlan {
    /// `IFLA_LINK`: `ifi_index` of the parent.
    pub parent: u32,
    /// `IFLA_MACVLAN_MODE`.
    pub mode: MacvlanMode,
    /// `IFLA_MACVLAN_BC_QUEUE_LEN`, packets; `None`: 1000.
    pub bc_queue_len: Option<u32>,
}

/// How the macvlan links of one parent reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub enum MacvlanMode {
    /// Not at all.
    Private,
    /// By way of the parent's switch (IEEE 802.1Qbg).
    Vepa,
    /// On this machine.
    Bridge,
    /// There is only one link, which takes over the parent.
    Passthru,
}

pub(super) fn message(name: &str, macvlan: &Macvlan) -> LinkMessage {
    let mode = match macvlan.mode {
        MacvlanMode::Private => MacVlanMode::Private,
        MacvlanMode::Vepa => MacVlanMode::Vepa,
        MacvlanMode::Bridge => MacVlanMode::Bridge,
        MacvlanMode::Passthru => MacVlanMode::Passthrough,
    };
    let mut builder = LinkMacVlan::new(name, macvlan.parent, mode);
    if let Some(packets) = macvlan.bc_queue_len {
        builder = builder.append_info_data(InfoMacVlan::BcQueueLen(packets));
    }
    builder.build()
}

/// Reads the mode from `IFLA_INFO_DATA`; `None` for one that is not listed here.
pub(super) fn mode(data: &[u8]) -> Result<Option<MacvlanMode>, DecodeError> {
    for attribute in NlasIterator::new(data) {
        let attribute = attribute?;
        if attribute.kind() == IFLA_MACVLAN_MODE {
            return Ok(match MacVlanMode::from(parse_u32(attribute.value())?) {
                MacVlanMode::Private => Some(MacvlanMode::Private),
                MacVlanMode::Vepa => Some(MacvlanMode::Vepa),
                MacVlanMode::Bridge => Some(MacvlanMode::Bridge),
                MacVlanMode::Passthrough => Some(MacvlanMode::Passthru),
                _ => None,
            });
        }
    }
    Ok(None)
}
