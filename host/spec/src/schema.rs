//! The JSON of a result in each version of the specification, with the keys in
//! the order in which the reference prints them.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;

use crate::{
    error::CniError,
    result::{Dns, Interface, IpConfig, Route, Success},
    version::Family,
};

/// A result as JSON in the schema of one version.
///
/// # Errors
///
/// For a version that is not supported; 0.1.0 and 0.2.0 cannot say that there is
/// no address.
pub fn render_result(success: &Success, version: &str) -> Result<Value, CniError> {
    serde_json::to_value(&versioned(success, version)?).map_err(|e| CniError::internal(e.to_string()))
}

/// A result in the schema of one version, to be serialized.
///
/// # Errors
///
/// 0.1.0 and 0.2.0 cannot say that there is no address.
pub fn versioned<'a>(success: &'a Success, version: &'a str) -> Result<Rendered<'a>, CniError> {
    let version = if version.is_empty() { "0.1.0" } else { version };
    let json = match Family::of(version) {
        None => {
            let text = format!("no converter for CNI result version 1.1.0 to {version}");
            return Err(CniError::internal(text));
        }
        Some(Family::Legacy) => Schema::Legacy(legacy(success, version)?),
        Some(Family::Versioned) => Schema::Versioned(listed(success, version)),
        Some(Family::Current) => Schema::Current(current(success, version)),
    };
    Ok(Rendered(json))
}

#[derive(Serialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and most are the large one")]
enum Sorted<'a> {
    /// The newest schema's keys are.
    AsItIs(Schema<'a>),
    Anew(Value),
}

/// A result in the schema of one version, to be serialized.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Rendered<'a>(Schema<'a>);

#[derive(Serialize)]
#[serde(untagged)]
enum Schema<'a> {
    Legacy(LegacyJson),
    Versioned(VersionedJson),
    Current(CurrentJson<'a>),
}

impl<'a> Rendered<'a> {
    /// The same with all keys in order, as Go writes a map.
    ///
    /// # Errors
    ///
    /// If it cannot be written as JSON.
    pub fn sorted(self) -> Result<impl Serialize + 'a, CniError> {
        if matches!(self.0, Schema::Current(_)) {
            return Ok(Sorted::AsItIs(self.0));
        }
        serde_json::to_value(&self).map(Sorted::Anew).map_err(|e| CniError::internal(e.to_string()))
    }
}

#[derive(Serialize)]
struct LegacyJson {
    #[serde(rename = "cniVersion")]
    cni_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip4: Option<LegacyIpJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip6: Option<LegacyIpJson>,
    dns: DnsJson,
}

#[derive(Serialize)]
struct LegacyIpJson {
    ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<RouteJson>,
}

fn legacy(success: &Success, version: &str) -> Result<LegacyJson, CniError> {
    let first = |v4: bool| {
        let ip = success.ips.iter().find(|ip| ip.address.addr().is_ipv4() == v4)?;
        let routes = success.routes.iter().filter(|route| route.dst.addr().is_ipv4() == v4);
        Some(LegacyIpJson {
            ip: ip.address.to_string(),
            gateway: ip.gateway,
            // Only these two keys survive in the reference's conversion.
            routes: routes.map(|r| RouteJson { dst: r.dst.to_string(), gw: r.gw, ..RouteJson::default() }).collect(),
        })
    };
    let (ip4, ip6) = (first(true), first(false));
    if ip4.is_none() && ip6.is_none() {
        return Err(CniError::internal("cannot convert: no valid IP addresses"));
    }
    Ok(LegacyJson { cni_version: version.to_owned(), ip4, ip6, dns: DnsJson::of(&success.dns) })
}

#[derive(Serialize)]
struct VersionedJson {
    #[serde(rename = "cniVersion")]
    cni_version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<VersionedInterfaceJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ips: Vec<VersionedIpJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<RouteJson>,
    dns: DnsJson,
}

#[derive(Serialize)]
struct VersionedInterfaceJson {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    mac: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    sandbox: String,
}

#[derive(Serialize)]
struct VersionedIpJson {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<u32>,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
}

