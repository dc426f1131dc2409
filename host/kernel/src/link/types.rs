//! Links as plain data. Must not know: netlink.

use std::os::fd::RawFd;

use super::macvlan::Macvlan;
use super::veth::VethPeer;

/// How a call names a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRef<'a> {
    /// `ifi_index`.
    Index(u32),
    /// `IFLA_IFNAME`, at most 15 octets.
    Name(&'a str),
}

/// A link to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    /// `IFLA_IFNAME`, 1 to 15 octets.
    pub name: String,
    /// `IFLA_INFO_KIND` and what belongs to it.
    pub kind: LinkKind,
    /// What it starts with; `None` leaves an attribute to the kernel.
    pub attrs: LinkAttrs,
}

/// The kinds of link that can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkKind {
    /// linux/if_bridge.h
    Bridge {
        /// `IFLA_BR_VLAN_FILTERING`. `EOPNOTSUPP` from a kernel without
        /// `CONFIG_BRIDGE_VLAN_FILTERING`.
        vlan_filtering: bool,
    },
    /// A pair; the peer is made in its namespace, down.
    Veth(VethPeer),
    /// Drops what it is sent. `EOPNOTSUPP` from a kernel without `CONFIG_DUMMY`.
    Dummy,
    /// A further MAC address on a parent link. `EOPNOTSUPP` from a kernel without
    /// `CONFIG_MACVLAN`; `ENODEV` if there is no such parent; `EINVAL` if the
    /// parent can't have such links, as `lo`, or has a [`MacvlanMode::Passthru`]
    /// one.
    ///
    /// [`MacvlanMode::Passthru`]: crate::MacvlanMode::Passthru
    Macvlan(Macvlan),
}

/// What can be set on a link; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct LinkAttrs {
    /// `IFF_UP`.
    pub up: Option<bool>,
    /// `IFLA_MTU`, octets.
    pub mtu: Option<u32>,
    /// `IFLA_ADDRESS`.
    pub mac: Option<Vec<u8>>,
    /// `IFLA_MASTER`; 0 takes the link out of its bridge.
    pub master: Option<u32>,
    /// `IFF_PROMISC`.
    pub promisc: Option<bool>,
    /// `IFLA_BRPORT_MODE`, of a bridge port.
    pub hairpin: Option<bool>,
    /// `IFLA_BRPORT_ISOLATED`, of a bridge port.
    pub isolated: Option<bool>,
    /// `IFLA_IFNAME`, 1 to 15 octets, of a link that is there.
    pub name: Option<String>,
    /// `IFLA_IFALIAS`, at most 255 octets; empty removes it.
    pub alias: Option<String>,
    /// `IFLA_NET_NS_FD`, of a namespace that is open and a link that is there.
    /// It arrives down; its new name and alias, and `up`, apply there.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub netns: Option<RawFd>,
}

/// A link, as `RTM_GETLINK` reports it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct Link {
    /// `ifi_index`, from 1.
    pub index: u32,
    /// `IFLA_IFNAME`.
    pub name: String,
    /// `IFLA_INFO_KIND`; empty for a device without one, such as `lo`.
    pub kind: String,
    /// `IFLA_ADDRESS`; empty for a device without one.
    pub mac: Vec<u8>,
    /// `IFLA_MTU`, octets.
    pub mtu: u32,
    /// `IFF_*` (linux/if.h): [`IFF_UP`](crate::IFF_UP) and others.
    pub flags: u32,
    /// `IF_OPER_*` (linux/if.h): 0 unknown, 6 up ([`IF_OPER_UP`](crate::IF_OPER_UP)).
    pub operstate: u8,
    /// `IFLA_MASTER`; 0 for none.
    pub master: u32,
    /// `IFLA_LINK`: of a veth, the peer's index in the peer's namespace; of a
    /// macvlan, the parent's in the parent's; 0 for none.
    pub parent: u32,
    /// `IFLA_PROMISCUITY`: how many want the device promiscuous.
    pub promiscuity: u32,
    /// `IFLA_IFALIAS`; empty for none.
    pub alias: String,
}
