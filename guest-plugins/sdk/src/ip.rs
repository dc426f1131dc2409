//! Addresses: Go's parsing rules, and conversions between `wit/`'s types and
//! those of `std` and `ipnet`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::Failure;
use crate::bindings::interface::wasm_cni::types::types as wit;

/// Go's `net.ParseIP`: no zone, no leading zeros; an IPv4-mapped address is
/// the IPv4 address.
pub fn parse(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// As a field of type `net.IP` in JSON. Empty text is no address.
pub fn parse_field(text: &str) -> Result<Option<IpAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match parse(text) {
        Some(ip) => Ok(Some(ip)),
        None => Err(format!("invalid IP address: {text}")),
    }
}

/// Go's `net.ParseCIDR`, host bits and all. An IPv4-mapped address stays an
/// IPv6 one here, with IPv6's prefix length.
pub fn parse_cidr(text: &str) -> Result<IpNet, String> {
    let parts = text.split_once('/').and_then(|(ip, prefix)| {
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|_| digits)?;
        IpNet::new(ip.parse().ok()?, prefix).ok()
    });
    parts.ok_or_else(|| format!("invalid CIDR address: {text}"))
}

/// An IPv4-mapped network as the IPv4 one that Go prints it as.
pub fn unmapped(net: IpNet) -> IpNet {
    match net.addr().to_canonical() {
        ip @ IpAddr::V4(_) if net.addr().is_ipv6() => IpNet::new_assert(ip, net.prefix_len().saturating_sub(96)),
        _ => net,
    }
}

/// The address that follows the network's own: where gateways live.
pub fn first_of(net: &IpNet) -> IpAddr {
    match net.network() {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits().wrapping_add(1)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits().wrapping_add(1)).into(),
    }
}

/// Go's `IsGlobalUnicast`: private ones count as well.
pub fn is_global_unicast(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(link_local || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast())
}

/// Any address of the family: `0.0.0.0/0` or `::/0`.
pub fn default_net(v4: bool) -> IpNet {
    let any: IpAddr = if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    IpNet::new_assert(any, 0)
}

impl From<IpAddr> for wit::IpAddr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                Self::V6(((bits >> 64) as u64, bits as u64))
            }
        }
    }
}

impl From<wit::IpAddr> for IpAddr {
    fn from(ip: wit::IpAddr) -> Self {
        match ip {
            wit::IpAddr::V4(bits) => Ipv4Addr::from_bits(bits).into(),
            wit::IpAddr::V6((upper, lower)) => Ipv6Addr::from_bits(u128::from(upper) << 64 | u128::from(lower)).into(),
        }
    }
}

// Two types are named `IpNet`. The interface's is an address and a number;
// `cni_plugin::IpNet`, of the crate `ipnet`, is the one to compute with.

/// Always possible: `address: net.into()`.
impl From<IpNet> for wit::IpNet {
    fn from(net: IpNet) -> Self {
        Self { addr: net.addr().into(), prefix: net.prefix_len() }
    }
}

/// Fails with Go's `invalid CIDR address` if the prefix length, any `u8` in the
/// interface, is longer than the address: `IpNet::try_from(ip.address)?`.
impl TryFrom<wit::IpNet> for IpNet {
    type Error = Failure;

    fn try_from(net: wit::IpNet) -> Result<Self, Failure> {
        let ip = IpAddr::from(net.addr);
        IpNet::new(ip, net.prefix).map_err(|_| Failure::plain(format!("invalid CIDR address: {ip}/{}", net.prefix)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_zones_and_ports_are_no_addresses() {
        for text in ["010.0.0.1", "10.0.0", "fe80::1%eth0", "1.2.3.4:5", "", " 10.0.0.1"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse_field("foo").unwrap_err(), "invalid IP address: foo");
        assert_eq!(parse_field(""), Ok(None));
    }

    #[test]
    fn a_mapped_address_is_the_address_but_a_mapped_network_is_not() {
        assert_eq!(parse("::ffff:1.2.3.4").unwrap().to_string(), "1.2.3.4");
        let net = parse_cidr("::ffff:10.0.0.0/120").unwrap();
        assert!(net.addr().is_ipv6());
    }

    #[test]
    fn a_network_needs_a_prefix_of_digits_that_fits() {
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "x/8", "::/129"] {
            let expected = format!("invalid CIDR address: {text}");
            assert_eq!(parse_cidr(text), Err(expected));
        }
        assert_eq!(parse_cidr("10.0.0.5/24").unwrap().to_string(), "10.0.0.5/24");
    }

    #[test]
    fn conversions_are_lossless() {
        for text in ["10.0.0.5/24", "fd00:1:2:3:4:5:6:7/64"] {
            let net: IpNet = text.parse().unwrap();
            assert_eq!(IpNet::try_from(wit::IpNet::from(net)).unwrap(), net);
        }
        assert_eq!(first_of(&"10.0.0.5/24".parse().unwrap()).to_string(), "10.0.0.1");
    }
}