fn listed(success: &Success, version: &str) -> VersionedJson {
    let interface =
        |i: &Interface| VersionedInterfaceJson { name: i.name.clone(), mac: i.mac.clone(), sandbox: i.sandbox.clone() };
    let ip = |ip: &IpConfig| VersionedIpJson {
        version: if ip.address.addr().is_ipv4() { "4" } else { "6" },
        interface: ip.interface,
        address: ip.address.to_string(),
        gateway: ip.gateway,
    };
    VersionedJson {
        cni_version: version.to_owned(),
        interfaces: success.interfaces.iter().map(interface).collect(),
        ips: success.ips.iter().map(ip).collect(),
        routes: success.routes.iter().map(RouteJson::of).collect(),
        dns: DnsJson::of(&success.dns),
    }
}

/// Keys in alphabetical order, at every level.
#[derive(Serialize)]
struct CurrentJson<'a> {
    #[serde(rename = "cniVersion")]
    cni_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<SortedDnsJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<CurrentInterfaceJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ips: Vec<CurrentIpJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<SortedRouteJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CurrentInterfaceJson<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    mac: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    mtu: u32,
    name: &'a str,
    #[serde(rename = "pciID", skip_serializing_if = "str::is_empty")]
    pci_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    sandbox: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    socket_path: &'a str,
}

#[derive(Serialize)]
struct CurrentIpJson {
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<u32>,
}

#[derive(Serialize)]
struct SortedRouteJson {
    #[serde(skip_serializing_if = "is_zero")]
    advmss: u32,
    dst: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    gw: Option<IpAddr>,
    #[serde(skip_serializing_if = "is_zero")]
    mtu: u32,
    #[serde(skip_serializing_if = "is_zero")]
    priority: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<u32>,
}

#[derive(Serialize)]
struct SortedDnsJson<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    domain: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    nameservers: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    options: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    search: &'a [String],
}

fn current<'a>(success: &'a Success, version: &'a str) -> CurrentJson<'a> {
    let interface = |i: &'a Interface| CurrentInterfaceJson {
        mac: &i.mac,
        mtu: i.mtu,
        name: &i.name,
        pci_id: &i.pci_id,
        sandbox: &i.sandbox,
        socket_path: &i.socket_path,
    };
    let ip =
        |ip: &IpConfig| CurrentIpJson { address: ip.address.to_string(), gateway: ip.gateway, interface: ip.interface };
    let route = |r: &Route| SortedRouteJson {
        advmss: r.advmss,
        dst: r.dst.to_string(),
        gw: r.gw,
        mtu: r.mtu,
        priority: r.priority,
        scope: r.scope,
        table: r.table,
    };
    let dns = (!success.dns.is_empty()).then(|| SortedDnsJson {
        domain: &success.dns.domain,
        nameservers: &success.dns.nameservers,
        options: &success.dns.options,
        search: &success.dns.search,
    });
    CurrentJson {
        cni_version: version,
        dns,
        interfaces: success.interfaces.iter().map(interface).collect(),
        ips: success.ips.iter().map(ip).collect(),
        routes: success.routes.iter().map(route).collect(),
    }
}

/// In the order of the reference's structure, for the older schemas.
#[derive(Default, Serialize)]
struct RouteJson {
    dst: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    gw: Option<IpAddr>,
    #[serde(skip_serializing_if = "is_zero")]
    mtu: u32,
    #[serde(skip_serializing_if = "is_zero")]
    advmss: u32,
    #[serde(skip_serializing_if = "is_zero")]
    priority: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<u8>,
}

impl RouteJson {
    fn of(route: &Route) -> Self {
        Self {
            dst: route.dst.to_string(),
            gw: route.gw,
            mtu: route.mtu,
            advmss: route.advmss,
            priority: route.priority,
            table: route.table,
            scope: route.scope,
        }
    }
}

/// In the order of the reference's structure, for the older schemas.
#[derive(Serialize)]
struct DnsJson {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nameservers: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    domain: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    search: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    options: Vec<String>,
}

