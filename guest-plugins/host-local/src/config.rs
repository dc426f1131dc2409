//! The configuration: validated by being parsed.

use std::net::IpAddr;

use cni_plugin::decode::{Document, Object, Value};
use cni_plugin::{CniRoute, Failure, args, ip, netconf, result};

use crate::range::{Given, RangeSet};

/// A configuration that makes sense.
#[derive(Debug)]
pub(crate) struct Config {
    /// One address is taken from each.
    pub(crate) sets: Vec<RangeSet>,
    /// The addresses that the caller asks for.
    pub(crate) requested: Vec<IpAddr>,
    pub(crate) routes: Vec<CniRoute>,
    /// The resolver file to report, as the configuration names it.
    pub(crate) resolv_conf: Option<String>,
}

impl Config {
    /// From the configuration's JSON and CNI_ARGS.
    pub(crate) fn parse(config: &str, cni_args: &str) -> Result<Self, Failure> {
        let document = Document::parse(config)?;
        let Read { version, ipam, requested: asked, ranges: mut given } = Read::of(&document.root("Net"));
        document.finish()?;

        let Some(ipam) = ipam else {
            return Err(NO_IPAM.into());
        };
        let mut requested = Vec::from_iter(address_of(cni_args)?);
        document.accepted()?;
        for ip in asked {
            if !requested.contains(&ip) {
                requested.push(ip);
            }
        }
        given.extend(ipam.legacy_range.map(|range| vec![range]));
        given.extend(ipam.ranges);
        Ok(Self { sets: range_sets(&given, &version)?, requested, routes: ipam.routes, resolv_conf: ipam.resolv_conf })
    }
}

/// What the reference says where there is no `ipam`.
pub(crate) const NO_IPAM: &str = "IPAM config missing 'ipam' key";
/// What it says where nothing is to be handed out.
pub(crate) const NO_RANGES: &str = "no IP ranges specified";

/// A configuration that is decoded, and no more.
pub(crate) struct Read {
    pub(crate) version: String,
    ipam: Option<Ipam>,
    requested: Vec<IpAddr>,
    /// Those of the runtime.
    ranges: Vec<Vec<Given>>,
}

impl Read {
    pub(crate) fn of(net: &Object<'_>) -> Self {
        net.text("name");
        let ipam = ipam(net);
        let args = netconf::args_of_cni(net, ARGS_TYPE, "allocator", "IPAMArgs");
        let runtime = runtime(net);
        let lists = args.iter().chain(&runtime);
        Self {
            version: net.text("cniVersion").unwrap_or_default(),
            ipam: ipam.as_ref().map(Ipam::read),
            requested: lists.flat_map(addresses).collect(),
            ranges: runtime.map_or_else(Vec::new, |conf| ranges(&conf, "ipRanges")),
        }
    }
}

/// The part that is this plugin's.
pub(crate) fn ipam<'d>(net: &Object<'d>) -> Option<Object<'d>> {
    net.object("ipam", "allocator.IPAMConfig", "IPAMConfig")
}

pub(crate) fn runtime<'d>(net: &Object<'d>) -> Option<Object<'d>> {
    netconf::runtime_config(net, RUNTIME_CONFIG_TYPE)
}

const ARGS_TYPE: &str = r#"struct { A *allocator.IPAMArgs "json:\"cni\"" }"#;
const RUNTIME_CONFIG_TYPE: &str = "struct { IPRanges []allocator.RangeSet \
     \"json:\\\"ipRanges,omitempty\\\"\"; IPs []*ip.IP \"json:\\\"ips,omitempty\\\"\" }";

/// The `ipam` object.
struct Ipam {
    legacy_range: Option<Given>,
    ranges: Vec<Vec<Given>>,
    routes: Vec<CniRoute>,
    resolv_conf: Option<String>,
}

