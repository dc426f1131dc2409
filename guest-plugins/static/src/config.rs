//! The configuration: validated by being parsed.

use std::net::IpAddr;

use cni_plugin::decode::{Document, Object};
use cni_plugin::{CniRoute, Dns, Failure, IpConfig, IpNet, ip, netconf, result};

/// A configuration that makes sense.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) addresses: Vec<Address>,
    pub(crate) routes: Vec<CniRoute>,
    pub(crate) dns: Dns,
}

/// An address for the container, and its gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub(crate) net: IpNet,
    pub(crate) gateway: Option<IpAddr>,
}

impl Config {
    /// From the configuration's JSON and CNI_ARGS.
    pub(crate) fn parse(config: &str, cni_args: &str) -> Result<Self, Failure> {
        let document = Document::parse(config)?;
        let Read { version, ipam, by_args, by_runtime } = Read::of(&document.root("Net"));
        document.finish()?;

        let Some(ipam) = ipam else {
            return Err(NO_IPAM.into());
        };
        let added = of_cni_args(cni_args)?;
        let by_args = asked(&by_args)?;
        let by_runtime = asked(&by_runtime)?;
        let addresses = if !by_runtime.is_empty() {
            by_runtime
        } else if !by_args.is_empty() {
            by_args
        } else {
            let own = ipam.addresses.iter().map(Given::address);
            own.chain(added.into_iter().map(Ok)).collect::<Result<_, _>>()?
        };
        too_many(&addresses, &version).map_or(Ok(()), Err)?;
        Ok(Self { addresses, routes: ipam.routes, dns: ipam.dns })
    }
}

pub(crate) const NO_IPAM: &str = "IPAM config missing 'ipam' key";

/// A configuration that is decoded, and no more.
pub(crate) struct Read {
    pub(crate) version: String,
    ipam: Option<Ipam>,
    pub(crate) by_args: Vec<String>,
    pub(crate) by_runtime: Vec<String>,
}

impl Read {
    pub(crate) fn of(net: &Object<'_>) -> Self {
        net.text("name");
        let [by_args, by_runtime] =
            [args(net), runtime(net)].map(|conf| conf.map_or_else(Vec::new, |c| c.texts("ips")));
        let ipam = ipam(net).as_ref().map(Ipam::read);
        Self { version: net.text("cniVersion").unwrap_or_default(), ipam, by_args, by_runtime }
    }
}

pub(crate) fn ipam<'d>(net: &Object<'d>) -> Option<Object<'d>> {
    net.object("ipam", "main.IPAMConfig", "IPAMConfig")
}

pub(crate) fn args<'d>(net: &Object<'d>) -> Option<Object<'d>> {
    netconf::args_of_cni(net, ARGS_TYPE, "main", "IPAMArgs")
}

pub(crate) fn runtime<'d>(net: &Object<'d>) -> Option<Object<'d>> {
    netconf::runtime_config(net, RUNTIME_CONFIG_TYPE)
}

/// The objects of `addresses`.
pub(crate) fn entries<'d>(ipam: &Object<'d>) -> Vec<Object<'d>> {
    let addresses = ipam.list("addresses", "[]main.Address").unwrap_or_default();
    addresses.iter().filter_map(|address| address.object("main.Address", "Address")).collect()
}

pub(crate) fn too_many(addresses: &[Address], version: &str) -> Option<String> {
    let v4 = addresses.iter().filter(|address| address.net.addr().is_ipv4()).count();
    let too_many = (v4 > 1 || addresses.len() - v4 > 1) && !has_lists_of_addresses(version);
    too_many.then(|| format!("CNI version {version} does not support more than 1 address per family"))
}

/// The keys of every configuration, which only CHECK reads.
pub(crate) fn validate_common(config: &str) -> Result<(), Failure> {
    let failed = |text| format!("failed to load netconf: {text}");
    let document = Document::parse(config).map_err(failed)?;
    let conf = document.root("PluginConf");
    conf.text("type");
    conf.object("capabilities", "map[string]bool", "");
    result::dns(&conf);
    conf.object("prevResult", "map[string]interface {}", "");
    conf.list("cni.dev/valid-attachments", "[]types.GCAttachment");
    document.finish().map_err(failed)?;
    Ok(())
}

const ARGS_TYPE: &str = r#"struct { A *main.IPAMArgs "json:\"cni\"" }"#;
const RUNTIME_CONFIG_TYPE: &str = r#"struct { IPs []string "json:\"ips,omitempty\"" }"#;

