//! Chooses a table for each address, and its routes. Pure: it asks the host nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cni_plugin::routes::{Hop, Route};
use cni_plugin::rules::Rule;
use cni_plugin::{Failure, IpConfig, IpNet, LinkRef, Output, ip};

use crate::config::Gateways;

/// `RT_TABLE_MAIN` (linux/rtnetlink.h).
pub(crate) const MAIN: u32 = 254;
/// `RT_SCOPE_LINK` (linux/rtnetlink.h).
pub(crate) const SCOPE_LINK: u8 = 253;
/// The first that is tried.
const FIRST: u32 = 100;

/// What an ADD is going to do.
#[derive(Debug)]
pub(crate) struct Plan {
    /// One for each address.
    pub(crate) tables: Vec<Own>,
    /// The interface's routes in the main table, before.
    pub(crate) of_main: Vec<Route>,
    link: u32,
}

/// The table of an address.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) table: u32,
    /// The address alone, without its network.
    pub(crate) source: IpNet,
    /// The default route, and its gateway.
    pub(crate) default: Option<(IpAddr, Route)>,
    /// Routes of the main table that serve this address.
    pub(crate) copies: Vec<Route>,
}

impl Plan {
    /// `routes` are those of all tables.
    pub(crate) fn new(
        link: u32,
        rules: &[Rule],
        routes: Vec<Route>,
        ips: &[IpConfig],
        gateways: &Gateways,
        prev: &Output,
    ) -> Result<Self, Failure> {
        let of_link = |route: &Route| is_by(route, link);
        // A table that others use: a rule leads there, or it has routes by other links. What an earlier attachment of this
        // link has left there is replaced.
        let by_others = routes.iter().filter(|route| !of_link(route)).map(|route| route.table);
        let mut used: BTreeSet<u32> = rules.iter().map(|rule| rule.table).chain(by_others).collect();
        let of_main: Vec<_> = routes.into_iter().filter(|route| route.table == MAIN && of_link(route)).collect();
        let mut tables = Vec::new();
        for ip in ips {
            let address = IpNet::try_from(ip.address)?;
            let table = (FIRST..).find(|table| !used.contains(table)).unwrap_or(u32::MAX);
            used.insert(table);
            let asked_for = gateways.of(address.addr());
            let own = ip.gateway.map(IpAddr::from).filter(|gateway| gateway.is_ipv4() == address.addr().is_ipv4());
            let gateway = asked_for.or(own).or_else(|| of_results_routes(prev, &address));
            let default = gateway.map(|gateway| {
                let hop = Hop { link: Some(LinkRef::Index(link)), ..Hop::via(gateway) };
                (gateway, Route { table, ..Route::to(ip::default_net(gateway.is_ipv4()), [hop]) })
            });
            let serves = |route: &&Route| serves(route, &address, asked_for.is_some());
            let copies = of_main.iter().filter(serves).map(|route| Route { table, ..route.clone() }).collect();
            tables.push(Own { table, source: IpNet::from(address.addr()), default, copies });
        }
        Ok(Self { tables, of_main, link })
    }

    /// For `addSourceHints`: the networks of the addresses, in the main table.
    pub(crate) fn hints(&self, ips: &[IpConfig]) -> Result<Vec<Route>, Failure> {
        let hint = |ip: &IpConfig| {
            let address = IpNet::try_from(ip.address)?;
            let route = Route::to(address.trunc(), [Hop::by(LinkRef::Index(self.link))]);
            Ok(Route { src: Some(address.addr().into()), table: MAIN, scope: SCOPE_LINK, ..route })
        };
        ips.iter().map(hint).collect()
    }
}

/// A route by this link and no other.
fn is_by(route: &Route, link: u32) -> bool {
    matches!(&route.hops[..], [Hop { link: Some(LinkRef::Index(index)), .. }] if *index == link)
}

