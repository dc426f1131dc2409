//! Ranges of addresses, and sets of ranges of which one address is taken.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cni_plugin::{IpNet, ip};

/// A range as the configuration gives it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub(crate) subnet: Option<IpNet>,
    pub(crate) start: Option<IpAddr>,
    pub(crate) end: Option<IpAddr>,
    pub(crate) gateway: Option<IpAddr>,
}

/// A part of a subnet; both ends belong to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) subnet: IpNet,
    pub(crate) start: IpAddr,
    pub(crate) end: IpAddr,
    pub(crate) gateway: IpAddr,
}

impl Range {
    /// Fills in what is not given, and refuses what makes no sense.
    pub(crate) fn new(given: &Given) -> Result<Self, String> {
        let subnet = Self::subnet(given)?;
        if let Some((_, why)) = Self::mistakes(given, subnet).next() {
            return Err(why);
        }
        Ok(Self {
            subnet,
            start: given.start.unwrap_or_else(|| ip::first_of(&subnet)),
            end: given.end.unwrap_or_else(|| last_of(&subnet)),
            gateway: given.gateway.unwrap_or_else(|| ip::first_of(&subnet)),
        })
    }

    /// The subnet, if addresses can be taken from it.
    pub(crate) fn subnet(given: &Given) -> Result<IpNet, String> {
        let Some(subnet) = given.subnet else {
            return Err("IP <nil> not v4 nor v6".into());
        };
        if subnet.prefix_len() > subnet.max_prefix_len() - 2 {
            return Err(format!("Network {subnet} too small to allocate from"));
        }
        if subnet.addr().to_canonical() != subnet.addr() {
            return Err("IPNet IP and Mask version mismatch".into());
        }
        if subnet.addr() != subnet.network() {
            return Err(format!(
                "Network has host bits set. For a subnet mask of length {} \
                 the network address is {}",
                subnet.prefix_len(),
                subnet.network()
            ));
        }
        Ok(subnet)
    }

    /// What makes no sense within the subnet: keys, and why.
    pub(crate) fn mistakes(given: &Given, subnet: IpNet) -> impl Iterator<Item = (&'static str, String)> {
        let start =
            given.start.filter(|start| !(subnet.contains(start) && given.end.is_none_or(|end| not_after(*start, end))));
        // One mistake is enough of two ends in the wrong order.
        let first = given.start.filter(|_| start.is_none()).unwrap_or_else(|| ip::first_of(&subnet));
        let end = given.end.filter(|end| !(subnet.contains(end) && (start.is_some() || first <= *end)));
        let start = start.map(|ip| ("rangeStart", format!("RangeStart {ip} not in network {subnet}")));
        let end = end.map(|ip| ("rangeEnd", format!("RangeEnd {ip} not in network {subnet}")));
        start.into_iter().chain(end)
    }

    /// Whether the address may be taken from this range.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        // Families do not compare: 10.0.0.1 < ::1 is true in Rust.
        self.start.is_ipv4() == ip.is_ipv4() && self.start <= ip && ip <= self.end
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.start) || self.contains(other.end) || other.contains(self.start) || other.contains(self.end)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

/// Ranges of one family, of which an attachment gets one address.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RangeSet(Vec<Range>);

impl RangeSet {
    pub(crate) fn new(given: &[Given]) -> Result<Self, String> {
        let mut ranges: Vec<Range> = Vec::new();
        for given in given {
            let range = Range::new(given)?;
            if ranges.first().is_some_and(|first| first.start.is_ipv4() != range.start.is_ipv4()) {
                return Err("mixed address families".into());
            }
            ranges.push(range);
        }
        if ranges.is_empty() {
            return Err("empty range set".into());
        }
        for (i, one) in ranges.iter().enumerate() {
            if let Some(other) = ranges[i + 1..].iter().find(|other| one.overlaps(other)) {
                return Err(format!("subnets {one} and {other} overlap"));
            }
        }
        Ok(Self(ranges))
    }