impl Ipam {
    fn read(ipam: &Object<'_>) -> Self {
        ipam.ignore(&["name", "type"]);
        ipam.text("type");
        ipam.text("dataDir"); // The host's to use; the plugin's to have checked.
        let legacy = range(&ipam.embedded("Range"));
        Self {
            legacy_range: legacy.subnet.is_some().then_some(legacy),
            ranges: ranges(ipam, "ranges"),
            routes: result::routes(ipam),
            resolv_conf: ipam.text("resolvConf").filter(|path| !path.is_empty()),
        }
    }
}

fn ranges(conf: &Object<'_>, key: &str) -> Vec<Vec<Given>> {
    let set = |set: &Value<'_>| members_of(set).iter().map(range).collect();
    sets(conf, key).unwrap_or_default().iter().map(set).collect()
}

/// A list of range sets, and the ranges of one.
pub(crate) fn sets<'d>(conf: &Object<'d>, key: &str) -> Option<Vec<Value<'d>>> {
    conf.list(key, "[]allocator.RangeSet")
}

pub(crate) fn members_of<'d>(set: &Value<'d>) -> Vec<Object<'d>> {
    let ranges = set.list("allocator.RangeSet").unwrap_or_default();
    ranges.iter().filter_map(|range| range.object("allocator.Range", "Range")).collect()
}

pub(crate) fn range(range: &Object<'_>) -> Given {
    let address = |key| range.parsed(key, "net.IP", ip::parse_field).flatten();
    Given {
        subnet: range.parsed("subnet", "string", ip::parse_cidr),
        start: address("rangeStart"),
        end: address("rangeEnd"),
        gateway: address("gateway"),
    }
}

fn addresses(conf: &Object<'_>) -> Vec<IpAddr> {
    let ips = conf.list("ips", "[]*ip.IP").unwrap_or_default();
    let address = |ip: &Value<'_>| {
        let address = ip.parsed("*ip.IP", requested)?;
        if address.is_none() {
            ip.reject("cannot understand ip: IP <nil> not v4 nor v6");
        }
        address
    };
    ips.iter().filter_map(address).collect()
}

/// An address that is asked for; a prefix is allowed, and means nothing.
fn requested(text: &str) -> Result<Option<IpAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let ip = match ip::parse_cidr(text) {
        Ok(net) => Some(net.addr().to_canonical()),
        Err(_) => ip::parse(text),
    };
    ip.map(Some).ok_or_else(|| format!("invalid IP address {text}"))
}

fn address_of(cni_args: &str) -> Result<Option<IpAddr>, String> {
    let mut ip = None;
    args::parse(cni_args, |key, value| {
        if key == "IP" {
            ip = requested(value)?;
        }
        Ok(key == "IP")
    })?;
    Ok(ip)
}

fn range_sets(given: &[Vec<Given>], version: &str) -> Result<Vec<RangeSet>, String> {
    if given.is_empty() {
        return Err(NO_RANGES.into());
    }
    let sets = given
        .iter()
        .enumerate()
        .map(|(i, set)| RangeSet::new(set).map_err(|why| of_set(i, &why)))
        .collect::<Result<Vec<_>, _>>()?;
    let conflict = conflicts(&sets, version).next();
    conflict.map_or(Ok(sets), Err)
}

/// What is wrong with the set `i`.
pub(crate) fn of_set(i: usize, why: &str) -> String {
    format!("invalid range set {i}: {why}")
}

/// Why sets that are right can't be used together.
pub(crate) fn conflicts(sets: &[RangeSet], version: &str) -> impl Iterator<Item = String> {
    let v4 = sets.iter().filter(|set| set.is_v4()).count();
    let too_many = (v4 > 1 || sets.len() - v4 > 1) && !has_lists_of_addresses(version);
    let too_many = too_many.then(|| format!("CNI version {version} does not support more than 1 address per family"));
    let pairs = sets.iter().enumerate().flat_map(|(i, one)| {
        let others = sets.iter().enumerate().skip(i + 1);
        let overlapping = others.filter(|(_, other)| one.overlaps(other));
        overlapping.map(move |(j, _)| format!("range set {i} overlaps with {j}"))
    });
    too_many.into_iter().chain(pairs)
}

