//! IPv4 and IPv6 routes: simple ones, and ones with everything that can be set.
//! Must not know: which routes are wanted.

mod message;
pub(crate) mod read;
mod types;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage::{DelRoute, GetRoute, NewRoute};
use netlink_packet_route::route::RouteType;
use nix::errno::Errno;

pub use self::types::{FullRoute, Hop, Route, RouteAdd, RouteKind};
use crate::{Error, Netlink};

const RT_TABLE_MAIN: u32 = 254;
const RT_TABLE_LOCAL: u32 = 255;

impl Netlink {
    /// Adds a route even if there is one to the same destination, as
    /// vishvananda/netlink's `RouteAddEcmp` does. In IPv6 the two become one route
    /// with two next hops. In IPv4 the new one comes first; `EEXIST` if there is an
    /// identical one. (`RTM_NEWROUTE` with `NLM_F_CREATE` alone)
    pub fn route_add(&mut self, route: &Route) -> Result<(), Error> {
        self.new_route(&route.into(), NLM_F_CREATE)
    }

    /// Deletes the route that matches in every field. A metric, protocol or link of
    /// 0 matches any. `ESRCH` if there is none. (`RTM_DELROUTE`)
    pub fn route_del(&mut self, route: &Route) -> Result<(), Error> {
        self.full_route_del(&route.into())
    }

    /// Lists the unicast routes of every table except the local one: those through a
    /// link, or all. A route with several next hops becomes one for each. `ENODEV`
    /// if there is no such link. (`RTM_GETROUTE` with `NLM_F_DUMP`)
    pub fn routes(&mut self, link: Option<u32>) -> Result<Vec<Route>, Error> {
        let found = self.list_routes(RouteType::Unicast, None, link)?;
        let unicast = found.iter().filter(|route| route.kind == RouteKind::Unicast);
        let simple = unicast.flat_map(|route| route.hops.iter().map(|hop| simple(route, hop)));
        Ok(simple.filter(|route| link.is_none_or(|link| link == route.link)).collect())
    }

    /// Adds a route. `EEXIST` with [`RouteAdd::Create`] if the table has a route to
    /// the same destination with the same metric, and with [`RouteAdd::Append`] and
    /// [`RouteAdd::Prepend`] if it has an identical one. `ENETUNREACH` (IPv6: `EHOSTUNREACH`) if no address
    /// of the link reaches the gateway. `EINVAL` for hops of a route that is not
    /// unicast, addresses of different families, a destination with host bits, and
    /// a weight of 0 or above 256. (`RTM_NEWROUTE`)
    pub fn full_route_add(&mut self, route: &FullRoute, how: RouteAdd) -> Result<(), Error> {
        let how = match how {
            RouteAdd::Append => NLM_F_APPEND,
            RouteAdd::Prepend => 0,
            RouteAdd::Create => NLM_F_EXCL,
            RouteAdd::Replace => NLM_F_REPLACE,
        };
        self.new_route(route, NLM_F_CREATE | how)
    }

    /// Deletes the route that matches in every field. A metric, protocol, MTU or MSS
    /// of 0 matches any, and so does an empty list of hops. `ESRCH` if there is
    /// none. (`RTM_DELROUTE`)
    pub fn full_route_del(&mut self, route: &FullRoute) -> Result<(), Error> {
        message::message(route)
            .and_then(|message| self.request(DelRoute(message), 0))
            .map(drop)
            .map_err(|error| error.during(format!("route-del {}", route.dst)))
    }

    /// Lists the routes of a table, or of every table except the local one: those
    /// with a hop through a link, or all. The list is empty if there is no such
    /// table. `ENODEV` if there is no such link. Routes of a kind that [`RouteKind`]
    /// lacks are left out. (`RTM_GETROUTE` with `NLM_F_DUMP`)
    pub fn full_routes(&mut self, table: Option<u32>, link: Option<u32>) -> Result<Vec<FullRoute>, Error> {
        let table = table.map(|table| if table == 0 { RT_TABLE_MAIN } else { table });
        let mut routes = self.list_routes(RouteType::Unspec, table, link)?;
        routes.retain(|route| link.is_none_or(|link| route.hops.iter().any(|hop| hop.link == link)));
        Ok(routes)
    }

    fn new_route(&mut self, route: &FullRoute, flags: u16) -> Result<(), Error> {
        message::message(route)
            .and_then(|message| self.request(NewRoute(message), flags))
            .map(drop)
            .map_err(|error| error.during(format!("route-add {}", route.dst)))
    }

    fn list_routes(&mut self, kind: RouteType, table: Option<u32>, link: Option<u32>) -> Result<Vec<FullRoute>, Error> {
        let during = |error: Error| error.during("routes");
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let replies = match self.dump(&GetRoute(message::wanted(family, kind, table, link))) {
                // The table does not exist until a route is added to it.
                Err(error) if error.errno() == Errno::ENOENT as i32 => continue,
                replies => replies.map_err(during)?,
            };
            for reply in &replies {
                routes.extend(read::route(reply, family).map_err(during)?);
            }
        }
        // Before Linux 4.20, the kernel ignores the filter.
        routes.retain(|route| table.map_or(route.table != RT_TABLE_LOCAL, |table| table == route.table));
        Ok(routes)
    }
}

fn simple(route: &FullRoute, hop: &Hop) -> Route {
    Route {
        link: hop.link,
        dst: route.dst,
        gateway: hop.gateway,
        src: route.src,
        table: route.table,
        metric: route.metric,
        scope: route.scope,
        protocol: route.protocol,
    }
}