    pub(crate) fn is_v4(&self) -> bool {
        self.0[0].start.is_ipv4()
    }

    /// The range that has this address.
    pub(crate) fn range_of(&self, ip: IpAddr) -> Option<&Range> {
        self.0.iter().find(|range| range.contains(ip))
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().any(|one| other.0.iter().any(|other| one.overlaps(other)))
    }

    /// Every address of the set but gateways, each once, beginning after the
    /// one that was handed out last.
    pub(crate) fn candidates(&self, last_reserved: Option<IpAddr>) -> Candidates<'_> {
        let position = last_reserved.and_then(|ip| {
            let at = self.0.iter().position(|range| range.contains(ip))?;
            Some((at, ip))
        });
        Candidates { ranges: &self.0, position, first: None }
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges: Vec<String> = self.0.iter().map(Range::to_string).collect();
        f.write_str(&ranges.join(","))
    }
}

/// See [`RangeSet::candidates`].
#[derive(Clone, Debug)]
pub(crate) struct Candidates<'s> {
    ranges: &'s [Range],
    position: Option<(usize, IpAddr)>,
    first: Option<IpAddr>,
}

impl<'s> Iterator for Candidates<'s> {
    type Item = (IpAddr, &'s Range);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (at, ip) = match self.position {
                None => (0, self.ranges[0].start),
                Some((at, ip)) if ip == self.ranges[at].end => {
                    let at = (at + 1) % self.ranges.len();
                    (at, self.ranges[at].start)
                }
                Some((at, ip)) => (at, successor(ip)),
            };
            if self.first == Some(ip) {
                return None;
            }
            self.first.get_or_insert(ip);
            self.position = Some((at, ip));
            if ip != self.ranges[at].gateway {
                return Some((ip, &self.ranges[at]));
            }
        }
    }
}

fn not_after(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4() && one <= other
}

fn successor(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits().wrapping_add(1)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits().wrapping_add(1)).into(),
    }
}