/// Whether a route of the main table is copied to the table of an address: it has its network's source or gateway, or
/// neither, as the reference has it. With a gateway that is asked for, other default routes stay behind.
fn serves(route: &Route, address: &IpNet, has_gateway: bool) -> bool {
    let is_of = |ip: IpAddr| address.contains(&ip);
    let source = route.src.map(IpAddr::from);
    let gateway = route.hops.first().and_then(|hop| hop.gateway).map(IpAddr::from);
    let is_default = IpNet::try_from(route.dst)
        .is_ok_and(|dst| dst == ip::default_net(address.addr().is_ipv4()) && gateway.is_some());
    if has_gateway && is_default {
        return false;
    }
    source.is_some_and(is_of) || gateway.is_some_and(is_of) || (source.is_none() && gateway.is_none())
}

/// The gateway of the result's default route, for an address that has none of its own.
fn of_results_routes(prev: &Output, address: &IpNet) -> Option<IpAddr> {
    let default = ip::default_net(address.addr().is_ipv4());
    let routes = prev.routes.iter().filter(|route| IpNet::try_from(route.dst).is_ok_and(|dst| dst == default));
    routes.filter_map(|route| route.gw.map(IpAddr::from)).find(|gateway| address.contains(gateway))
}

/// The rules of these addresses, for a DEL: those to this table, if one is given.
pub(crate) fn of_addresses(rules: Vec<Rule>, addresses: &[IpNet], table: Option<i64>) -> Vec<Rule> {
    let is_source = |rule: &Rule| {
        let source = rule.src.and_then(|source| IpNet::try_from(source).ok());
        source.is_some_and(|source| addresses.iter().any(|address| address.addr() == source.addr()))
    };
    let is_to = |rule: &Rule| table.is_none_or(|table| i64::from(rule.table) == table);
    rules.into_iter().filter(|rule| is_source(rule) && is_to(rule)).collect()
}

#[cfg(test)]
mod tests {
    use cni_plugin::CniRoute;
    use cni_plugin::routes::Kind;
    use cni_plugin::rules::Family;

    use super::*;

    const LINK: u32 = 7;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn route(dst: &str, gateway: Option<&str>, src: Option<&str>, table: u32, link: u32) -> Route {
        let gateway = gateway.map(|gateway| gateway.parse::<IpAddr>().unwrap().into());
        let hop = Hop { gateway, ..Hop::by(LinkRef::Index(link)) };
        let src = src.map(|src| src.parse::<IpAddr>().unwrap().into());
        Route { src, table, ..Route::to(net(dst), [hop]) }
    }

    fn ip(address: &str, gateway: Option<&str>) -> IpConfig {
        let gateway = gateway.map(|gateway| gateway.parse::<IpAddr>().unwrap().into());
        IpConfig { address: net(address).into(), gateway, iface: None }
    }

    fn plan(rules: &[Rule], routes: Vec<Route>, ips: &[IpConfig], gateways: &Gateways, prev: &Output) -> Plan {
        Plan::new(LINK, rules, routes, ips, gateways, prev).unwrap()
    }

    fn shown(routes: &[Route]) -> Vec<String> {
        routes.iter().map(|route| IpNet::try_from(route.dst).unwrap().to_string()).collect()
    }

    #[test]
    fn each_address_has_a_table_that_nobody_uses() {
        let rules = [Rule::all(Family::Inet, MAIN), Rule::from_source(net("10.9.0.9/32"), 101)];
        let left = route("10.8.0.0/24", None, None, 100, LINK);
        let others = route("10.7.0.0/24", None, None, 102, 3);
        let ips = [ip("10.1.0.2/24", None), ip("fd00::2/64", None)];
        let plan = plan(&rules, vec![left, others], &ips, &Gateways::default(), &Output::default());
        let tables: Vec<_> = plan.tables.iter().map(|own| (own.table, own.source.to_string())).collect();
        assert_eq!(tables, [(100, "10.1.0.2/32".to_owned()), (103, "fd00::2/128".to_owned())]);
        assert!(plan.of_main.is_empty());
    }

