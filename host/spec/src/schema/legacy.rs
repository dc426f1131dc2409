//! Versions 0.1.0 and 0.2.0: one address of each family.

use std::net::IpAddr;

use serde::Serialize;

use super::parts::{DnsJson, RouteJson};
use crate::{error::CniError, result::Success};

#[derive(Serialize)]
pub(super) struct LegacyJson {
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

pub(super) fn legacy(success: &Success, version: &str) -> Result<LegacyJson, CniError> {
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