impl DnsJson {
    fn of(dns: &Dns) -> Self {
        Self {
            nameservers: dns.nameservers.clone(),
            domain: dns.domain.clone(),
            search: dns.search.clone(),
            options: dns.options.clone(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes references")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::result::parse;

    fn convert(json: &Value, version: &str) -> Result<Value, CniError> {
        let (success, _) = parse(json, "", None).map_err(CniError::internal)?;
        Ok(serde_json::to_value(versioned(&success, version)?).unwrap())
    }

    #[test]
    fn core_24_conversion_down_keeps_what_the_older_schema_can_say() {
        let current = json!({
            "cniVersion": "1.1.0",
            "interfaces": [{ "name": "eth0", "mtu": 1400, "socketPath": "/s", "pciID": "p" }],
            "ips": [
                { "address": "10.0.0.5/24", "gateway": "10.0.0.1" },
                { "address": "10.0.0.6/24" },
                { "address": "fd00::5/64" }
            ],
            "routes": [{ "dst": "0.0.0.0/0", "gw": "10.0.0.1", "mtu": 1, "table": 4 }]
        });
        assert_eq!(
            convert(&current, "0.4.0").unwrap(),
            json!({
                "cniVersion": "0.4.0",
                "interfaces": [{ "name": "eth0" }],
                "ips": [
                    { "version": "4", "address": "10.0.0.5/24", "gateway": "10.0.0.1" },
                    { "version": "4", "address": "10.0.0.6/24" },
                    { "version": "6", "address": "fd00::5/64" }
                ],
                "routes": [{ "dst": "0.0.0.0/0", "gw": "10.0.0.1", "mtu": 1, "table": 4 }],
                "dns": {}
            })
        );
        assert_eq!(
            convert(&current, "0.2.0").unwrap(),
            json!({
                "cniVersion": "0.2.0",
                "ip4": {
                    "ip": "10.0.0.5/24",
                    "gateway": "10.0.0.1",
                    "routes": [{ "dst": "0.0.0.0/0", "gw": "10.0.0.1" }]
                },
                "ip6": { "ip": "fd00::5/64" },
                "dns": {}
            })
        );
    }

    #[test]
    fn the_keys_of_a_cached_result_are_in_order() {
        let (interface, ip) = (
            json!({ "socketPath": "/s", "sandbox": "/n", "pciID": "p", "name": "eth0", "mtu": 1400, "mac": "0a:00:00:00:00:01" }),
            json!({ "interface": 0, "gateway": "10.0.0.1", "address": "10.0.0.5/24" }),
        );
        let route = json!({ "dst": "0.0.0.0/0", "gw": "10.0.0.1", "mtu": 1, "advmss": 2, "priority": 3, "table": 4, "scope": 5 });
        let dns = json!({ "nameservers": ["a"], "domain": "b", "search": ["c"], "options": ["d"] });
        let full =
            json!({ "cniVersion": "1.1.0", "interfaces": [interface], "ips": [ip], "routes": [route], "dns": dns });
        let (success, _) = parse(&full, "", None).unwrap();
        for version in ["0.2.0", "0.4.0", "1.0.0", "1.1.0"] {
            let in_order = render_result(&success, version).unwrap().to_string();
            assert_eq!(
                serde_json::to_string(&versioned(&success, version).unwrap().sorted().unwrap()).unwrap(),
                in_order
            );
        }
    }

    #[test]
    fn core_25_what_cannot_be_converted_says_so() {
        let empty = json!({ "cniVersion": "1.1.0" });
        assert_eq!(convert(&empty, "0.2.0").unwrap_err().msg, "cannot convert: no valid IP addresses");
        assert_eq!(convert(&empty, "1.2.0").unwrap_err().msg, "no converter for CNI result version 1.1.0 to 1.2.0");
    }

    #[test]
    fn the_current_schema_omits_what_is_empty_and_keeps_index_zero() {
        let old = json!({ "cniVersion": "0.3.1", "interfaces": [{ "name": "a" }],
            "ips": [{ "version": "4", "interface": 0, "address": "10.0.0.1/8" }], "dns": {} });
        assert_eq!(
            convert(&old, "1.0.0").unwrap(),
            json!({ "cniVersion": "1.0.0", "interfaces": [{ "name": "a" }],
                "ips": [{ "interface": 0, "address": "10.0.0.1/8" }] })
        );
    }

    #[test]
    fn a_result_of_another_family_is_refused_where_one_is_required() {
        let old = json!({ "cniVersion": "0.4.0" });
        let error = parse(&old, "1.0.0", Some(Family::Current)).unwrap_err();
        assert_eq!(error, "result type supports [1.0.0 1.1.0] but unmarshalled CNIVersion is \"0.4.0\"");
    }
}
