//! Version 1.0.0 and newer: all keys in alphabetical order.

use std::net::IpAddr;

use serde::Serialize;

use super::parts::is_zero;
use crate::result::{Interface, IpConfig, Route, Success};

/// Keys in alphabetical order, at every level.
#[derive(Serialize)]
pub(super) struct CurrentJson<'a> {
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

pub(super) fn current<'a>(success: &'a Success, version: &'a str) -> CurrentJson<'a> {
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
