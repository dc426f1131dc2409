//! Messages about routes, written with rtnetlink's builders. Must not know:
//! sockets.

use std::net::IpAddr;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteNextHop, RouteType};
use nix::errno::Errno;
use rtnetlink::{RouteMessageBuilder, RouteNextHopBuilder};

use super::types::{FullRoute, Hop, RouteKind};
use crate::Error;

/// A message that describes a route. `EINVAL` for a source of the other family, an
/// IPv4 gateway of an IPv6 route, hops of a route that is not unicast, and a weight
/// out of range.
pub(super) fn message(route: &FullRoute) -> Result<RouteMessage, Error> {
    let invalid = |_| Error::from_errno(Errno::EINVAL);
    let mut builder = RouteMessageBuilder::<IpAddr>::new()
        .kind(kind(route.kind))
        .scope(route.scope.into())
        .protocol(route.protocol.into());
    let family = family(route.dst.addr());
    let header = &mut builder.get_mut().header;
    header.address_family = family;
    // A table above 255 is an attribute. The builder would leave the main table in
    // the header.
    if route.table > u8::MAX.into() {
        header.table = RouteHeader::RT_TABLE_UNSPEC;
    }
    if route.table != 0 {
        builder = builder.table_id(route.table);
    }
    if route.dst.prefix_len() != 0 {
        builder = builder.destination_prefix(route.dst.addr(), route.dst.prefix_len()).map_err(invalid)?;
    }
    let (mut link, mut several) = (0, Vec::new());
    match route.hops.as_slice() {
        hops if !hops.is_empty() && route.kind != RouteKind::Unicast => {
            return Err(Error::from_errno(Errno::EINVAL));
        }
        [] => {}
        [hop] => {
            if let Some(gateway) = hop.gateway {
                builder = builder.gateway(gateway).map_err(invalid)?;
            }
            if hop.onlink {
                builder = builder.onlink();
            }
            link = hop.link;
        }
        hops => several = hops.iter().map(|hop| next_hop(hop, family)).collect::<Result<_, _>>()?,
    }
    if let Some(src) = route.src {
        builder = builder.pref_source(src).map_err(invalid)?;
    }
    if link != 0 {
        builder = builder.output_interface(link);
    }
    if route.metric != 0 {
        builder = builder.priority(route.metric);
    }
    if !several.is_empty() {
        builder = builder.multipath(several);
    }
    let mut message = builder.build();
    let mut metrics = Vec::new();
    if route.mtu != 0 {
        metrics.push(RouteMetric::Mtu(route.mtu));
    }
    if route.advmss != 0 {
        metrics.push(RouteMetric::Advmss(route.advmss));
    }
    if !metrics.is_empty() {
        message.attributes.push(RouteAttribute::Metrics(metrics));
    }
    Ok(message)
}

/// A request for the routes of a family. The kind `Unspec` means any.
pub(super) fn wanted(family: AddressFamily, kind: RouteType, table: Option<u32>, link: Option<u32>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.kind = kind;
    message.attributes.extend(table.map(RouteAttribute::Table));
    message.attributes.extend(link.map(RouteAttribute::Oif));
    message
}

fn next_hop(hop: &Hop, family: AddressFamily) -> Result<RouteNextHop, Error> {
    let invalid = || Error::from_errno(Errno::EINVAL);
    // The kernel's number is one less, and has 8 bits.
    let weight = hop.weight.checked_sub(1).and_then(|weight| u8::try_from(weight).ok()).ok_or_else(invalid)?;
    let mut builder = RouteNextHopBuilder::new(family).interface(hop.link).weight(weight);
    if let Some(gateway) = hop.gateway {
        builder = builder.via(gateway).map_err(|_| invalid())?;
    }
    if hop.onlink {
        builder = builder.onlink();
    }
    Ok(builder.build())
}

fn kind(kind: RouteKind) -> RouteType {
    match kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Blackhole => RouteType::BlackHole,
        RouteKind::Unreachable => RouteType::Unreachable,
        RouteKind::Prohibit => RouteType::Prohibit,
        RouteKind::Throw => RouteType::Throw,
    }
}

fn family(ip: IpAddr) -> AddressFamily {
    match ip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;
    use netlink_packet_route::route::{RouteAddress, RouteVia};

    use super::super::types::Route;
    use super::*;

    fn of(route: &Route) -> Result<RouteMessage, Error> {
        message(&route.into())
    }

    fn bytes(message: &RouteMessage) -> Vec<u8> {
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    /// The same messages as before rtnetlink was used.
    #[test]
    fn routes_are_the_bytes_that_are_written_by_hand() {
        let plain = Route {
            link: 7,
            dst: "10.5.0.0/16".parse().unwrap(),
            gateway: Some("10.1.0.1".parse().unwrap()),
            src: Some("10.1.0.3".parse().unwrap()),
            table: 0,
            metric: 50,
            scope: 253,
            protocol: 3,
        };
        let mut by_hand = RouteMessage::default();
        by_hand.header.address_family = AddressFamily::Inet;
        by_hand.header.destination_prefix_length = 16;
        by_hand.header.kind = RouteType::Unicast;
        by_hand.header.scope = 253.into();
        by_hand.header.protocol = 3.into();
        by_hand.header.table = 254;
        let v4 = |ip: [u8; 4]| RouteAddress::Inet(ip.into());
        by_hand.attributes = vec![
            RouteAttribute::Destination(v4([10, 5, 0, 0])),
            RouteAttribute::Gateway(v4([10, 1, 0, 1])),
            RouteAttribute::PrefSource(v4([10, 1, 0, 3])),
            RouteAttribute::Oif(7),
            RouteAttribute::Priority(50),
        ];
        assert_eq!(bytes(&of(&plain).unwrap()), bytes(&by_hand));

        by_hand.header.table = 7;
        assert_eq!(bytes(&of(&Route { table: 7, ..plain.clone() }).unwrap()), bytes(&by_hand));

        by_hand.header.table = 0;
        by_hand.attributes.insert(0, RouteAttribute::Table(1000));
        by_hand.attributes[2] = RouteAttribute::Via(RouteVia::Inet6("fe80::1".parse().unwrap()));
        let via = Route { table: 1000, gateway: Some("fe80::1".parse().unwrap()), ..plain };
        assert_eq!(bytes(&of(&via).unwrap()), bytes(&by_hand));

        let default = Route {
            dst: "::/0".parse().unwrap(),
            gateway: Some("fd00::1".parse().unwrap()),
            src: None,
            table: 0,
            metric: 0,
            scope: 0,
            ..via
        };
        let mut by_hand = RouteMessage::default();
        by_hand.header.address_family = AddressFamily::Inet6;
        by_hand.header.kind = RouteType::Unicast;
        by_hand.header.protocol = 3.into();
        by_hand.header.table = 254;
        by_hand.attributes =
            vec![RouteAttribute::Gateway(RouteAddress::Inet6("fd00::1".parse().unwrap())), RouteAttribute::Oif(7)];
        assert_eq!(bytes(&of(&default).unwrap()), bytes(&by_hand));
        let mixed = Route { gateway: Some("10.1.0.1".parse().unwrap()), ..default };
        assert_eq!(of(&mixed).unwrap_err().errno(), Errno::EINVAL as i32);
    }
}
