//! Unicast routes, IPv4 and IPv6. Must not know: which of them are wanted.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage::{DelRoute, GetRoute, NewRoute};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType, RouteVia};
use nix::errno::Errno;
use rtnetlink::RouteMessageBuilder;

use crate::netlink::Reply;
use crate::{Error, Netlink};

const RTM_NEWROUTE: u16 = 24;
const RT_TABLE_LOCAL: u32 = 255;

/// A route through one link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct Route {
    /// `RTA_OIF`; 0 leaves it to the kernel, and is read of a route without one.
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
    /// `RT_SCOPE_*`: 0 universe, 253 link, 254 host. Without meaning in IPv6.
    pub scope: u8,
    /// `RTPROT_*`: 2 kernel, 3 boot, 4 static.
    pub protocol: u8,
}

impl Netlink {
    /// Adds a route, as vishvananda/netlink's `RouteAddEcmp` does: one to the
    /// same destination is no obstacle. In IPv6 the two become one of two
    /// next hops; in IPv4 the new one comes first, and only an identical one is
    /// `EEXIST`. (`RTM_NEWROUTE` with `NLM_F_CREATE` alone)
    pub fn route_add(&mut self, route: &Route) -> Result<(), Error> {
        message(route)
            .and_then(|message| self.request(NewRoute(message), NLM_F_CREATE))
            .map(drop)
            .map_err(|error| error.during(format!("route-add {}", route.dst)))
    }

    /// Deletes the route that agrees in everything given; metric, protocol and
    /// link may be 0 for any. `ESRCH` if there is none. (`RTM_DELROUTE`)
    pub fn route_del(&mut self, route: &Route) -> Result<(), Error> {
        message(route)
            .and_then(|message| self.request(DelRoute(message), 0))
            .map(drop)
            .map_err(|error| error.during(format!("route-del {}", route.dst)))
    }

    /// The unicast routes through a link, or all, of every table but the local
    /// one; one with several next hops is several here. `ENODEV` if there is no
    /// such link. (`RTM_GETROUTE` with `NLM_F_DUMP`)
    pub fn routes(&mut self, link: Option<u32>) -> Result<Vec<Route>, Error> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            message.header.kind = RouteType::Unicast;
            message.attributes.extend(link.map(RouteAttribute::Oif));
            let replies = self.dump(&GetRoute(message)).map_err(|error| error.during("routes"))?;
            for reply in replies.iter().filter(|reply| reply.kind == RTM_NEWROUTE) {
                let found = read(reply, family).map_err(|error| error.during("routes"))?;
                routes.extend(
                    found
                        .into_iter()
                        .filter(|route| link.is_none_or(|link| link == route.link) && route.table != RT_TABLE_LOCAL),
                );
            }
        }
        Ok(routes)
    }
}

/// `EINVAL` for a source of the other family, and for an IPv4 gateway of an
/// IPv6 route.
fn message(route: &Route) -> Result<RouteMessage, Error> {
    let invalid = |_| Error::from_errno(Errno::EINVAL);
    let mut builder = RouteMessageBuilder::<IpAddr>::new().scope(route.scope.into()).protocol(route.protocol.into());
    let header = &mut builder.get_mut().header;
    header.address_family = family(route.dst.addr());
    // A table with a number above 255 is an attribute; the builder would leave the
    // main table in the header.
    if route.table > u8::MAX.into() {
        header.table = RouteHeader::RT_TABLE_UNSPEC;
    }
    if route.table != 0 {
        builder = builder.table_id(route.table);
    }
    if route.dst.prefix_len() != 0 {
        builder = builder.destination_prefix(route.dst.addr(), route.dst.prefix_len()).map_err(invalid)?;
    }
    if let Some(gateway) = route.gateway {
        builder = builder.gateway(gateway).map_err(invalid)?;
    }
    if let Some(src) = route.src {
        builder = builder.pref_source(src).map_err(invalid)?;
    }
    if route.link != 0 {
        builder = builder.output_interface(route.link);
    }
    if route.metric != 0 {
        builder = builder.priority(route.metric);
    }
    Ok(builder.build())
}

/// The routes of a message: one for each next hop; none if it is not unicast.
fn read(reply: &Reply, wanted: AddressFamily) -> Result<Vec<Route>, Error> {
    let header = RouteHeader::parse(&reply.payload).map_err(Error::from_decode)?;
    if header.address_family != wanted || header.kind != RouteType::Unicast {
        return Ok(Vec::new());
    }
    let message = RouteMessage::parse(reply.payload.as_slice()).map_err(Error::from_decode)?;
    let any = match wanted {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        _ => IpAddr::from([0; 16]),
    };
    let (mut dst, mut hops) = (any, None);
    let mut route = Route {
        link: 0,
        dst: any.into(),
        gateway: gateway(&message.attributes),
        src: None,
        table: header.table.into(),
        metric: 0,
        scope: header.scope.into(),
        protocol: header.protocol.into(),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => dst = ip(address).unwrap_or(any),
            RouteAttribute::PrefSource(address) => route.src = ip(address),
            RouteAttribute::Oif(link) => route.link = *link,
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::MultiPath(several) => hops = Some(several),
            _ => {}
        }
    }
    let Ok(dst) = IpNet::new(dst, header.destination_prefix_length) else {
        return Ok(Vec::new());
    };
    route.dst = dst;
    Ok(match hops {
        None => vec![route],
        Some(hops) => hops
            .iter()
            .map(|hop| Route { link: hop.interface_index, gateway: gateway(&hop.attributes), ..route.clone() })
            .collect(),
    })
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

fn family(ip: IpAddr) -> AddressFamily {
    match ip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;

    use super::*;

    fn bytes(message: &RouteMessage) -> Vec<u8> {
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    /// Each message without a builder: what was sent before there was one.
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
        assert_eq!(bytes(&message(&plain).unwrap()), bytes(&by_hand));

        by_hand.header.table = 7;
        assert_eq!(bytes(&message(&Route { table: 7, ..plain.clone() }).unwrap()), bytes(&by_hand));

        by_hand.header.table = 0;
        by_hand.attributes.insert(0, RouteAttribute::Table(1000));
        by_hand.attributes[2] = RouteAttribute::Via(RouteVia::Inet6("fe80::1".parse().unwrap()));
        let via = Route { table: 1000, gateway: Some("fe80::1".parse().unwrap()), ..plain };
        assert_eq!(bytes(&message(&via).unwrap()), bytes(&by_hand));

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
        assert_eq!(bytes(&message(&default).unwrap()), bytes(&by_hand));
        let mixed = Route { gateway: Some("10.1.0.1".parse().unwrap()), ..default };
        assert_eq!(message(&mixed).unwrap_err().errno(), Errno::EINVAL as i32);
    }
}
