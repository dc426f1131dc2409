//! The minimal cost of attaching a container to a bridge, or to the host alone: only the
//! netlink messages that the result needs.
//!
//! `floor add BRIDGE NETNS HOST-NAME IFNAME ADDRESS/PREFIX GATEWAY`, where BRIDGE
//! is an index or `-` for none, and `floor del HOST-NAME`. Uses only std, so that the
//! benchmark can compile it: static and optimised, independent of the profile.
//! Must not know: the benchmark.
#![expect(unsafe_code, reason = "socket(2) and setns(2) without a crate")]

use std::{
    env,
    fs::File,
    io::{Error, Read as _, Result, Write as _},
    net::Ipv4Addr,
    os::fd::{AsRawFd as _, FromRawFd as _},
};

// SAFETY: these are libc's, with libc's types; they take numbers and no memory.
unsafe extern "C" {
    safe fn socket(domain: i32, kind: i32, protocol: i32) -> i32;
    safe fn setns(fd: i32, kind: i32) -> i32;
}

const AF_NETLINK: i32 = 16;
const SOCK_RAW_CLOEXEC: i32 = 3 | 0o2_000_000;
const CLONE_NEWNET: i32 = 0x4000_0000;

const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const CREATE_EXCL: u16 = 0x400 | 0x200;

const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

const AF_INET: u8 = 2;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;

/// The index of the container's end, chosen at creation, so that no request for it is
/// needed. The kernel accepts it if the host's end has a chosen index, too; other
/// devices have small ones.
const INDEX: u32 = 1_000_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["add", bridge, netns, host, ifname, address, gateway] => {
            let (address, prefix) = address.split_once('/').ok_or_else(usage)?;
            let container =
                Container { ifname, address: parse(address)?, prefix: parse(prefix)?, gateway: parse(gateway)? };
            let bridge = if bridge == "-" { None } else { Some(parse(bridge)?) };
            add(bridge, netns, host, &container)
        }
        ["del", host] => {
            let message = Message::new(RTM_DELLINK, ACK, &link(0, false)).text(IFLA_IFNAME, host);
            talk(&[message])
        }
        _ => Err(usage()),
    }
}

struct Container<'a> {
    ifname: &'a str,
    address: Ipv4Addr,
    prefix: u8,
    gateway: Ipv4Addr,
}

fn add(bridge: Option<u32>, netns: &str, host: &str, container: &Container<'_>) -> Result<()> {
    let netns = File::open(netns)?;
    let mut peer = link(INDEX, false).to_vec();
    attribute(&mut peer, IFLA_IFNAME, &terminated(container.ifname));
    attribute(&mut peer, IFLA_NET_NS_FD, &netns.as_raw_fd().to_ne_bytes());
    let (mut data, mut info) = (Vec::new(), Vec::new());
    attribute(&mut data, VETH_INFO_PEER, &peer);
    attribute(&mut info, IFLA_INFO_KIND, b"veth");
    attribute(&mut info, IFLA_INFO_DATA, &data);
    let host_end = INDEX + std::process::id();
    let mut pair = Message::new(RTM_NEWLINK, ACK | CREATE_EXCL, &link(host_end, true)).text(IFLA_IFNAME, host);
    if let Some(bridge) = bridge {
        pair = pair.with(IFLA_MASTER, &bridge.to_ne_bytes());
    }
    talk(&[pair.with(IFLA_LINKINFO, &info)])?;
    if bridge.is_none() {
        talk(&[
            address(host_end, 32, container.gateway, 0),
            route(ACK, 32, RT_SCOPE_LINK)
                .with(RTA_DST, &container.address.octets())
                .with(RTA_OIF, &host_end.to_ne_bytes()),
        ])?;
    }

    if setns(netns.as_raw_fd(), CLONE_NEWNET) != 0 {
        return Err(Error::last_os_error());
    }
    let gateway = container.gateway.octets();
    let default = route(ACK, 0, RT_SCOPE_UNIVERSE).with(RTA_GATEWAY, &gateway);
    let up = Message::new(RTM_NEWLINK, 0, &link(INDEX, true));
    // The kernel handles them in order, and reports the one that fails.
    if bridge.is_some() {
        return talk(&[up, address(INDEX, container.prefix, container.address, 0), default]);
    }
    // Its network is behind the gateway at the other end.
    let network = container.address.to_bits() & !hosts(container.prefix);
    talk(&[
        up,
        address(INDEX, container.prefix, container.address, IFA_F_NOPREFIXROUTE),
        route(0, 32, RT_SCOPE_LINK).with(RTA_DST, &gateway).with(RTA_OIF, &INDEX.to_ne_bytes()),
        route(0, container.prefix, RT_SCOPE_UNIVERSE).with(RTA_DST, &network.to_be_bytes()).with(RTA_GATEWAY, &gateway),
        default,
    ])
}

