//! Addresses and links between the WIT's types and the kernel crate's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use wasm_cni_kernel as kernel;

use crate::{
    bindings::{net, types},
    failure::refuse,
};

/// An address of a guest.
pub fn ip(address: &types::IpAddr) -> IpAddr {
    match *address {
        types::IpAddr::V4(bits) => Ipv4Addr::from_bits(bits).into(),
        types::IpAddr::V6((high, low)) => Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into(),
    }
}

/// # Errors
///
/// A prefix longer than the address.
pub fn ip_net(network: &types::IpNet, what: &str) -> Result<IpNet, types::Error> {
    IpNet::new(ip(&network.addr), network.prefix)
        .map_err(|_| refuse(types::Code::Invalid, what, format!("prefix length {} is too long", network.prefix)))
}

/// An address, for a guest.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
pub fn wit_ip(address: IpAddr) -> types::IpAddr {
    match address {
        IpAddr::V4(v4) => types::IpAddr::V4(v4.to_bits()),
        IpAddr::V6(v6) => types::IpAddr::V6(((v6.to_bits() >> 64) as u64, v6.to_bits() as u64)),
    }
}

/// An address with its prefix, for a guest.
pub fn wit_net(network: IpNet) -> types::IpNet {
    types::IpNet { addr: wit_ip(network.addr()), prefix: network.prefix_len() }
}

/// A link, for a guest.
pub fn wit_link(link: kernel::Link) -> net::Link {
    net::Link {
        index: link.index,
        name: link.name,
        kind: link.kind,
        mac: link.mac,
        mtu: link.mtu,
        flags: link.flags,
        operstate: link.operstate,
        master: link.master,
        parent: link.parent,
        promiscuity: link.promiscuity,
        alias: link.alias,
    }
}

/// An address, for a guest.
pub fn wit_address(address: &kernel::Address) -> net::Address {
    net::Address { link: net::LinkRef::Index(address.link), ip: wit_net(address.ip), flags: address.flags }
}

/// A route, for a guest.
pub fn wit_route(route: &kernel::Route) -> net::Route {
    net::Route {
        link: net::LinkRef::Index(route.link),
        dst: wit_net(route.dst),
        gateway: route.gateway.map(wit_ip),
        src: route.src.map(wit_ip),
        table: route.table,
        metric: route.metric,
        scope: route.scope,
        protocol: route.protocol,
    }
}

/// VLANs, for a guest.
pub fn wit_vlan(vlan: &kernel::BridgeVlan) -> net::BridgeVlan {
    net::BridgeVlan {
        link: net::LinkRef::Index(vlan.link),
        first: vlan.first,
        last: vlan.last,
        pvid: vlan.pvid,
        untagged: vlan.untagged,
    }
}

/// A name that the kernel would take and that means what it says: `%` would
/// be a template, a slash a path in sysfs, and `all` every link in a sysctl.
pub fn link_name(name: &str, what: &str) -> Result<(), types::Error> {
    let bad = |c: char| c == '/' || c == ':' || c == '%' || c.is_whitespace() || c.is_control();
    let reason = if name.is_empty() || name.len() > 15 {
        "an interface name has 1 to 15 bytes"
    } else if name == "." || name == ".." {
        "an interface name is not . or .."
    } else if name == "all" || name == "default" {
        "an interface name is not all or default, which name sysctls of every interface"
    } else if name.contains(bad) {
        "an interface name holds no /, :, % or white space"
    } else {
        return Ok(());
    };
    Err(refuse(types::Code::Invalid, what, reason))
}

/// 1 to `MAX_ADDR_LEN` (linux/netdevice.h) bytes.
pub fn mac(mac: &[u8], what: &str) -> Result<Vec<u8>, types::Error> {
    if mac.is_empty() || mac.len() > 32 {
        return Err(refuse(types::Code::Invalid, what, "a link-layer address has 1 to 32 bytes"));
    }
    Ok(mac.to_owned())
}

/// `IFALIASZ` (linux/if.h) less the NUL.
pub fn alias(alias: &str, what: &str) -> Result<(), types::Error> {
    if alias.len() > 255 || alias.contains(char::is_control) {
        return Err(refuse(types::Code::Invalid, what, "an alias is at most 255 bytes on one line"));
    }
    Ok(())
}

/// What the kernel takes in one write(2), and no more than that.
pub fn sysctl_value(value: &str, key: &str) -> Result<(), types::Error> {
    if value.len() > 64 || value.contains(char::is_control) {
        let what = format!("sysctl {key:?}");
        return Err(refuse(types::Code::Invalid, what, "a value is at most 64 bytes on one line"));
    }
    Ok(())
}

/// 0 and 4095 are not for use (IEEE 802.1Q).
pub fn vlan_ids(first: u16, last: u16, what: &str) -> Result<(), types::Error> {
    if first == 0 || first > last || last > 4094 {
        return Err(refuse(types::Code::Invalid, what, "VLAN ids go from 1 to 4094"));
    }
    Ok(())
}

/// As results have it: `0a:58:0a:58:00:02`.
pub fn mac_text(mac: &[u8]) -> String {
    mac.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_templates_or_paths_are_refused() {
        for name in ["", "sixteen-bytes-xx", "a/b", "..", "veth%d", "a b", "a\0b", "a:b", "all", "default"] {
            assert!(link_name(name, "link-add").is_err(), "{name:?}");
        }
        link_name("fifteen-bytes-x", "link-add").unwrap();
        link_name("eth0.100", "link-add").unwrap();
    }

    #[test]
    fn addresses_survive_the_way_there_and_back() {
        for text in ["10.0.0.5/24", "fd00:10::2/64", "0.0.0.0/0", "::/0"] {
            let network: IpNet = text.parse().unwrap();
            assert_eq!(ip_net(&wit_net(network), "").unwrap(), network);
        }
        let long = types::IpNet { addr: types::IpAddr::V4(1), prefix: 200 };
        assert!(ip_net(&long, "").is_err());
    }
}
