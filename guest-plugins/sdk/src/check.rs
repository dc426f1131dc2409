//! What CHECK compares: addresses and routes of `prevResult` with the kernel's.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    Call, CniRoute, Error, Failure, Iface, IpConfig, Link, LinkRef, Netns, Output, Route, Snapshot, Tables, go, link,
    mac, routes as full,
};

/// `RT_TABLE_MAIN` (linux/rtnetlink.h).
const MAIN_TABLE: u32 = 254;
/// `RT_TABLE_LOCAL` (linux/rtnetlink.h).
pub(crate) const LOCAL_TABLE: u32 = 255;

/// Whether the container's interface is what `prev` says: `compare` sees its
/// entry and the link of now, if there is one; then addresses and routes.
pub fn interface(
    call: &Call,
    prev: &Output,
    sandbox: &Netns,
    compare: impl FnOnce(&Iface, Option<&Link>) -> Result<(), String>,
) -> Result<(), Failure> {
    let ifname = &call.at.ifname;
    let container = entry(call, prev)?;
    let now = now(sandbox, prev)?;
    compare(container, now.links.iter().find(|link| link.name == *ifname))?;
    addresses(&now, ifname, &prev.ips)?;
    routes(&now, &prev.routes)
}

/// What the namespace has: links, addresses, and the routes of all tables that `prev` has routes in.
pub fn now(sandbox: &Netns, prev: &Output) -> Result<Snapshot, Error> {
    let mut now = link::all(sandbox, Tables::LINKS | Tables::ADDRESSES | Tables::ROUTES)?;
    if prev.routes.iter().any(|route| route.table == Some(LOCAL_TABLE)) {
        // Of which the kernel has many, so that they are not among the others.
        let local = full::list(sandbox, Some(LOCAL_TABLE), None)?;
        now.routes.extend(local.into_iter().flat_map(simple));
    }
    Ok(now)
}

/// A route for each of its hops.
fn simple(route: full::Route) -> impl Iterator<Item = Route> {
    let full::Route { dst, hops, src, table, metric, scope, protocol, .. } = route;
    hops.into_iter().filter_map(move |hop| {
        let (link, gateway) = (hop.link?, hop.gateway);
        Some(Route { link, dst, gateway, src, table, metric, scope, protocol })
    })
}

/// The entry of the container's interface in `prev`.
pub fn entry<'o>(call: &Call, prev: &'o Output) -> Result<&'o Iface, String> {
    let ours = |interface: &&Iface| interface.name == call.at.ifname && interface.sandbox == call.netns;
    // The reference names the sandbox that it found, which is none.
    let text = || format!("Sandbox in prevResult  doesn't match configured netns: {}", call.netns);
    prev.interfaces.iter().rfind(ours).ok_or_else(text)
}

/// Whether the link has the MAC that its entry names, if it names one.
pub fn same_mac(interface: &Iface, link: &Link) -> Result<(), String> {
    let Iface { name, mac, .. } = interface;
    let now = mac::format(&link.mac);
    if mac.is_empty() || *mac == now {
        return Ok(());
    }
    Err(format!("Interface {name} Mac {mac} doesn't match container Mac: {now}"))
}

/// Whether `ifname` has every address of `ips`, with a route to its network.
/// `now` is what the namespace has: links, addresses and routes.
pub fn addresses(now: &Snapshot, ifname: &str, ips: &[IpConfig]) -> Result<(), Failure> {
    let link = now.links.iter().find(|link| link.name == ifname);
    let Some(link) = link else {
        return Err(Failure::plain(format!("Cannot find container link {ifname}")));
    };
    for ip in ips {
        let wanted = IpNet::try_from(ip.address)?;
        let is_there = now.addresses.iter().any(|a| is(&a.link, link.index, &link.name) && a.ip == ip.address);
        if !is_there {
            let text = format!("Failed to match addr {wanted} on interface {ifname}");
            return Err(Failure::plain(text));
        }
        let network = wanted.trunc().into();
        let routed = now.routes.iter().any(|route| is_in_main(route.table) && route.dst == network);
        if !routed {
            let gateway = go::or_nil(ip.gateway.map(IpAddr::from));
            let text = format!("Failed to find Gateway {gateway} for interface {ifname}");
            return Err(Failure::plain(text));
        }
    }
    Ok(())
}

