//! Telling a link's neighbours of its addresses before they ask. Must not know:
//! why they moved.
//!
//! ARP announcements are the kernel's: a socket of ours that could send one
//! (`AF_PACKET`) makes its closing wait for an RCU grace period, which takes longer
//! than all the rest of an ADD.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::sockopt::Ipv6MulticastHops;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, bind, sendto, setsockopt, socket,
};

use crate::{Error, Link, LinkAttrs, Netlink, Netns};

/// RFC 4861.
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
const OVERRIDE: u8 = 0x20;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
/// A router would have made it less; who gets less does not believe it.
const HOP_LIMIT: i32 = 255;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

type Mac = [u8; 6];

impl Netns {
    /// Tells the neighbours of an Ethernet link of its addresses: by ARP
    /// announcements (RFC 5227, 3) of all of IPv4, and an unsolicited neighbour
    /// advertisement (RFC 4861, 7.2.6) for each of `ipv6`. Who has such an address
    /// in a cache corrects it. `EADDRNOTAVAIL` for an IPv6 address that the link does
    /// not have, or that is tentative; `EINVAL` for a link that is no Ethernet
    /// link. Needs `CAP_NET_RAW` for IPv6.
    pub fn announce(&self, netlink: &mut Netlink, link: &Link, ipv4: bool, ipv6: &[Ipv6Addr]) -> Result<(), Error> {
        let during = |error: Error| error.during(format!("announce index {}", link.index));
        let Ok(mac) = Mac::try_from(link.mac.as_slice()) else {
            return Err(during(Error::from_errno(Errno::EINVAL)));
        };
        if ipv4 {
            self.announce_ipv4(netlink, link).map_err(during)?;
        }
        if ipv6.is_empty() {
            return Ok(());
        }
        let send = || ipv6.iter().try_for_each(|address| send(link.index, mac, *address));
        self.run(send).map_err(during)?.map_err(|errno| during(Error::from_errno(errno)))
    }

    /// The kernel announces the addresses of a link that gets a MAC address, also
    /// the one that it has (`NETDEV_CHANGEADDR`), if the sysctl `arp_notify` is 1.
    fn announce_ipv4(&self, netlink: &mut Netlink, link: &Link) -> Result<(), Error> {
        let key = format!("net/ipv4/conf/{}/arp_notify", link.name);
        let old = self.sysctls_get(&[&key])?.into_iter().flatten().next();
        let set = |value: &str| self.sysctls_set(&[(&key, value)])?.into_iter().collect::<Result<(), _>>();
        let restore = old.filter(|old| old != "1");
        if restore.is_some() {
            set("1")?;
        }
        let announced =
            netlink.link_set(link.index, &LinkAttrs { mac: Some(link.mac.clone()), ..LinkAttrs::default() });
        announced.and(restore.map_or(Ok(()), |old| set(&old)))
    }
}

fn send(link: u32, mac: Mac, address: Ipv6Addr) -> nix::Result<()> {
    let at = |address| SockaddrIn6::from(SocketAddrV6::new(address, 0, 0, link));
    let socket = socket(AddressFamily::Inet6, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::IcmpV6)?;
    setsockopt(&socket, Ipv6MulticastHops, &HOP_LIMIT)?;
    bind(socket.as_raw_fd(), &at(address))?;
    // The kernel puts the checksum in (RFC 3542, 3.1).
    sendto(socket.as_raw_fd(), &advertisement(mac, address), &at(ALL_NODES), MsgFlags::empty())?;
    Ok(())
}

/// RFC 4861, 4.4, with the target's link-layer address.
fn advertisement(mac: Mac, address: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![NEIGHBOR_ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0];
    message.extend(address.octets());
    message.extend([TARGET_LINK_LAYER_ADDRESS, 1]); // One times eight octets.
    message.extend(mac);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Linux itself sends with `ndisc_notify`.
    #[test]
    fn an_advertisement_overrides_what_is_known() {
        let mac = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];
        let octets: String =
            advertisement(mac, "fd00::2".parse().unwrap()).iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(octets, "8800000020000000fd0000000000000000000000000000020201021122334455");
    }
}
