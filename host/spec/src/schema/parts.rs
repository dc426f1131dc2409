//! Parts that the schemas share.

use std::net::IpAddr;

use serde::Serialize;

use crate::result::{Dns, Route};

/// In the order of the reference's structure, for the older schemas.
#[derive(Default, Serialize)]
pub(super) struct RouteJson {
    pub(super) dst: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gw: Option<IpAddr>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) mtu: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) advmss: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) priority: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) table: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<u8>,
}

impl RouteJson {
    pub(super) fn of(route: &Route) -> Self {
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
pub(super) struct DnsJson {
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
    pub(super) fn of(dns: &Dns) -> Self {
        Self {
            nameservers: dns.nameservers.clone(),
            domain: dns.domain.clone(),
            search: dns.search.clone(),
            options: dns.options.clone(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes references")]
pub(super) fn is_zero(value: &u32) -> bool {
    *value == 0
}