/// Whether every route of `routes` is in its table, which is the main one unless it says
/// otherwise. A default route may go by any gateway.
pub fn routes(now: &Snapshot, routes: &[CniRoute]) -> Result<(), Failure> {
    for route in routes {
        let dst = IpNet::try_from(route.dst)?;
        let network = dst.trunc().into();
        let found = now.routes.iter().any(|candidate| {
            is_in_table(candidate.table, route.table)
                && candidate.dst == network
                && (dst.prefix_len() == 0 || route.gw.is_none() || candidate.gateway == route.gw)
        });
        if !found {
            let route = go::route(route)?;
            let text = format!("Expected Route {route} not found in routing table");
            return Err(Failure::plain(text));
        }
    }
    Ok(())
}

/// Whether this is the main table (`RT_TABLE_MAIN`, or not given).
pub fn is_in_main(table: u32) -> bool {
    matches!(table, 0 | MAIN_TABLE)
}

/// The reference looks for every route in the main table.
fn is_in_table(table: u32, wanted: Option<u32>) -> bool {
    match wanted {
        None | Some(0) => is_in_main(table),
        Some(wanted) => table == wanted || (is_in_main(wanted) && is_in_main(table)),
    }
}

fn is(link: &LinkRef, index: u32, name: &str) -> bool {
    match link {
        LinkRef::Index(i) => *i == index,
        LinkRef::Name(n) => n == name,
        LinkRef::Made(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Address, Link, Route};

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn now(table: u32) -> Snapshot {
        Snapshot {
            links: vec![Link {
                index: 2,
                name: "eth0".into(),
                kind: "veth".into(),
                flags: 1,
                operstate: 6,
                parent: 7,
                ..Link::default()
            }],
            addresses: vec![Address { link: LinkRef::Index(2), ip: net("10.1.0.2/24").into(), flags: 0x80 }],
            routes: vec![Route {
                link: LinkRef::Index(2),
                dst: net("10.1.0.0/24").into(),
                gateway: None,
                src: None,
                table,
                metric: 0,
                scope: 253,
                protocol: 2,
            }],
            bridge_vlans: vec![],
        }
    }

    fn ip(text: &str) -> IpConfig {
        IpConfig {
            address: net(text).into(),
            gateway: Some("10.1.0.1".parse::<IpAddr>().unwrap().into()),
            iface: Some(2),
        }
    }

    fn route(dst: &str, gw: Option<&str>) -> CniRoute {
        CniRoute { dst: net(dst).into(), gw: gw.map(|gw| gw.parse::<IpAddr>().unwrap().into()), ..CniRoute::default() }
    }

    fn text<T>(result: Result<T, Failure>) -> String {
        result.err().map(|failure| failure.msg).unwrap_or_default()
    }

    #[test]
    fn an_address_needs_its_link_itself_and_a_route() {
        let check = |table, ifname: &str, ip| text(addresses(&now(table), ifname, &[ip]));
        assert_eq!(check(254, "eth0", ip("10.1.0.2/24")), "");
        assert_eq!(check(254, "eth1", ip("10.1.0.2/24")), "Cannot find container link eth1");
        assert_eq!(check(254, "eth0", ip("10.1.0.77/24")), "Failed to match addr 10.1.0.77/24 on interface eth0");
        assert_eq!(check(100, "eth0", ip("10.1.0.2/24")), "Failed to find Gateway 10.1.0.1 for interface eth0");
    }

    #[test]
    fn a_route_is_looked_for_in_its_table_only() {
        let check = |table, wanted| text(routes(&now(table), &[wanted]));
        let of = |table| CniRoute { table: Some(table), ..route("10.1.0.0/24", None) };
        assert_eq!([check(100, of(100)), check(254, of(0)), check(0, of(254))], [""; 3]);
        assert!(check(100, of(101)).starts_with("Expected Route") && check(254, of(100)).contains("Table:100"));
        assert_eq!(check(254, route("10.1.0.0/24", None)), "");
        assert!(check(100, route("10.1.0.0/24", None)).starts_with("Expected Route {Dst:{IP:10"));
        assert!(check(254, route("10.1.0.0/24", Some("10.1.0.9"))).contains("GW:10.1.0.9"));
    }
}
