//! Links as plain data. Must not know: netlink.

use std::os::fd::RawFd;

use super::macvlan::Macvlan;
use super::veth::VethPeer;

/// How a call names a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRef<'a> {
    /// `ifi_index`.
    Index(u32),
    /// `IFLA_IFNAME`, at most 15 bytes.
    Name(&'a str),
}

/// A new link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    /// `IFLA_IFNAME`, 1 to 15 bytes.
    pub name: String,
    /// `IFLA_INFO_KIND` and the options of the kind.
    pub kind: LinkKind,
    /// Its first attributes; `None` leaves an attribute to the kernel.
    pub attrs: LinkAttrs,
}

/// The kinds of links that can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkKind {
    /// A bridge (linux/if_bridge.h).
    Bridge {
        /// `IFLA_BR_VLAN_FILTERING`. `EOPNOTSUPP` from a kernel without
        /// `CONFIG_BRIDGE_VLAN_FILTERING`.
        vlan_filtering: bool,
    },
    /// A pair of links. The peer is made in its own namespace, down.
    Veth(VethPeer),
    /// A link that drops all packets. `EOPNOTSUPP` from a kernel without `CONFIG_DUMMY`.
    Dummy,
    /// A further MAC address on a parent link. `EOPNOTSUPP` from a kernel without
    /// `CONFIG_MACVLAN`. `ENODEV` if there is no such parent. `EINVAL` if it can't be
    /// one, such as `lo`, or has a link of mode [`MacvlanMode::Passthru`].
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
    /// `IFLA_MTU`, bytes.
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
    /// `IFLA_IFNAME`, 1 to 15 bytes: the new name of an existing link.
    pub name: Option<String>,
    /// `IFLA_IFALIAS`, at most 255 bytes; empty removes it.
    pub alias: Option<String>,
    /// `IFLA_NET_NS_FD`: an open namespace that an existing link moves to. The link
    /// arrives down; its new name and alias, and `up`, apply there.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub netns: Option<RawFd>,
    /// `IFLA_NEW_IFINDEX`: the index that a link which moves is to have there. `EBUSY`
    /// or `EEXIST` if it is taken. Ignored before Linux 5.13.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub index: Option<u32>,
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
    /// `IFLA_MTU`, bytes.
    pub mtu: u32,
    /// `IFF_*` (linux/if.h): [`IFF_UP`](crate::IFF_UP) and others.
    pub flags: u32,
    /// `IF_OPER_*` (linux/if.h): 0 unknown, 6 up ([`IF_OPER_UP`](crate::IF_OPER_UP)).
    pub operstate: u8,
    /// `IFLA_MASTER`; 0 for none.
    pub master: u32,
    /// `IFLA_LINK`: for a veth the index of its peer, for a macvlan that of its parent,
    /// in the namespace of that link; 0 for none.
    pub parent: u32,
    /// `IFLA_PROMISCUITY`: how many users want the device to be promiscuous.
    pub promiscuity: u32,
    /// `IFLA_IFALIAS`; empty for none.
    pub alias: String,
    /// `IFLA_LINK_NETNSID`: the namespace that [`Link::parent`] is in, as this link's
    /// namespace numbers it; `None` if it is the same. See [`Netlink::nsid`].
    ///
    /// [`Netlink::nsid`]: crate::Netlink::nsid
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub parent_nsid: Option<i32>,
    /// `IFLA_PERM_ADDRESS`: the MAC address of the hardware; empty for a device without
    /// one. Nobody can change it.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub permanent_mac: Vec<u8>,
    /// `IFLA_PARENT_DEV_BUS_NAME` and `IFLA_PARENT_DEV_NAME`: the device on its bus, as
    /// in `pci/0000:00:19.0`; empty for a link without hardware.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "String::is_empty"))]
    pub device: String,
}
