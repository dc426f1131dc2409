//! Announcements of an address to a link's neighbours. Must not know: why the
//! address moved.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket};

use crate::socket::retry;
use crate::{Error, Netns};

// linux/if_ether.h, linux/if_arp.h
const ETH_P_IP: u16 = 0x0800;
const ETH_P_ARP: u16 = 0x0806;
const ETH_P_IPV6: u16 = 0x86dd;
const ARPHRD_ETHER: u16 = 1;
const ARPOP_REQUEST: u16 = 1;

/// Protocol numbers of IANA; RFC 4443, RFC 4861.
const ICMPV6: u8 = 58;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
const OVERRIDE: u8 = 0x20;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

type Mac = [u8; 6];

impl Netns {
    /// Tells the neighbours of an Ethernet link that `addresses` are at `mac`
    /// now, once each: by an ARP announcement (RFC 5227, 3) or an unsolicited
    /// neighbour advertisement (RFC 4861, 7.2.6). Neighbours that have one of the
    /// addresses cached correct it. `ENODEV` if there is no such link, `EINVAL` if
    /// it is not an Ethernet link or the MAC address is not 6 bytes long,
    /// `ENETDOWN` if the link is down. Needs `CAP_NET_RAW`.
    pub fn announce(&self, link: u32, mac: &[u8], addresses: &[IpAddr]) -> Result<(), Error> {
        let during = |error: Error| error.during(format!("announce index {link}"));
        let Ok(mac) = Mac::try_from(mac) else {
            return Err(during(Error::from_errno(Errno::EINVAL)));
        };
        let frames: Vec<_> = addresses.iter().map(|address| frame(mac, *address)).collect();
        self.run(|| send(link, &frames)).map_err(during)?.map_err(|error| during(Error::from_io(&error)))
    }
}

fn send(link: u32, frames: &[Vec<u8>]) -> io::Result<()> {
    let to = link_address(link)?;
    // With protocol 0, the socket receives nothing.
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    for frame in frames {
        retry(|| Ok(sendto(socket.as_raw_fd(), frame, &to, MsgFlags::empty())?))?;
    }
    Ok(())
}

/// The `sockaddr_ll` of a link. Safe code gets one only from getifaddrs(3). The
/// socket uses nothing of it but the index.
fn link_address(link: u32) -> io::Result<LinkAddr> {
    let found = getifaddrs()?
        .filter_map(|entry| entry.address?.as_link_addr().copied())
        .find(|address| address.ifindex() == link as usize)
        .ok_or(Errno::ENODEV)?;
    if found.hatype() != ARPHRD_ETHER {
        return Err(Errno::EINVAL.into());
    }
    Ok(found)
}

fn frame(mac: Mac, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp(mac, address),
        IpAddr::V6(address) => advertisement(mac, address),
    }
}

/// RFC 826: a request for our own address.
fn arp(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet([0xff; 6], mac, ETH_P_ARP);
    frame.extend(ARPHRD_ETHER.to_be_bytes());
    frame.extend(ETH_P_IP.to_be_bytes());
    frame.extend([6, 4]); // Octets of a hardware and of a protocol address.
    frame.extend(ARPOP_REQUEST.to_be_bytes());
    frame.extend(mac);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// RFC 4861, 4.4, to all nodes, with the target's link-layer address.
fn advertisement(mac: Mac, address: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![NEIGHBOR_ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0];
    message.extend(address.octets());
    message.extend([TARGET_LINK_LAYER_ADDRESS, 1]); // In units of eight octets.
    message.extend(mac);
    let sum = checksum(address, ALL_NODES, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());

    // RFC 2464, 7: 33:33 and the end of the group.
    let mut frame = ethernet([0x33, 0x33, 0, 0, 0, 1], mac, ETH_P_IPV6);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend((message.len() as u16).to_be_bytes());
    frame.extend([ICMPV6, 255]); // 255 proves that no router forwarded it.
    frame.extend(address.octets());
    frame.extend(ALL_NODES.octets());
    frame.extend(message);
    frame
}

fn ethernet(to: Mac, from: Mac, kind: u16) -> Vec<u8> {
    [&to[..], &from[..], &kind.to_be_bytes()].concat()
}

/// RFC 4443, 2.3: the checksum of the message, whose length is even, and the
/// pseudo-header (RFC 8200, 8.1).
fn checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let words = message.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let pseudo = [message.len() as u16, ICMPV6.into()];
    let words = from.segments().into_iter().chain(to.segments()).chain(pseudo).chain(words);
    let sum: u32 = words.map(u32::from).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// What Linux itself sends with `arp_notify`.
    #[test]
    fn an_arp_announcement_asks_for_the_senders_own_address() {
        let expected = "ffffffffffff021122334455080600010800060400010211223344550a0100020000000000000a010002";
        assert_eq!(hex(&frame(MAC, "10.1.0.2".parse().unwrap())), expected);
    }

    /// What Linux itself sends with `ndisc_notify`.
    #[test]
    fn an_advertisement_goes_to_all_nodes_with_a_right_checksum() {
        for (address, expected) in [
            (
                "fd00::2",
                "33330000000102112233445586dd6000000000203afffd000000000000000000000000000002ff02000000000000000000\
                 00000000018800f40020000000fd0000000000000000000000000000020201021122334455",
            ),
            (
                "fe80::11:22ff:fe33:4455",
                "33330000000102112233445586dd6000000000203afffe80000000000000001122fffe334455ff02000000000000000000\
                 0000000001880025d220000000fe80000000000000001122fffe3344550201021122334455",
            ),
        ] {
            assert_eq!(hex(&frame(MAC, address.parse().unwrap())), expected);
        }
    }
}
