//! Versions 0.3.0 to 0.4.0: lists, in the order of the reference's structures.

use std::net::IpAddr;

use serde::Serialize;

use super::parts::{DnsJson, RouteJson};
use crate::result::{Interface, IpConfig, Success};

#[derive(Serialize)]
pub(super) struct VersionedJson {
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

pub(super) fn listed(success: &Success, version: &str) -> VersionedJson {
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