/// The `ipam` object.
struct Ipam {
    addresses: Vec<Given>,
    routes: Vec<CniRoute>,
    dns: Dns,
}

/// An entry of `addresses`. Whether it has an address matters only if it is
/// not replaced.
pub(crate) struct Given {
    address: String,
    gateway: Option<IpAddr>,
}

impl Ipam {
    fn read(ipam: &Object<'_>) -> Self {
        ipam.text("Name"); // Of no use here, but checked.
        ipam.text("type");
        Self {
            addresses: entries(ipam).iter().map(Given::read).collect(),
            routes: result::routes(ipam),
            dns: result::dns(ipam),
        }
    }
}

impl Given {
    pub(crate) fn read(members: &Object<'_>) -> Self {
        members.text("Version"); // Of no use here, but checked.
        Self {
            address: members.text("address").unwrap_or_default(),
            gateway: members.parsed("gateway", "net.IP", ip::parse_field).flatten(),
        }
    }

    pub(crate) fn address(&self) -> Result<Address, String> {
        let address = address(&self.address, "the 'address' field is expected to be in CIDR notation")?;
        Ok(Address { gateway: self.gateway, ..address })
    }
}

impl From<Address> for IpConfig {
    fn from(address: Address) -> Self {
        Self { address: address.net.into(), gateway: address.gateway.map(Into::into), iface: None }
    }
}