/// Whether results of this version can hold more than an address per family.
fn has_lists_of_addresses(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (0, 3),
        (Some(Ok(major)), None) => major > 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(members: &str) -> String {
        let config = format!(r#"{{"cniVersion":"1.0.0","name":"n1",{members}}}"#);
        Config::parse(&config, "").unwrap_err().msg
    }

    fn sets(members: &str) -> Vec<String> {
        let config = format!(r#"{{"cniVersion":"1.0.0","name":"n1",{members}}}"#);
        let config = Config::parse(&config, "").unwrap();
        config.sets.iter().map(RangeSet::to_string).collect()
    }

    #[test]
    fn wrong_types_are_named_as_go_names_them() {
        const INTO: &str = "json: cannot unmarshal number into Go struct field ";
        for (members, text) in [
            (r#""ipam":3"#, "Net.ipam of type allocator.IPAMConfig"),
            (r#""ipam":{"type":3}"#, "IPAMConfig.ipam.type of type string"),
            (r#""ipam":{"dataDir":3}"#, "IPAMConfig.ipam.dataDir of type string"),
            (r#""ipam":{"resolvConf":3}"#, "IPAMConfig.ipam.resolvConf of type string"),
            (r#""ipam":{"ranges":3}"#, "IPAMConfig.ipam.ranges of type []allocator.RangeSet"),
            (r#""ipam":{"ranges":[3]}"#, "IPAMConfig.ipam.ranges of type allocator.RangeSet"),
            (r#""ipam":{"ranges":[[3]]}"#, "IPAMConfig.ipam.ranges of type allocator.Range"),
            (r#""ipam":{"ranges":[[{"subnet":3}]]}"#, "Range.ipam.ranges.subnet of type string"),
            (r#""ipam":{"ranges":[[{"rangeStart":3}]]}"#, "Range.ipam.ranges.rangeStart of type net.IP"),
            (r#""ipam":{"subnet":3}"#, "IPAMConfig.ipam.Range.subnet of type string"),
            (
                r#""runtimeConfig":3"#,
                "Net.runtimeConfig of type struct { IPRanges []allocator.RangeSet \
                 \"json:\\\"ipRanges,omitempty\\\"\"; \
                 IPs []*ip.IP \"json:\\\"ips,omitempty\\\"\" }",
            ),
            (r#""runtimeConfig":{"ips":3}"#, ".runtimeConfig.ips of type []*ip.IP"),
            (r#""runtimeConfig":{"ips":[3]}"#, ".runtimeConfig.ips of type *ip.IP"),
            (r#""runtimeConfig":{"ipRanges":[3]}"#, ".runtimeConfig.ipRanges of type allocator.RangeSet"),
            (r#""args":3"#, "Net.args of type struct { A *allocator.IPAMArgs \"json:\\\"cni\\\"\" }"),
            (r#""args":{"cni":3}"#, ".args.cni of type allocator.IPAMArgs"),
            (r#""args":{"cni":{"ips":3}}"#, "IPAMArgs.args.cni.ips of type []*ip.IP"),
        ] {
            assert_eq!(refusal(members), format!("{INTO}{text}"), "{members}");
        }
    }

    #[test]
    fn bad_values_have_the_reference_s_texts() {
        for (members, text) in [
            (r#""x":1"#, "IPAM config missing 'ipam' key"),
            (r#""ipam":null"#, "IPAM config missing 'ipam' key"),
            (r#""ipam":{}"#, "no IP ranges specified"),
            (r#""ipam":{"subnet":""}"#, "invalid CIDR address: "),
            (r#""ipam":{"subnet":"10.0.0.0"}"#, "invalid CIDR address: 10.0.0.0"),
            (r#""ipam":{"subnet":"10.0.0.0/24","rangeStart":"foo"}"#, "invalid IP address: foo"),
            (r#""ipam":{"subnet":"10.0.0.0/24","gateway":"010.0.0.1"}"#, "invalid IP address: 010.0.0.1"),
            (r#""ipam":{},"runtimeConfig":{"ips":["zz"]}"#, "invalid IP address zz"),
            (r#""ipam":{},"args":{"cni":{"ips":["10.0.0.5/33"]}}"#, "invalid IP address 10.0.0.5/33"),
            (r#""ipam":{"ranges":[[]]}"#, "invalid range set 0: empty range set"),
            (r#""ipam":{"ranges":[null]}"#, "invalid range set 0: empty range set"),
            (r#""ipam":{"ranges":[[null]]}"#, "invalid range set 0: IP <nil> not v4 nor v6"),
            (r#""ipam":{"subnet":"10.0.0.0/24","ranges":[[{"subnet":"10.0.0.0/25"}]]}"#, "range set 0 overlaps with 1"),
        ] {
            assert_eq!(refusal(members), text, "{members}");
        }
    }

    #[test]
    fn ranges_come_from_the_runtime_then_the_legacy_keys_then_the_list() {
        let sets = sets(
            r#""runtimeConfig":{"ipRanges":[[{"subnet":"10.3.0.0/30"}]]},
               "ipam":{"subnet":"10.2.0.0/30","ranges":[[{"subnet":"10.1.0.0/30"}]]}"#,
        );
        let expected = ["10.3.0.1-10.3.0.2", "10.2.0.1-10.2.0.2", "10.1.0.1-10.1.0.2"];
        assert_eq!(sets, expected);
    }

    #[test]
    fn legacy_keys_count_only_with_a_subnet() {
        let one = r#""ipam":{"gateway":"10.0.0.1","ranges":[[{"subnet":"10.0.0.0/30"}]]}"#;
        assert_eq!(sets(one).len(), 1);
    }

    #[test]
    fn before_0_3_0_a_family_has_one_address() {
        let two = r#""ipam":{"ranges":[[{"subnet":"10.0.0.0/30"}],[{"subnet":"10.1.0.0/30"}]]}"#;
        for version in ["0.2.0", "0.1.0", ""] {
            let config = format!(r#"{{"cniVersion":"{version}",{two}}}"#);
            assert_eq!(
                Config::parse(&config, "").unwrap_err().msg,
                format!("CNI version {version} does not support more than 1 address per family")
            );
        }
        let config = format!(r#"{{"cniVersion":"0.3.0",{two}}}"#);
        assert!(Config::parse(&config, "").is_ok());
    }

    #[test]
    fn requests_add_up() {
        let config = r#"{"cniVersion":"1.0.0","args":{"cni":{"ips":["10.0.0.6",null]}},
            "runtimeConfig":{"ips":["10.0.0.7/8"]},"ipam":{"subnet":"10.0.0.0/24"}}"#;
        let config = Config::parse(config, "IP=10.0.0.5/16").unwrap();
        let requested: Vec<_> = config.requested.iter().map(IpAddr::to_string).collect();
        assert_eq!(requested, ["10.0.0.5", "10.0.0.6", "10.0.0.7"]);
    }

    #[test]
    fn cni_args_know_only_ip() {
        let config = r#"{"ipam":{"subnet":"10.0.0.0/24"}}"#;
        for (args, text) in [
            ("MAC=1", r#"ARGS: unknown args ["MAC=1"]"#),
            ("IP=foo", r#"ARGS: error parsing value of pair "IP=foo": invalid IP address foo"#),
            ("IP", r#"ARGS: invalid pair "IP""#),
        ] {
            assert_eq!(Config::parse(config, args).unwrap_err().msg, text);
        }
        assert!(Config::parse(config, "IP=").unwrap().requested.is_empty());
    }
}
