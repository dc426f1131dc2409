//! A result of ADD, free of versions: what plugins return and `prevResult`
//! holds. `schema` writes it in the version that a configuration asks for.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use crate::{error::CniError, version::Family};

/// What an ADD achieved ("Success" in the specification).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Success {
    /// Interfaces that the plugins made, on either side.
    pub interfaces: Vec<Interface>,
    /// Addresses.
    pub ips: Vec<IpConfig>,
    /// Routes of the container.
    pub routes: Vec<Route>,
    /// Name servers and domains.
    pub dns: Dns,
}

/// An entry of `interfaces`; empty texts and 0 are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Name, as in `ip link`.
    pub name: String,
    /// Link-layer address, `0a:58:0a:58:00:02`.
    pub mac: String,
    /// MTU in bytes.
    pub mtu: u32,
    /// Path of the namespace; empty for the host's.
    pub sandbox: String,
    /// Absolute path of a socket for the interface.
    pub socket_path: String,
    /// PCI address.
    pub pci_id: String,
}

/// An entry of `ips`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpConfig {
    /// Address and prefix length.
    pub address: IpNet,
    /// Default gateway of this subnet.
    pub gateway: Option<IpAddr>,
    /// Index into [`Success::interfaces`].
    pub interface: Option<u32>,
}

/// An entry of `routes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub dst: IpNet,
    /// Next hop; none leaves it to the gateway of the address.
    pub gw: Option<IpAddr>,
    /// MTU in bytes; 0 is absent.
    pub mtu: u32,
    /// Advertised maximum segment size in bytes; 0 is absent.
    pub advmss: u32,
    /// Metric; 0 is absent.
    pub priority: u32,
    /// Routing table.
    pub table: Option<u32>,
    /// `RT_SCOPE_*` of linux/rtnetlink.h.
    pub scope: Option<u8>,
}

/// `dns`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Addresses of name servers in order of priority.
    pub nameservers: Vec<String>,
    /// Local domain.
    pub domain: String,
    /// Search domains.
    pub search: Vec<String>,
    /// Options for the resolver.
    pub options: Vec<String>,
}