/// The last address that a host may have: IPv4 keeps one for broadcasts.
fn last_of(subnet: &IpNet) -> IpAddr {
    match subnet.broadcast() {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() - 1).into(),
        ip @ IpAddr::V6(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(subnet: &str, start: &str, end: &str, gateway: &str) -> Given {
        Given {
            subnet: ip::parse_cidr(subnet).ok(),
            start: ip::parse(start),
            end: ip::parse(end),
            gateway: ip::parse(gateway),
        }
    }

    fn set(ranges: &[Given]) -> RangeSet {
        RangeSet::new(ranges).unwrap()
    }

    fn addresses(set: &RangeSet, last: &str) -> Vec<String> {
        let candidates = set.candidates(ip::parse(last));
        candidates.map(|(ip, _)| ip.to_string()).collect()
    }

    #[test]
    fn defaults_are_all_addresses_and_the_first_is_the_gateway() {
        let range = Range::new(&given("10.0.0.0/29", "", "", "")).unwrap();
        assert_eq!(range.to_string(), "10.0.0.1-10.0.0.6");
        assert_eq!(range.gateway.to_string(), "10.0.0.1");
        let range = Range::new(&given("fd00::/126", "", "", "")).unwrap();
        assert_eq!(range.to_string(), "fd00::1-fd00::3");
    }

    #[test]
    fn ranges_that_make_no_sense_are_refused_in_the_reference_s_words() {
        for ((subnet, start, end), text) in [
            (("10.0.0.0/31", "", ""), "Network 10.0.0.0/31 too small to allocate from"),
            (("fd00::/127", "", ""), "Network fd00::/127 too small to allocate from"),
            (("::ffff:10.0.0.0/120", "", ""), "IPNet IP and Mask version mismatch"),
            (
                ("10.0.0.1/24", "", ""),
                "Network has host bits set. For a subnet mask of length 24 \
                 the network address is 10.0.0.0",
            ),
            (("10.0.0.0/24", "10.0.1.1", ""), "RangeStart 10.0.1.1 not in network 10.0.0.0/24"),
            (("10.0.0.0/24", "fd00::1", ""), "RangeStart fd00::1 not in network 10.0.0.0/24"),
            (("10.0.0.0/24", "", "10.0.1.1"), "RangeEnd 10.0.1.1 not in network 10.0.0.0/24"),
            (("10.0.0.0/24", "10.0.0.9", "10.0.0.3"), "RangeStart 10.0.0.9 not in network 10.0.0.0/24"),
            (("", "", ""), "IP <nil> not v4 nor v6"),
        ] {
            let refused = Range::new(&given(subnet, start, end, "")).unwrap_err();
            assert_eq!(refused, text);
        }
    }

    #[test]
    fn sets_that_make_no_sense_are_refused_in_the_reference_s_words() {
        let net = |subnet| given(subnet, "", "", "");
        for (ranges, text) in [
            (vec![], "empty range set"),
            (vec![net("10.0.0.0/24"), net("fd00::/64")], "mixed address families"),
            (
                vec![net("10.0.0.0/24"), net("10.0.0.0/25")],
                "subnets 10.0.0.1-10.0.0.254 and 10.0.0.1-10.0.0.126 overlap",
            ),
        ] {
            assert_eq!(RangeSet::new(&ranges).unwrap_err(), text);
        }
    }

    #[test]
    fn slices_of_one_subnet_do_not_overlap() {
        set(&[given("10.0.0.0/24", "10.0.0.1", "10.0.0.99", ""), given("10.0.0.0/24", "10.0.0.100", "10.0.0.199", "")]);
    }

    #[test]
    fn the_gateway_is_no_candidate_unless_it_lies_outside() {
        let inside = set(&[given("10.0.0.0/29", "", "", "10.0.0.3")]);
        assert_eq!(addresses(&inside, ""), ["10.0.0.1", "10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        let outside = set(&[given("10.0.0.0/30", "", "", "10.9.9.9")]);
        assert_eq!(addresses(&outside, ""), ["10.0.0.1", "10.0.0.2"]);
    }

    #[test]
    fn round_robin_starts_after_the_last_reserved() {
        let set = set(&[given("10.0.0.0/29", "", "", "")]);
        assert_eq!(addresses(&set, "10.0.0.4"), ["10.0.0.5", "10.0.0.6", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
        assert_eq!(addresses(&set, "10.0.0.6")[0], "10.0.0.2");
    }

    #[test]
    fn a_last_reserved_of_elsewhere_is_ignored() {
        let set = set(&[given("10.0.0.0/29", "", "", "")]);
        assert_eq!(addresses(&set, "10.0.9.9")[0], "10.0.0.2");
        assert_eq!(addresses(&set, "fd00::1")[0], "10.0.0.2");
    }

    #[test]
    fn ranges_follow_each_other_with_their_own_gateways() {
        let set = set(&[given("10.0.0.0/30", "", "", ""), given("10.0.1.0/30", "", "", "10.0.1.2")]);
        assert_eq!(addresses(&set, "10.0.0.2"), ["10.0.1.1", "10.0.0.2"]);
        assert_eq!(set.to_string(), "10.0.0.1-10.0.0.2,10.0.1.1-10.0.1.2");
    }

    #[test]
    fn nothing_but_a_gateway_is_nothing() {
        let set = set(&[given("10.0.0.0/24", "10.0.0.1", "10.0.0.1", "")]);
        assert!(addresses(&set, "").is_empty());
        assert!(addresses(&set, "10.0.0.1").is_empty());
    }

    #[test]
    fn the_last_addresses_of_all_do_not_overflow() {
        let v6 = set(&[given("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124", "", "", "")]);
        assert_eq!(addresses(&v6, "").len(), 14);
        let v4 = set(&[given("255.255.255.248/29", "", "", "")]);
        assert_eq!(addresses(&v4, "").len(), 5);
    }
}
