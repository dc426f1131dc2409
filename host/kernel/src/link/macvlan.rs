//! Further MAC addresses on a parent link (drivers/net/macvlan.c).

use netlink_packet_core::{DecodeError, NlasIterator, parse_u32};
use netlink_packet_route::link::{InfoMacVlan, LinkMessage, MacVlanMode};
use rtnetlink::LinkMacVlan;

/// `IFLA_INFO_KIND` of these links.
pub(super) const KIND: &str = "macvlan";

/// `IFLA_MACVLAN_MODE` (linux/if_link.h).
const IFLA_MACVLAN_MODE: u16 = 1;

/// The options of a macvlan link.
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

/// How packets between the macvlan links of one parent travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub enum MacvlanMode {
    /// Not at all.
    Private,
    /// Through the switch that the parent is connected to (IEEE 802.1Qbg).
    Vepa,
    /// Inside of this machine.
    Bridge,
    /// The parent has only one such link, which takes it over.
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

/// Reads the mode from `IFLA_INFO_DATA`; `None` for one that [`MacvlanMode`] lacks.
pub(crate) fn mode(data: &[u8]) -> Result<Option<MacvlanMode>, DecodeError> {
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
