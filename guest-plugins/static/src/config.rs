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
    /// The gateway is that of another address: the reference gives none to an address that is
    /// asked for.
    pub(crate) is_lent: bool,
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
        let asked = if by_runtime.is_empty() { by_args } else { by_runtime };
        let addresses: Vec<_> = if asked.is_empty() {
            let own = ipam.addresses.iter().map(Given::address);
            own.chain(added.into_iter().map(Ok)).collect::<Result<_, _>>()?
        } else {
            // Those of the configuration that are none do not matter any more.
            let replaced = ipam.addresses.iter().filter_map(|given| given.address().ok()).chain(added);
            let replaced: Vec<_> = replaced.collect();
            asked.into_iter().map(|address| with_gateway(address, &replaced)).collect()
        };
        too_many(&addresses, &version).map_or(Ok(()), Err)?;
        Ok(Self { addresses, routes: ipam.routes, dns: ipam.dns })
    }
}

/// An address that was asked for, with the gateway of its subnet, as an address in whose place
/// it is names it.
fn with_gateway(asked: Address, replaced: &[Address]) -> Address {
    let is_of_its_subnet = |other: &&Address| {
        other.net.trunc() == asked.net.trunc() || other.gateway.is_some_and(|gateway| asked.net.contains(&gateway))
    };
    let gateway = replaced.iter().filter(is_of_its_subnet).find_map(|other| other.gateway);
    Address { gateway, is_lent: gateway.is_some(), ..asked }
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
        // As the Go type writes itself: beside `address`, which alone counts.
        let (own, members) = members.apart("Address");
        if let Some(own) = own.object("Address", "net.IPNet", "IPNet") {
            own.parsed("IP", "net.IP", ip::parse_field);
            own.parsed("Mask", "net.IPMask", |_| Ok(()));
        }
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
    Ok(Address { net: ip::unmapped(net), gateway: None, is_lent: false })
}

/// Whether results of this version can hold more than an address per family.
fn has_lists_of_addresses(version: &str) -> bool {
    !matches!(version, "" | "0.1.0" | "0.2.0")
}

#[cfg(test)]
mod tests;
