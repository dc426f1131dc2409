//! Unicast routes, IPv4 and IPv6. Must not know: which of them are wanted.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage::{DelRoute, GetRoute, NewRoute};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType, RouteVia};
use nix::errno::Errno;

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

fn message(route: &Route) -> Result<RouteMessage, Error> {
    let mut message = RouteMessage::default();
    message.header.address_family = family(route.dst.addr());
    message.header.destination_prefix_length = route.dst.prefix_len();
    message.header.kind = RouteType::Unicast;
    message.header.scope = route.scope.into();
    message.header.protocol = route.protocol.into();
    let attributes = &mut message.attributes;
    match u8::try_from(route.table) {
        Ok(0) => message.header.table = RouteHeader::RT_TABLE_MAIN,
        Ok(table) => message.header.table = table,
        Err(_) => attributes.push(RouteAttribute::Table(route.table)),
    }
    if route.dst.prefix_len() != 0 {
        attributes.push(RouteAttribute::Destination(route.dst.addr().into()));
    }
    attributes.extend(route.gateway.map(|gateway| match gateway {
        _ if family(gateway) == message.header.address_family => RouteAttribute::Gateway(gateway.into()),
        IpAddr::V4(gateway) => RouteAttribute::Via(RouteVia::Inet(gateway)),
        IpAddr::V6(gateway) => RouteAttribute::Via(RouteVia::Inet6(gateway)),
    }));
    if let Some(src) = route.src {
        // The kernel would take the first four octets of an IPv6 address.
        if family(src) != message.header.address_family {
            return Err(Error::from_errno(Errno::EINVAL));
        }
        attributes.push(RouteAttribute::PrefSource(src.into()));
    }
    if route.link != 0 {
        attributes.push(RouteAttribute::Oif(route.link));
    }
    if route.metric != 0 {
        attributes.push(RouteAttribute::Priority(route.metric));
    }
    Ok(message)
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