/// The host bits of an address.
fn hosts(prefix: u8) -> u32 {
    u32::MAX.checked_shr(prefix.into()).unwrap_or(0)
}

fn address(link: u32, prefix: u8, address: Ipv4Addr, flags: u32) -> Message {
    let mut ifaddrmsg = vec![AF_INET, prefix, 0, 0];
    ifaddrmsg.extend(link.to_ne_bytes());
    let broadcast = (address.to_bits() | hosts(prefix)).to_be_bytes();
    Message::new(RTM_NEWADDR, CREATE_EXCL, &ifaddrmsg)
        .with(IFA_LOCAL, &address.octets())
        .with(IFA_ADDRESS, &address.octets())
        .with(IFA_BROADCAST, &broadcast)
        .with(IFA_FLAGS, &flags.to_ne_bytes())
}

fn route(flags: u16, prefix: u8, scope: u8) -> Message {
    let rtmsg = [AF_INET, prefix, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0, 0, 0, 0];
    Message::new(RTM_NEWROUTE, flags | CREATE_EXCL, &rtmsg)
}

/// struct ifinfomsg: a link by its index, set up or unchanged.
fn link(index: u32, up: bool) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    // IFF_UP in the flags and in the mask of those to change.
    bytes[8] = up.into();
    bytes[12] = up.into();
    bytes
}

struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((REQUEST | flags).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        Self(bytes)
    }

    fn with(mut self, kind: u16, value: &[u8]) -> Self {
        attribute(&mut self.0, kind, value);
        self
    }

    fn text(self, kind: u16, value: &str) -> Self {
        self.with(kind, &terminated(value))
    }
}

fn terminated(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend((value.len() as u16 + 4).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Sends all messages in one datagram, on a socket of this thread's namespace, and reads
/// the kernel's reply: an error, or the one acknowledgement.
fn talk(messages: &[Message]) -> Result<()> {
    let fd = socket(AF_NETLINK, SOCK_RAW_CLOEXEC, 0);
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and nothing else owns it.
    let mut socket = unsafe { File::from_raw_fd(fd) };
    let mut bytes = Vec::new();
    for Message(message) in messages {
        bytes.extend((message.len() as u32).to_ne_bytes());
        bytes.extend(&message[4..]);
    }
    // An unconnected socket writes to the kernel.
    socket.write_all(&bytes)?;
    let mut answer = [0; 4096];
    let size = socket.read(&mut answer)?;
    // struct nlmsghdr, then struct nlmsgerr.
    let (kind, error) = (&answer[4..6], &answer[16..20]);
    if size < 20 || kind != NLMSG_ERROR.to_ne_bytes() {
        return Err(Error::other("unexpected reply of the kernel"));
    }
    match i32::from_ne_bytes([error[0], error[1], error[2], error[3]]) {
        0 => Ok(()),
        errno => Err(Error::from_raw_os_error(-errno)),
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| usage())
}

fn usage() -> Error {
    Error::other("usage: floor add BRIDGE NETNS HOST-NAME IFNAME ADDRESS/PREFIX GATEWAY | del HOST-NAME")
}
