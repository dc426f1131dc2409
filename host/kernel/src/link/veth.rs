//! Pairs of virtual Ethernet devices (drivers/net/veth.c).

use std::os::fd::RawFd;

use netlink_packet_route::link::{InfoData, InfoVeth, LinkMessage};
use rtnetlink::{LinkUnspec, LinkVeth};

use super::check::{check_mac, check_name};
use crate::Error;

/// The other end of a veth pair (`VETH_INFO_PEER`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VethPeer {
    /// `IFLA_IFNAME`, 1 to 15 bytes.
    pub name: String,
    /// `IFLA_NET_NS_FD`: an open namespace; `None`: the same namespace.
    pub netns: Option<RawFd>,
    /// `IFLA_ADDRESS`, 6 bytes; `None`: a random one.
    pub mac: Option<Vec<u8>>,
    /// `IFLA_MTU`, bytes; `None`: 1500.
    pub mtu: Option<u32>,
}

/// `EINVAL`, `ERANGE` and `EADDRNOTAVAIL` for a peer with a bad name or MAC address.
pub(super) fn message(name: &str, peer: &VethPeer) -> Result<LinkMessage, Error> {
    check_name(&peer.name)?;
    check_mac(peer.mac.as_deref())?;
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
    // Replaces the builder's own peer, which has only a name.
    let other = InfoData::Veth(InfoVeth::Peer(other.build()));
    Ok(LinkVeth::new(name, &peer.name).set_info_data(other).build())
}