impl Dns {
    /// Nothing set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Reads a result in the schema that its `cniVersion` names; `fallback` is for
/// one that names none.
///
/// # Errors
///
/// For a version that is not supported, and for what cannot be understood.
pub fn parse_result(json: &Value, fallback: &str) -> Result<Success, CniError> {
    parse(json, fallback, None).map(|(success, _)| success).map_err(CniError::internal)
}

/// Reads a result in the schema that its `cniVersion` names.
///
/// `fallback` is the configuration's version, for a result that names none. If
/// `only` is set the result has to be of that family.
///
/// # Errors
///
/// The reference's texts for other versions; where and why for what cannot be
/// understood.
pub fn parse(json: &Value, fallback: &str, only: Option<Family>) -> Result<(Success, String), String> {
    let version = match json.get("cniVersion").and_then(Value::as_str) {
        None | Some("") => fallback,
        Some(version) => version,
    };
    if let Some(family) = only
        && !family.versions().contains(&version)
    {
        let versions = family.versions().join(" ");
        return Err(format!("result type supports [{versions}] but unmarshalled CNIVersion is {version:?}"));
    }
    let version = if version.is_empty() { "0.1.0" } else { version };
    let success = match Family::of(version) {
        None => return Err(format!("unsupported CNI result version {version:?}")),
        Some(Family::Legacy) => from_json::<Legacy>(json)?.into_success()?,
        Some(_) => from_json::<Listed>(json)?.into_success()?,
    };
    Ok((success, version.to_owned()))
}

fn from_json<'a, T: Deserialize<'a>>(json: &'a Value) -> Result<T, String> {
    T::deserialize(json).map_err(|error| error.to_string())
}

/// Schema of 0.1.0 and 0.2.0.
#[derive(Deserialize)]
struct Legacy {
    ip4: Option<LegacyIp>,
    ip6: Option<LegacyIp>,
    dns: Option<DnsJson>,
}

#[derive(Deserialize)]
struct LegacyIp {
    ip: String,
    gateway: Option<String>,
    routes: Option<Vec<RouteJson>>,
}

impl Legacy {
    fn into_success(self) -> Result<Success, String> {
        let mut success = Success { dns: self.dns.unwrap_or_default().into_dns(), ..Success::default() };
        for ip in [self.ip4, self.ip6].into_iter().flatten() {
            let gateway = address(ip.gateway.as_deref())?;
            success.ips.push(IpConfig { address: network(&ip.ip)?, gateway, interface: None });
            for route in ip.routes.unwrap_or_default() {
                success.routes.push(route.into_route()?);
            }
        }
        Ok(success)
    }
}

/// Schemas of 0.3.0 and later; `ips[].version` follows from the address.
#[derive(Deserialize)]
struct Listed {
    interfaces: Option<Vec<InterfaceJson>>,
    ips: Option<Vec<IpJson>>,
    routes: Option<Vec<RouteJson>>,
    dns: Option<DnsJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InterfaceJson {
    #[serde(default)]
    name: String,
    mac: Option<String>,
    mtu: Option<u32>,
    sandbox: Option<String>,
    socket_path: Option<String>,
    #[serde(rename = "pciID")]
    pci_id: Option<String>,
}

#[derive(Deserialize)]
struct IpJson {
    address: String,
    gateway: Option<String>,
    interface: Option<u32>,
}

#[derive(Deserialize)]
struct RouteJson {
    dst: String,
    gw: Option<String>,
    mtu: Option<u32>,
    advmss: Option<u32>,
    priority: Option<u32>,
    table: Option<u32>,
    scope: Option<u8>,
}

#[derive(Default, Deserialize)]
struct DnsJson {
    nameservers: Option<Vec<String>>,
    domain: Option<String>,
    search: Option<Vec<String>>,
    options: Option<Vec<String>>,
}

impl Listed {
    fn into_success(self) -> Result<Success, String> {
        let interfaces = self.interfaces.unwrap_or_default().into_iter().map(InterfaceJson::into_interface).collect();
        let ips = self.ips.unwrap_or_default().into_iter().map(IpJson::into_ip).collect::<Result<_, _>>()?;
        let routes =
            self.routes.unwrap_or_default().into_iter().map(RouteJson::into_route).collect::<Result<_, _>>()?;
        Ok(Success { interfaces, ips, routes, dns: self.dns.unwrap_or_default().into_dns() })
    }
}

impl InterfaceJson {
    fn into_interface(self) -> Interface {
        Interface {
            name: self.name,
            mac: self.mac.unwrap_or_default(),
            mtu: self.mtu.unwrap_or_default(),
            sandbox: self.sandbox.unwrap_or_default(),
            socket_path: self.socket_path.unwrap_or_default(),
            pci_id: self.pci_id.unwrap_or_default(),
        }
    }
}

impl IpJson {
    fn into_ip(self) -> Result<IpConfig, String> {
        let gateway = address(self.gateway.as_deref())?;
        Ok(IpConfig { address: network(&self.address)?, gateway, interface: self.interface })
    }
}

impl RouteJson {
    fn into_route(self) -> Result<Route, String> {
        Ok(Route {
            dst: network(&self.dst)?,
            gw: address(self.gw.as_deref())?,
            mtu: self.mtu.unwrap_or_default(),
            advmss: self.advmss.unwrap_or_default(),
            priority: self.priority.unwrap_or_default(),
            table: self.table,
            scope: self.scope,
        })
    }
}

impl DnsJson {
    fn into_dns(self) -> Dns {
        Dns {
            nameservers: self.nameservers.unwrap_or_default(),
            domain: self.domain.unwrap_or_default(),
            search: self.search.unwrap_or_default(),
            options: self.options.unwrap_or_default(),
        }
    }
}

/// Host bits stay: `10.0.0.5/24`.
fn network(text: &str) -> Result<IpNet, String> {
    text.parse().map_err(|_| format!("invalid CIDR address: {text}"))
}

fn address(text: Option<&str>) -> Result<Option<IpAddr>, String> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| format!("invalid IP address: {text}")),
    }
}
