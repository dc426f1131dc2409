//! The addresses that a configuration of `host-local` offers. Pure.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde_json::{Map, Value};

/// Addresses from `start` to `end`, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) subnet: IpNet,
    start: IpAddr,
    end: IpAddr,
    gateway: IpAddr,
}

impl Range {
    fn new(range: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| range.get(key).and_then(Value::as_str);
        let address = |key: &str| text(key).and_then(|text| text.parse().ok());
        let subnet: IpNet = text("subnet")?.parse().ok()?;
        let first = plus_one(subnet.network());
        let last = match subnet.broadcast() {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits().saturating_sub(1)).into(),
            ip @ IpAddr::V6(_) => ip,
        };
        Some(Self {
            subnet,
            start: address("rangeStart").unwrap_or(first),
            end: address("rangeEnd").unwrap_or(last),
            gateway: address("gateway").unwrap_or(first),
        })
    }

    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        self.start.is_ipv4() == ip.is_ipv4() && self.start <= ip && ip <= self.end
    }

    /// The number of addresses to lease; the gateway's is not leased.
    pub(super) fn size(&self) -> u128 {
        let all = bits(self.end).saturating_sub(bits(self.start)).saturating_add(1);
        all - u128::from(self.contains(self.gateway))
    }
}

/// The ranges of a plugin's configuration: `ipam.subnet` and `ipam.ranges`.
pub(super) fn of(ipam: &Map<String, Value>) -> Vec<Range> {
    let sets = ipam.get("ranges").and_then(Value::as_array).into_iter().flatten();
    let listed = sets.filter_map(Value::as_array).flatten().filter_map(Value::as_object);
    std::iter::once(ipam).chain(listed).filter_map(Range::new).collect()
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn plus_one(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits().saturating_add(1)).into(),
        IpAddr::V6(ip) => ip.to_bits().checked_add(1).map_or(ip, Into::into).into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn size_of(ipam: Value) -> u128 {
        of(ipam.as_object().unwrap()).iter().map(Range::size).sum()
    }

    #[test]
    fn sizes_are_what_host_local_can_give() {
        assert_eq!(size_of(json!({ "subnet": "10.0.0.0/29" })), 5);
        assert_eq!(size_of(json!({ "subnet": "10.0.0.0/8" })), (1 << 24) - 3);
        assert_eq!(size_of(json!({ "subnet": "fd00::/64" })), (1 << 64) - 2);
        assert_eq!(size_of(json!({ "subnet": "::/0" })), u128::MAX - 1);
        let part = json!({ "ranges": [[{ "subnet": "10.0.0.0/24", "rangeStart": "10.0.0.10", "rangeEnd": "10.0.0.19" }],
            [{ "subnet": "fd00::/126" }]] });
        assert_eq!(size_of(part), 12);
        assert_eq!(size_of(json!({ "subnet": "nonsense" })), 0);
    }
}
