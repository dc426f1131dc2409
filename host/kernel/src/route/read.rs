//! Routes as the kernel reports them. Must not know: sockets.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop, RouteNextHopFlags,
    RouteType, RouteVia,
};

use super::types::{FullRoute, Hop, RouteKind};
use crate::Error;
use crate::answer::Reply;

const RTM_NEWROUTE: u16 = 24;

/// Reads a route. `None` for other messages, other families, and kinds that
/// [`RouteKind`] lacks, such as local.
pub(crate) fn route(reply: &Reply, wanted: AddressFamily) -> Result<Option<FullRoute>, Error> {
    if reply.kind != RTM_NEWROUTE {
        return Ok(None);
    }
    let header = RouteHeader::parse(&reply.payload).map_err(Error::from_decode)?;
    let Some(kind) = kind(header.kind).filter(|_| header.address_family == wanted) else {
        return Ok(None);
    };
    let message = RouteMessage::parse(reply.payload.as_slice()).map_err(Error::from_decode)?;
    let any = match wanted {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        _ => IpAddr::from([0; 16]),
    };
    let onlink = header.flags.contains(RouteFlags::Onlink);
    let (mut dst, mut several) = (any, None);
    let mut hop = Hop { link: 0, gateway: gateway(&message.attributes), weight: 1, onlink };
    let mut route = FullRoute {
        kind,
        dst: any.into(),
        hops: Vec::new(),
        src: None,
        table: header.table.into(),
        metric: 0,
        scope: header.scope.into(),
        protocol: header.protocol.into(),
        mtu: 0,
        advmss: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => dst = ip(address).unwrap_or(any),
            RouteAttribute::PrefSource(address) => route.src = ip(address),
            RouteAttribute::Oif(link) => hop.link = *link,
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::MultiPath(hops) => several = Some(hops),
            RouteAttribute::Metrics(metrics) => read_metrics(metrics, &mut route),
            _ => {}
        }
    }
    let Ok(dst) = IpNet::new(dst, header.destination_prefix_length) else {
        return Ok(None);
    };
    route.dst = dst;
    route.hops = match several {
        // In IPv6 such a route has a hop through `lo`.
        _ if kind != RouteKind::Unicast => Vec::new(),
        Some(hops) => hops.iter().map(next_hop).collect(),
        None => vec![hop],
    };
    Ok(Some(route))
}

fn read_metrics(metrics: &[RouteMetric], route: &mut FullRoute) {
    for metric in metrics {
        match metric {
            RouteMetric::Mtu(mtu) => route.mtu = *mtu,
            RouteMetric::Advmss(advmss) => route.advmss = *advmss,
            _ => {}
        }
    }
}

fn next_hop(hop: &RouteNextHop) -> Hop {
    Hop {
        link: hop.interface_index,
        gateway: gateway(&hop.attributes),
        weight: u16::from(hop.hops) + 1,
        onlink: hop.flags.contains(RouteNextHopFlags::Onlink),
    }
}

fn kind(kind: RouteType) -> Option<RouteKind> {
    match kind {
        RouteType::Unicast => Some(RouteKind::Unicast),
        RouteType::BlackHole => Some(RouteKind::Blackhole),
        RouteType::Unreachable => Some(RouteKind::Unreachable),
        RouteType::Prohibit => Some(RouteKind::Prohibit),
        RouteType::Throw => Some(RouteKind::Throw),
        _ => None,
    }
}

fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => ip(address),
        RouteAttribute::Via(RouteVia::Inet(address)) => Some((*address).into()),
        RouteAttribute::Via(RouteVia::Inet6(address)) => Some((*address).into()),
        _ => None,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
