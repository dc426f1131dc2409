//! Routes as plain data. Must not know: netlink.

use std::net::IpAddr;

use ipnet::IpNet;

/// A route through one link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct Route {
    /// `RTA_OIF`; 0 leaves it to the kernel. Read as 0 if the route has none.
    pub link: u32,
    /// `RTA_DST`; prefix 0 is the default route.
    pub dst: IpNet,
    /// `RTA_GATEWAY`, or `RTA_VIA` where the family is not the destination's.
    pub gateway: Option<IpAddr>,
    /// `RTA_PREFSRC`.
    pub src: Option<IpAddr>,
    /// `RTA_TABLE`; 0 is the main table (254) and is never read.
    pub table: u32,
    /// `RTA_PRIORITY`; 0 leaves it to the kernel (IPv6: 1024).
    pub metric: u32,
    /// `RT_SCOPE_*`: 0 universe, 253 link, 254 host. Has no meaning in IPv6.
    pub scope: u8,
    /// `RTPROT_*`: 2 kernel, 3 boot, 4 static.
    pub protocol: u8,
}

/// A route with everything that can be set on one, as in `ip route`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct FullRoute {
    /// `rtm_type`.
    pub kind: RouteKind,
    /// `RTA_DST`; prefix 0 is the default route.
    pub dst: IpNet,
    /// Where packets go next: one hop, or several of a multipath route
    /// (`RTA_MULTIPATH`). Only unicast routes have hops.
    pub hops: Vec<Hop>,
    /// `RTA_PREFSRC`.
    pub src: Option<IpAddr>,
    /// `RTA_TABLE`; 0 is the main table (254) and is never read.
    pub table: u32,
    /// `RTA_PRIORITY`; 0 leaves it to the kernel (IPv6: 1024).
    pub metric: u32,
    /// `RT_SCOPE_*`: 0 universe, 253 link, 254 host. Has no meaning in IPv6.
    pub scope: u8,
    /// `RTPROT_*`: 2 kernel, 3 boot, 4 static.
    pub protocol: u8,
    /// `RTAX_MTU`, bytes; 0 if not set.
    pub mtu: u32,
    /// `RTAX_ADVMSS`, bytes; 0 if not set.
    pub advmss: u32,
}

/// What happens to the packets that a route matches (`RTN_*`, linux/rtnetlink.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub enum RouteKind {
    /// They are sent to a hop.
    Unicast,
    /// They are dropped silently.
    Blackhole,
    /// They are answered by ICMP "host unreachable".
    Unreachable,
    /// They are answered by ICMP "administratively prohibited".
    Prohibit,
    /// The lookup goes on with the next rule, as if the table had no such route.
    Throw,
}

/// One next hop of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct Hop {
    /// `RTA_OIF`; 0 leaves it to the kernel.
    pub link: u32,
    /// `RTA_GATEWAY`, or `RTA_VIA` where the family is not the destination's.
    pub gateway: Option<IpAddr>,
    /// The share of packets that take this hop, relative to the other hops: 1 to
    /// 256. Ignored for a single hop, and read as 1.
    pub weight: u16,
    /// `RTNH_F_ONLINK`: the gateway is on this link, even if no address of the link
    /// is in the same network.
    pub onlink: bool,
}

/// What happens to existing routes to the same destination when one is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub enum RouteAdd {
    /// They stay and precede the new one (`NLM_F_CREATE | NLM_F_APPEND`). In IPv6
    /// they become hops of one route.
    Append,
    /// They stay and follow the new one (`NLM_F_CREATE` alone). In IPv6 they become
    /// hops of one route.
    Prepend,
    /// An existing route is an error (`NLM_F_CREATE | NLM_F_EXCL`).
    Create,
    /// The new one replaces the first of them, if any (`NLM_F_CREATE |
    /// NLM_F_REPLACE`).
    Replace,
}

impl From<&Route> for FullRoute {
    fn from(route: &Route) -> Self {
        let hop = Hop { link: route.link, gateway: route.gateway, weight: 1, onlink: false };
        Self {
            kind: RouteKind::Unicast,
            dst: route.dst,
            hops: vec![hop],
            src: route.src,
            table: route.table,
            metric: route.metric,
            scope: route.scope,
            protocol: route.protocol,
            mtu: 0,
            advmss: 0,
        }
    }
}
