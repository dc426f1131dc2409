//! Which of the routes that there are a change is about. Must not know: the kernel.

use wasm_cni_kernel::{FullRoute, Hop};

/// The route that a new one takes the place of, as the kernel chooses it: of those with the same destination and metric the
/// first, and in IPv6 rather one that is like the new one in having a gateway.
pub(super) fn replaced<'r>(routes: &'r [FullRoute], new: &FullRoute) -> Option<&'r FullRoute> {
    let same = || routes.iter().filter(|route| is_beside(route, new));
    let has_gateway = |route: &FullRoute| route.hops.iter().any(|hop| hop.gateway.is_some());
    let alike = same().find(|route| new.dst.addr().is_ipv4() || has_gateway(route) == has_gateway(new));
    alike.or_else(|| same().next())
}

/// A route that is to be deleted, with those of its hops that are to be.
#[derive(Debug, PartialEq)]
pub(super) struct Deleted {
    pub(super) route: FullRoute,
    /// No other route to its destination, with its metric, comes before it.
    pub(super) is_first: bool,
}

/// The first route that agrees in all that is given. 0, none and an empty list stand for any.
pub(super) fn deleted(routes: &[FullRoute], given: &FullRoute) -> Option<Deleted> {
    let agrees = |route: &&FullRoute| {
        let any = |given: u32, has: u32| given == 0 || given == has;
        (route.kind, route.dst, route.table, route.scope) == (given.kind, given.dst, given.table, given.scope)
            && (given.src.is_none() || given.src == route.src)
            && any(given.metric, route.metric)
            && any(given.protocol.into(), route.protocol.into())
            && any(given.mtu, route.mtu)
            && any(given.advmss, route.advmss)
    };
    routes.iter().filter(agrees).find_map(|route| {
        let hops = hops(route, given)?;
        let is_first = routes.iter().find(|other| is_beside(other, route)) == Some(route);
        Some(Deleted { route: FullRoute { hops, ..route.clone() }, is_first })
    })
}

fn is_beside(route: &FullRoute, other: &FullRoute) -> bool {
    (route.dst, route.table, route.metric) == (other.dst, other.table, other.metric)
}

/// The hops that go. In IPv6, where each hop has been a route of its own, that may be some of them.
fn hops(route: &FullRoute, given: &FullRoute) -> Option<Vec<Hop>> {
    if given.hops.is_empty() {
        return Some(route.hops.clone());
    }
    let is_v4 = route.dst.addr().is_ipv4();
    if is_v4 && given.hops.len() != route.hops.len() {
        return None;
    }
    let has_several = given.hops.len() > 1;
    let agrees = |hop: &Hop, given: &Hop| {
        (given.link == 0 || given.link == hop.link)
            && (given.gateway.is_none() || given.gateway == hop.gateway)
            && (!has_several || given.weight == hop.weight)
    };
    let mut left = route.hops.clone();
    let mut gone = Vec::new();
    for given in &given.hops {
        let at = left.iter().position(|hop| agrees(hop, given))?;
        gone.push(left.remove(at));
    }
    Some(gone)
}

#[cfg(test)]
mod tests {
    use wasm_cni_kernel::RouteKind;

    use super::*;

    fn hop(link: u32, gateway: Option<&str>) -> Hop {
        Hop { link, gateway: gateway.map(|ip| ip.parse().unwrap()), weight: 1, onlink: false }
    }

    fn route(dst: &str, metric: u32, hops: Vec<Hop>) -> FullRoute {
        FullRoute {
            kind: if hops.is_empty() { RouteKind::Blackhole } else { RouteKind::Unicast },
            dst: dst.parse().unwrap(),
            hops,
            src: None,
            table: 254,
            metric,
            scope: 0,
            protocol: 3,
            mtu: 0,
            advmss: 0,
        }
    }

    #[test]
    fn a_new_route_takes_the_place_of_one_with_its_destination_and_metric() {
        let there = [
            route("10.0.0.0/8", 0, vec![hop(1, None)]),
            route("10.0.0.0/8", 5, vec![hop(2, None)]),
            route("10.0.0.0/8", 5, vec![hop(3, Some("10.0.0.1"))]),
        ];
        let new = |metric| route("10.0.0.0/8", metric, vec![hop(9, Some("10.0.0.9"))]);
        assert_eq!(replaced(&there, &new(5)), Some(&there[1]));
        assert_eq!(replaced(&there, &new(0)), Some(&there[0]));
        assert_eq!(replaced(&there, &new(7)), None);
        assert_eq!(replaced(&there, &FullRoute { table: 7, ..new(5) }), None);
    }

    #[test]
    fn in_ipv6_rather_one_that_is_alike() {
        let there = [
            route("fd00::/64", 1024, vec![hop(1, None)]),
            route("fd00::/64", 1024, vec![hop(2, Some("fe80::1")), hop(3, Some("fe80::2"))]),
        ];
        let by = |gateway| route("fd00::/64", 1024, vec![hop(9, gateway)]);
        assert_eq!(replaced(&there, &by(None)), Some(&there[0]));
        assert_eq!(replaced(&there, &by(Some("fe80::9"))), Some(&there[1]));
        assert_eq!(replaced(&there[..1], &by(Some("fe80::9"))), Some(&there[0]));
    }

    #[test]
    fn what_is_not_given_agrees_with_anything() {
        let there = [
            route("10.0.0.0/8", 0, vec![hop(1, None)]),
            FullRoute { mtu: 1400, ..route("10.0.0.0/8", 5, vec![hop(2, Some("10.0.0.1"))]) },
        ];
        let first = deleted(&there, &route("10.0.0.0/8", 0, vec![hop(0, None)])).unwrap();
        assert_eq!(first, Deleted { route: there[0].clone(), is_first: true });
        let by = |given: &FullRoute| deleted(&there, given).map(|deleted| deleted.route);
        assert_eq!(by(&route("10.0.0.0/8", 0, vec![hop(2, None)])), Some(there[1].clone()));
        assert_eq!(by(&route("10.0.0.0/8", 5, vec![hop(1, None)])), None);
        assert_eq!(by(&route("10.0.0.0/8", 0, Vec::new())), None, "a blackhole is none of them");
        assert_eq!(by(&FullRoute { scope: 253, ..there[0].clone() }), None);
    }

    #[test]
    fn in_ipv6_a_route_loses_some_of_its_hops_and_in_ipv4_all() {
        let [a, b] = ["fe80::1", "fe80::2"].map(|ip| hop(1, Some(ip)));
        let there = [route("fd00::/64", 1024, vec![a, b])];
        let gone = deleted(&there, &route("fd00::/64", 0, vec![b])).unwrap();
        assert_eq!(gone.route.hops, [b]);
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|ip| hop(1, Some(ip)));
        let there = [route("10.9.0.0/16", 0, vec![a, b])];
        assert_eq!(deleted(&there, &route("10.9.0.0/16", 0, vec![b])), None);
        assert_eq!(deleted(&there, &route("10.9.0.0/16", 0, vec![b, a])).unwrap().route.hops.len(), 2);
        assert_eq!(deleted(&there, &route("10.9.0.0/16", 0, vec![a, a])), None);
    }

    #[test]
    fn whether_it_was_the_first_is_kept() {
        let there = [1, 2].map(|link| route("10.0.0.0/8", 0, vec![hop(link, None)]));
        assert!(deleted(&there, &there[0]).unwrap().is_first);
        assert!(!deleted(&there, &there[1]).unwrap().is_first);
    }
}