    #[test]
    fn the_routes_of_a_network_follow_its_address() {
        let routes = vec![
            route("0.0.0.0/0", Some("10.1.0.1"), None, MAIN, LINK),
            route("10.1.0.0/24", None, Some("10.1.0.2"), MAIN, LINK),
            route("10.2.0.0/24", None, Some("10.2.0.2"), MAIN, LINK),
            route("10.3.0.0/24", Some("10.2.0.1"), None, MAIN, LINK),
            route("fe80::/64", None, None, MAIN, LINK),
            route("10.4.0.0/24", None, None, MAIN, 3),
            Route { kind: Kind::Blackhole, ..Route::to(net("10.5.0.0/24"), []) },
        ];
        let ips = [ip("10.1.0.2/24", Some("10.1.0.1")), ip("10.2.0.2/24", Some("10.2.0.1"))];
        let plan = plan(&[], routes, &ips, &Gateways::default(), &Output::default());
        assert_eq!(shown(&plan.tables[0].copies), ["0.0.0.0/0", "10.1.0.0/24", "fe80::/64"]);
        assert_eq!(shown(&plan.tables[1].copies), ["10.2.0.0/24", "10.3.0.0/24", "fe80::/64"]);
        assert!(plan.tables[1].copies.iter().all(|route| route.table == 101));
        assert_eq!(plan.of_main.len(), 5, "other links' routes stay");
        let defaults: Vec<_> = plan.tables.iter().map(|own| own.default.as_ref().unwrap().0.to_string()).collect();
        assert_eq!(defaults, ["10.1.0.1", "10.2.0.1"]);
    }

    #[test]
    fn a_gateway_that_is_asked_for_is_the_one() {
        let config = crate::config::Config::parse(r#"{"gateways":["10.1.0.254"]}"#).unwrap();
        let routes = || vec![route("0.0.0.0/0", Some("10.1.0.1"), None, MAIN, LINK)];
        let ips = [ip("10.1.0.2/24", Some("10.1.0.1")), ip("fd00::2/64", Some("fd00::1"))];
        let plan = plan(&[], routes(), &ips, &config.gateways().unwrap(), &Output::default());
        assert_eq!(plan.tables[0].default.as_ref().unwrap().0.to_string(), "10.1.0.254");
        assert!(plan.tables[0].copies.is_empty(), "the other default route would replace it");
        assert_eq!(plan.tables[1].default.as_ref().unwrap().0.to_string(), "fd00::1");
        assert_eq!(plan.of_main.len(), 1);
    }

    #[test]
    fn the_result_s_default_route_does_for_an_address_without_a_gateway() {
        let gw = |text: &str| text.parse::<IpAddr>().ok().map(Into::into);
        let of = |dst: &str, gateway| CniRoute { dst: net(dst).into(), gw: gw(gateway), ..CniRoute::default() };
        let routes = vec![of("0.0.0.0/0", "10.9.0.1"), of("10.0.0.0/8", "10.1.0.7"), of("0.0.0.0/0", "10.1.0.1")];
        let prev = Output { routes, ..Output::default() };
        let ips = [ip("10.1.0.2/24", None), ip("fd00::2/64", None)];
        let plan = plan(&[], Vec::new(), &ips, &Gateways::default(), &prev);
        assert_eq!(plan.tables[0].default.as_ref().unwrap().0.to_string(), "10.1.0.1");
        assert!(plan.tables[1].default.is_none());
    }

    #[test]
    fn hints_are_networks_with_their_address() {
        let ips = [ip("10.1.0.2/24", None), ip("fd00::2/64", None)];
        let hints = plan(&[], Vec::new(), &ips, &Gateways::default(), &Output::default()).hints(&ips).unwrap();
        assert_eq!(shown(&hints), ["10.1.0.0/24", "fd00::/64"]);
        assert_eq!(hints[0].src, "10.1.0.2".parse::<IpAddr>().ok().map(Into::into));
        assert!(hints.iter().all(|route| (route.table, route.scope) == (MAIN, SCOPE_LINK)));
    }

    #[test]
    fn rules_go_by_their_source() {
        let of = |source: &str, table| Rule::from_source(net(source), table);
        let rules =
            || vec![of("10.1.0.2/32", 100), of("10.1.0.2/32", 5), of("10.1.0.3/32", 100), Rule::all(Family::Inet, 9)];
        let tables = |table| {
            let rules = of_addresses(rules(), &[net("10.1.0.2/24")], table);
            rules.iter().map(|rule| rule.table).collect::<Vec<_>>()
        };
        assert_eq!(tables(None), [100, 5]);
        assert_eq!(tables(Some(5)), [5]);
    }
}
