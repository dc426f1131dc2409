//! A guest's routes as the kernel takes them, and as it will show them.

use wasm_cni_kernel::{FullRoute, Hop, RouteKind};

use crate::{
    bindings::{
        routes::{self, Kind},
        types,
    },
    convert,
    failure::refuse,
    net::commit::Commit,
    space::Space,
};

/// Most hops of a route.
const MAX_HOPS: usize = 256;
/// The weight of a hop that has none to share with.
pub(super) const NO_WEIGHT: u16 = 1;
/// What the kernel would make of anything larger (`ip_metrics_convert`): then the route could not be found again.
const MAX_MTU: u32 = 65_535 - 15;
const MAX_MSS: u32 = 65_535 - 40;

const RT_TABLE_MAIN: u32 = 254;
const RT_TABLE_LOCAL: u32 = 255;
/// `IP6_RT_PRIO_USER`: the metric of a route of IPv6 that is given none.
const METRIC_V6: u32 = 1024;
/// `RTPROT_BOOT`: the protocol of a route of IPv6 that is given none.
const PROTOCOL_V6: u8 = 3;

/// None if one of its links is missing, and that is tolerated.
pub(super) fn checked(
    commit: &Commit<'_>,
    at: &Space,
    route: &routes::Route,
    what: &str,
) -> Result<Option<FullRoute>, types::Error> {
    let mut checked = plain(route, what)?;
    for (hop, given) in checked.hops.iter_mut().zip(&route.hops) {
        if let Some(link) = &given.link {
            let Some(link) = commit.tolerated(commit.link(at, link, what))? else { return Ok(None) };
            hop.link = link;
        }
    }
    Ok(Some(checked))
}

/// All but the links.
fn plain(route: &routes::Route, what: &str) -> Result<FullRoute, types::Error> {
    let invalid = |text: &str| Err(refuse(types::Code::Invalid, what, text));
    let dst = convert::ip_net(&route.dst, what)?;
    let is_v4 = dst.addr().is_ipv4();
    if dst.trunc() != dst {
        return invalid("the destination has bits beyond its prefix");
    }
    if route.table == RT_TABLE_LOCAL {
        return Err(refuse(types::Code::Denied, what, "the local table is the kernel's"));
    }
    if route.hops.len() > MAX_HOPS {
        return invalid(&format!("a route has at most {MAX_HOPS} hops"));
    }
    if route.kind != Kind::Unicast && !route.hops.is_empty() {
        return invalid("only unicast routes have hops");
    }
    if route.mtu > MAX_MTU || route.advmss > MAX_MSS {
        return invalid(&format!("an MTU is at most {MAX_MTU}, an MSS {MAX_MSS}"));
    }
    let src = route.src.as_ref().map(convert::ip);
    let gateways = route.hops.iter().filter_map(|hop| hop.gateway.as_ref()).map(convert::ip);
    if gateways.chain(src).any(|ip| ip.is_ipv4() != is_v4) {
        return invalid("destination, gateway and source are of different families");
    }
    let has_several = route.hops.len() > 1;
    if has_several && route.hops.iter().any(|hop| !(1..=256).contains(&hop.weight)) {
        return invalid("a weight goes from 1 to 256");
    }
    let hop = |hop: &routes::Hop| Hop {
        link: 0,
        gateway: hop.gateway.as_ref().map(convert::ip),
        weight: if has_several { hop.weight } else { NO_WEIGHT },
        onlink: hop.onlink,
    };
    let or = |given: u32, default: u32| if given == 0 { default } else { given };
    Ok(FullRoute {
        kind: match route.kind {
            Kind::Unicast => RouteKind::Unicast,
            Kind::Blackhole => RouteKind::Blackhole,
            Kind::Unreachable => RouteKind::Unreachable,
            Kind::Prohibit => RouteKind::Prohibit,
            Kind::Throw => RouteKind::Throw,
        },
        dst,
        hops: route.hops.iter().map(hop).collect(),
        src,
        table: or(route.table, RT_TABLE_MAIN),
        metric: route.metric,
        scope: if is_v4 { route.scope } else { 0 },
        protocol: route.protocol,
        mtu: route.mtu,
        advmss: route.advmss,
    })
}

/// With what the kernel puts in where nothing is given: as the route will be shown, so that its inverse names it and no
/// other.
pub(super) fn to_add(route: FullRoute, what: &str) -> Result<FullRoute, types::Error> {
    if route.kind == RouteKind::Unicast && route.hops.is_empty() {
        return Err(refuse(types::Code::Invalid, what, "a unicast route has a hop"));
    }
    let is_v6 = route.dst.addr().is_ipv6();
    let metric = if is_v6 && route.metric == 0 { METRIC_V6 } else { route.metric };
    let protocol = if is_v6 && route.protocol == 0 { PROTOCOL_V6 } else { route.protocol };
    Ok(FullRoute { metric, protocol, ..route })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bindings::types::{IpAddr, IpNet};

    fn route() -> impl Strategy<Value = routes::Route> {
        let ip = || prop_oneof![any::<u32>().prop_map(IpAddr::V4), any::<(u64, u64)>().prop_map(IpAddr::V6)];
        let kind = prop_oneof![4 => Just(Kind::Unicast), 1 => Just(Kind::Blackhole), 1 => Just(Kind::Throw)];
        let weight = prop_oneof![Just(0), 1..300_u16, any::<u16>()];
        let hop = (prop::option::of(ip()), weight, any::<bool>());
        let hop = hop.prop_map(|(gateway, weight, onlink)| routes::Hop { link: None, gateway, weight, onlink });
        let hops =
            prop_oneof![9 => prop::collection::vec(hop.clone(), 0..4), 1 => prop::collection::vec(hop, 250..260)];
        let dst = prop_oneof![
            (ip(), any::<u8>()).prop_map(|(addr, prefix)| IpNet { addr, prefix }),
            (0..33_u8).prop_map(|prefix| IpNet { addr: IpAddr::V4(0), prefix }),
        ];
        let numbers = (prop_oneof![Just(0), Just(255), any::<u32>()], any::<u32>(), any::<u8>(), any::<u8>());
        let sizes = (0..70_000_u32, 0..70_000_u32);
        (kind, dst, hops, prop::option::of(ip()), numbers, sizes).prop_map(
            |(kind, dst, hops, src, (table, metric, scope, protocol), (mtu, advmss))| routes::Route {
                kind,
                dst,
                hops,
                src,
                table,
                metric,
                scope,
                protocol,
                mtu,
                advmss,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_a_route(route in route()) {
            let Ok(accepted) = plain(&route, "route-add") else { return Ok(()) };
            let is_v4 = accepted.dst.addr().is_ipv4();
            let ips = accepted.hops.iter().filter_map(|hop| hop.gateway).chain(accepted.src);
            prop_assert!(ips.into_iter().all(|ip| ip.is_ipv4() == is_v4));
            prop_assert!(accepted.hops.iter().all(|hop| (1..=256).contains(&hop.weight)));
            prop_assert!(accepted.hops.len() <= MAX_HOPS && ![0, RT_TABLE_LOCAL].contains(&accepted.table));
            prop_assert!(accepted.hops.is_empty() || accepted.kind == RouteKind::Unicast);
            prop_assert!(accepted.mtu <= MAX_MTU && accepted.dst == accepted.dst.trunc());
            if let Ok(added) = to_add(accepted, "route-add") {
                prop_assert!(!added.hops.is_empty() || added.kind != RouteKind::Unicast);
                prop_assert!(is_v4 || (added.metric != 0 && added.protocol != 0 && added.scope == 0));
            }
        }
    }
}