/// The addresses that CNI_ARGS add to those of the configuration, with their
/// gateways: a gateway belongs to all whose network it is in.
fn of_cni_args(cni_args: &str) -> Result<Vec<Address>, String> {
    let (mut ips, mut gateways) = (String::new(), String::new());
    cni_plugin::args::parse(cni_args, |key, value| {
        match key {
            "IP" => value.clone_into(&mut ips),
            "GATEWAY" => value.clone_into(&mut gateways),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let mut addresses = items(&ips)
        .map(|item| address(item.trim(), "the 'ip' field is expected to be in CIDR notation"))
        .collect::<Result<Vec<_>, _>>()?;
    for item in items(&gateways) {
        let gateway = ip::parse(item.trim()).ok_or_else(|| format!("invalid gateway address: {item}"))?;
        for address in addresses.iter_mut().filter(|address| address.net.contains(&gateway)) {
            address.gateway = Some(gateway);
        }
    }
    Ok(addresses)
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(|_| !list.is_empty())
}

/// The addresses that the caller asks for in place of others.
pub(crate) fn asked(ips: &[String]) -> Result<Vec<Address>, String> {
    ips.iter().map(|text| address(text, "an entry in the 'ips' field is NOT in CIDR notation")).collect()
}

fn address(text: &str, otherwise: &str) -> Result<Address, String> {
    let net = ip::parse_cidr(text).map_err(|_| format!("{otherwise}, got: '{text}'"))?;
    Ok(Address { net: ip::unmapped(net), gateway: None })
}

/// Whether results of this version can hold more than an address per family.
fn has_lists_of_addresses(version: &str) -> bool {
    !matches!(version, "" | "0.1.0" | "0.2.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: &str = r#""ipam":{"addresses":[{"address":"10.0.0.5/24","gateway":"10.0.0.1"}]}"#;

    fn parse(members: &str, cni_args: &str) -> Result<Config, Failure> {
        Config::parse(&format!(r#"{{"cniVersion":"1.0.0","name":"n1",{members}}}"#), cni_args)
    }

    fn refusal(members: &str, cni_args: &str) -> String {
        parse(members, cni_args).unwrap_err().msg
    }

    /// An address, or `ADDRESS via GATEWAY`.
    fn addresses(members: &str, cni_args: &str) -> Vec<String> {
        let addresses = parse(members, cni_args).unwrap().addresses;
        let text =
            |Address { net, gateway }| gateway.map_or(format!("{net}"), |gateway| format!("{net} via {gateway}"));
        addresses.into_iter().map(text).collect()
    }

    #[test]
    fn wrong_types_are_named_as_go_names_them() {
        const INTO: &str = "json: cannot unmarshal number into Go struct field ";
        for (members, text) in [
            (r#""ipam":3"#, "Net.ipam of type main.IPAMConfig"),
            (r#""ipam":{"name":3}"#, "IPAMConfig.ipam.Name of type string"),
            (r#""ipam":{"type":3}"#, "IPAMConfig.ipam.type of type string"),
            (r#""ipam":{"routes":3}"#, "IPAMConfig.ipam.routes of type []*types.Route"),
            (r#""ipam":{"dns":3}"#, "IPAMConfig.ipam.dns of type types.DNS"),
            (r#""ipam":{"dns":{"search":[3]}}"#, "DNS.ipam.dns.search of type string"),
            (r#""ipam":{"addresses":3}"#, "IPAMConfig.ipam.addresses of type []main.Address"),
            (r#""ipam":{"addresses":[3]}"#, "IPAMConfig.ipam.addresses of type main.Address"),
            (r#""ipam":{"addresses":[{"address":3}]}"#, "Address.ipam.addresses.address of type string"),
            (r#""ipam":{"addresses":[{"gateway":3}]}"#, "Address.ipam.addresses.gateway of type net.IP"),
            (r#""ipam":{"addresses":[{"version":3}]}"#, "Address.ipam.addresses.Version of type string"),
            (r#""args":3"#, "Net.args of type struct { A *main.IPAMArgs \"json:\\\"cni\\\"\" }"),
            (r#""args":{"cni":3}"#, ".args.cni of type main.IPAMArgs"),
            (r#""args":{"cni":{"ips":3}}"#, "IPAMArgs.args.cni.ips of type []string"),
            (r#""args":{"cni":{"ips":[3]}}"#, "IPAMArgs.args.cni.ips of type string"),
            (
                r#""runtimeConfig":3"#,
                "Net.runtimeConfig of type struct { IPs []string \"json:\\\"ips,omitempty\\\"\" }",
            ),
            (r#""runtimeConfig":{"ips":3}"#, ".runtimeConfig.ips of type []string"),
            (r#""runtimeConfig":{"ips":[3]}"#, ".runtimeConfig.ips of type string"),
        ] {
            assert_eq!(refusal(members, ""), format!("{INTO}{text}"), "{members}");
        }
    }

    #[test]
    fn bad_values_have_the_reference_s_texts() {
        const ADDRESS: &str = "the 'address' field is expected to be in CIDR notation, got: ";
        const ENTRY: &str = "an entry in the 'ips' field is NOT in CIDR notation, got: ";
        for (members, text) in [
            (r#""x":1"#, "IPAM config missing 'ipam' key".to_owned()),
            (r#""ipam":null"#, "IPAM config missing 'ipam' key".to_owned()),
            (r#""ipam":{"addresses":[{"address":"10.0.0.5"}]}"#, format!("{ADDRESS}'10.0.0.5'")),
            (r#""ipam":{"addresses":[{"address":" 10.0.0.5/24"}]}"#, format!("{ADDRESS}' 10.0.0.5/24'")),
            (r#""ipam":{"addresses":[{}]}"#, format!("{ADDRESS}''")),
            (r#""ipam":{"addresses":[null]}"#, format!("{ADDRESS}''")),
            (r#""ipam":{"addresses":[{"address":"x","gateway":"10.0.0"}]}"#, "invalid IP address: 10.0.0".to_owned()),
            (r#""ipam":{},"args":{"cni":{"ips":["10.0.0.5"]}}"#, format!("{ENTRY}'10.0.0.5'")),
            (r#""ipam":{},"runtimeConfig":{"ips":[null]}"#, format!("{ENTRY}''")),
            (r#""ipam":{},"args":{"cni":{"ips":["a"]}},"runtimeConfig":{"ips":["b"]}"#, format!("{ENTRY}'a'")),
        ] {
            assert_eq!(refusal(members, ""), text, "{members}");
        }
    }

    #[test]
    fn bad_cni_args_have_the_reference_s_texts() {
        const IP: &str = "the 'ip' field is expected to be in CIDR notation, got: ";
        for (cni_args, text) in [
            ("IP=10.0.0.6", format!("{IP}'10.0.0.6'")),
            ("IP=10.0.0.6/24, x ", format!("{IP}'x'")),
            ("IP=10.0.0.6/24,", format!("{IP}''")),
            ("GATEWAY=10.0.0.1, x ", "invalid gateway address:  x ".into()),
            ("GATEWAY=10.0.0.1,", "invalid gateway address: ".into()),
            ("IP=x;GATEWAY=y", format!("{IP}'x'")),
            ("ip=10.0.0.6/24", r#"ARGS: unknown args ["ip=10.0.0.6/24"]"#.into()),
            ("IP", r#"ARGS: invalid pair "IP""#.into()),
        ] {
            assert_eq!(refusal(TEN, cni_args), text, "{cni_args}");
            // Also of addresses that are replaced.
            assert_eq!(refusal(&format!(r#"{TEN},"runtimeConfig":{{"ips":["10.3.0.5/16"]}}"#), cni_args), text);
        }
    }

    #[test]
    fn cni_args_add_and_the_lists_replace() {
        let args = r#""args":{"cni":{"ips":["10.2.0.5/16","fd02::5/64"]}}"#;
        let runtime = r#""runtimeConfig":{"ips":["10.3.0.5/16"]}"#;
        let added = "IgnoreUnknown=1;K8S=x;IP=10.1.0.5/16";
        assert_eq!(addresses(TEN, ""), ["10.0.0.5/24 via 10.0.0.1"]);
        assert_eq!(addresses(TEN, added), ["10.0.0.5/24 via 10.0.0.1", "10.1.0.5/16"]);
        assert_eq!(addresses(&format!("{TEN},{args}"), added), ["10.2.0.5/16", "fd02::5/64"]);
        assert_eq!(addresses(&format!("{TEN},{args},{runtime}"), added), ["10.3.0.5/16"]);
    }

    #[test]
    fn an_empty_list_replaces_nothing_and_no_address_is_needed() {
        let empty = r#""args":{"cni":{"ips":[]}},"runtimeConfig":{"ips":null}"#;
        assert_eq!(addresses(&format!("{TEN},{empty}"), "IP=;GATEWAY="), ["10.0.0.5/24 via 10.0.0.1"]);
        assert!(addresses(r#""ipam":{}"#, "").is_empty());
    }

    #[test]
    fn what_is_replaced_need_not_be_an_address() {
        let bad = r#""ipam":{"addresses":[{"address":"x"}]},"args":{"cni":{"ips":["10.2.0.5/16"]}}"#;
        assert_eq!(addresses(bad, ""), ["10.2.0.5/16"]);
    }

    #[test]
    fn gateways_of_cni_args_are_for_addresses_of_cni_args() {
        let added = "IP= 10.0.0.6/24 ,10.0.0.7/16,fd00::6/64;GATEWAY= 10.0.0.2,10.0.9.1 , fd00::1";
        assert_eq!(
            addresses(TEN, added),
            [
                "10.0.0.5/24 via 10.0.0.1",
                "10.0.0.6/24 via 10.0.0.2",
                "10.0.0.7/16 via 10.0.9.1",
                "fd00::6/64 via fd00::1"
            ]
        );
    }

    #[test]
    fn mapped_addresses_are_the_addresses() {
        let mapped = r#""ipam":{"addresses":[{"address":"::ffff:10.0.0.5/120","gateway":"::ffff:10.0.0.1"}]}"#;
        let added = "IP=::ffff:10.0.0.6/120;GATEWAY=10.0.0.2";
        assert_eq!(addresses(mapped, added), ["10.0.0.5/24 via 10.0.0.1", "10.0.0.6/24 via 10.0.0.2"]);
    }

    #[test]
    fn before_0_3_0_a_family_has_one_address() {
        let parse = |version, cni_args| {
            let config = format!(r#"{{"cniVersion":"{version}",{TEN}}}"#);
            Config::parse(&config, cni_args).map(|config| config.addresses.len()).map_err(|failure| failure.msg)
        };
        for version in ["", "0.1.0", "0.2.0"] {
            let text = format!("CNI version {version} does not support more than 1 address per family");
            assert_eq!(parse(version, "IP=::ffff:10.0.0.6/120"), Err(text));
            assert_eq!(parse(version, "IP=fd00::6/64"), Ok(2));
        }
        assert_eq!(parse("0.3.0", "IP=10.0.0.6/24"), Ok(2));
    }

    #[test]
    fn check_wants_the_common_keys_to_have_their_types() {
        for (members, text) in [
            (r#""type":3"#, "type of type string"),
            (r#""capabilities":3"#, "capabilities of type map[string]bool"),
            (r#""dns":3"#, "dns of type types.DNS"),
            (r#""prevResult":3"#, "prevResult of type map[string]interface {}"),
            (r#""cni.dev/valid-attachments":3"#, "cni.dev/valid-attachments of type []types.GCAttachment"),
        ] {
            let failure = validate_common(&format!("{{{members}}}")).unwrap_err();
            let into = "failed to load netconf: json: cannot unmarshal number into Go struct field PluginConf.";
            assert_eq!(failure.msg, format!("{into}{text}"));
        }
    }
}
