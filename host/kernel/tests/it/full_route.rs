//! Routes with everything that can be set on one.

use nix::errno::Errno;
use serde_json::{Value, json};
use wasm_cni_kernel::{FullRoute, Hop, Netns, RouteAdd, RouteKind};

use crate::sandbox::{Sandbox, eth0, ip, isolated};

fn hop(link: u32, gateway: &str) -> Hop {
    Hop { link, gateway: Some(gateway.parse().unwrap()), weight: 1, onlink: false }
}

fn route(dst: &str, hops: &[Hop]) -> FullRoute {
    FullRoute {
        kind: RouteKind::Unicast,
        dst: dst.parse().unwrap(),
        hops: hops.to_vec(),
        src: None,
        table: 254,
        metric: 50,
        scope: 0,
        protocol: 4,
        mtu: 0,
        advmss: 0,
    }
}

fn nowhere(dst: &str, kind: RouteKind) -> FullRoute {
    FullRoute { kind, ..route(dst, &[]) }
}

fn shown(netns: &Netns, question: &str) -> Value {
    ip(netns, question).first().cloned().unwrap_or_default()
}

#[test]
fn everything_is_set_and_read_back() {
    isolated(|Sandbox { host, container }| {
        let (mut inner, link) = eth0(&host, &container);
        let beyond = Hop { onlink: true, ..hop(link, "192.0.2.1") };
        let [light, heavy] = [hop(link, "10.1.0.8"), Hop { weight: 256, ..hop(link, "10.1.0.9") }];
        let src = Some("10.1.0.3".parse().unwrap());
        let all = [
            FullRoute { mtu: 1400, advmss: 1360, src, ..route("10.5.0.0/16", &[hop(link, "10.1.0.1")]) },
            FullRoute { table: 1000, ..route("0.0.0.0/0", &[beyond]) },
            FullRoute { protocol: 3, ..route("10.6.0.0/16", &[light, heavy]) },
            FullRoute { table: 7, scope: 253, ..route("10.7.0.0/16", &[Hop { gateway: None, ..light }]) },
            FullRoute { mtu: 1300, ..route("fd05::/64", &[hop(link, "fd00::1")]) },
            route("fd06::/64", &[hop(link, "fd00::8"), Hop { weight: 3, ..hop(link, "fd00::9") }]),
        ];
        for route in &all {
            inner.full_route_add(route, RouteAdd::Create).unwrap();
            let error = inner.full_route_add(route, RouteAdd::Create).unwrap_err();
            assert_eq!(error.to_string(), format!("route-add {}: file exists", route.dst));
        }
        let mtu = shown(&container, "route show 10.5.0.0/16");
        assert_eq!((&mtu["metrics"][0]["mtu"], &mtu["metrics"][0]["advmss"]), (&json!(1400), &json!(1360)));
        assert_eq!((&mtu["prefsrc"], &mtu["protocol"]), (&json!("10.1.0.3"), &json!("static")));
        let default = shown(&container, "route show table 1000");
        assert_eq!((&default["gateway"], &default["flags"]), (&json!("192.0.2.1"), &json!(["onlink"])));
        let hops = &shown(&container, "route show 10.6.0.0/16")["nexthops"];
        assert_eq!((&hops[0]["weight"], &hops[1]["weight"]), (&json!(1), &json!(256)));
        assert_eq!(hops[1]["gateway"], "10.1.0.9");
        let hops = &shown(&container, "-6 route show fd06::/64")["nexthops"];
        assert_eq!(hops.as_array().unwrap().len(), 2);

        let read = inner.full_routes(None, Some(link)).unwrap();
        for route in &all {
            assert!(read.contains(route), "{route:?} is not in {read:#?}");
        }
        assert_eq!(inner.full_routes(Some(1000), None).unwrap(), all[1..2]);
        assert_eq!(inner.full_routes(Some(7), Some(link)).unwrap(), all[3..4]);
        assert_eq!(inner.full_routes(Some(4711), None).unwrap(), []);
        assert_eq!(inner.full_routes(Some(254), Some(1)).unwrap(), []);
        assert_eq!(inner.full_routes(Some(0), None).unwrap(), inner.full_routes(Some(254), None).unwrap());
        assert_eq!(inner.full_routes(None, Some(4711)).unwrap_err().errno(), Errno::ENODEV as i32);
        // The simple list has a route for each hop.
        let simple = inner.routes(Some(link)).unwrap();
        assert_eq!(simple.iter().filter(|route| route.dst == all[2].dst).count(), 2);

        for route in &all {
            inner.full_route_del(route).unwrap();
            let error = inner.full_route_del(route).unwrap_err();
            assert_eq!(error.to_string(), format!("route-del {}: no such process", route.dst));
        }
        let left = inner.full_routes(None, Some(link)).unwrap();
        assert!(left.iter().all(|route| route.protocol == 2), "{left:#?}");
    });
}

#[test]
fn routes_may_lead_nowhere() {
    isolated(|Sandbox { host, container }| {
        let (mut inner, link) = eth0(&host, &container);
        let kinds = [
            (RouteKind::Blackhole, "blackhole"),
            (RouteKind::Unreachable, "unreachable"),
            (RouteKind::Prohibit, "prohibit"),
            (RouteKind::Throw, "throw"),
        ];
        for (kind, name) in kinds {
            for (dst, family) in [("10.66.0.0/16", "-4"), ("fd66::/64", "-6")] {
                let route = nowhere(dst, kind);
                inner.full_route_add(&route, RouteAdd::Create).unwrap();
                assert_eq!(shown(&container, &format!("{family} route show {dst}"))["type"], name);
                assert!(inner.full_routes(Some(254), None).unwrap().contains(&route));
                assert!(!inner.full_routes(None, Some(link)).unwrap().contains(&route));
                assert!(inner.routes(None).unwrap().iter().all(|simple| simple.dst != route.dst));
                inner.full_route_del(&route).unwrap();
                assert_eq!(inner.full_route_del(&route).unwrap_err().errno(), Errno::ESRCH as i32);
            }
        }
    });
}

#[test]
fn a_route_joins_or_replaces_the_one_that_is_there() {
    isolated(|Sandbox { host, container }| {
        let (mut inner, link) = eth0(&host, &container);
        let to = |gateway| route("10.5.0.0/16", &[hop(link, gateway)]);
        inner.full_route_add(&to("10.1.0.1"), RouteAdd::Replace).unwrap();
        inner.full_route_add(&to("10.1.0.8"), RouteAdd::Append).unwrap();
        let both = ip(&container, "route show 10.5.0.0/16");
        assert_eq!((&both[0]["gateway"], &both[1]["gateway"]), (&json!("10.1.0.1"), &json!("10.1.0.8")));
        inner.full_route_add(&to("10.1.0.9"), RouteAdd::Replace).unwrap();
        let both = ip(&container, "route show 10.5.0.0/16");
        assert_eq!((&both[0]["gateway"], &both[1]["gateway"]), (&json!("10.1.0.9"), &json!("10.1.0.8")));
        let identical = inner.full_route_add(&to("10.1.0.8"), RouteAdd::Append).unwrap_err();
        assert_eq!(identical.errno(), Errno::EEXIST as i32);

        let to = |gateway| route("fd05::/64", &[hop(link, gateway)]);
        inner.full_route_add(&to("fd00::1"), RouteAdd::Create).unwrap();
        inner.full_route_add(&to("fd00::8"), RouteAdd::Append).unwrap();
        assert_eq!(shown(&container, "-6 route show fd05::/64")["nexthops"].as_array().unwrap().len(), 2);
        inner.full_route_add(&to("fd00::9"), RouteAdd::Replace).unwrap();
        assert_eq!(shown(&container, "-6 route show fd05::/64")["gateway"], "fd00::9");
    });
}

#[test]
fn a_deletion_compares_the_fields_that_are_set() {
    isolated(|Sandbox { host, container }| {
        let (mut inner, link) = eth0(&host, &container);
        for (dst, gateway, other) in [("10.5.0.0/16", "10.1.0.1", "10.1.0.9"), ("fd05::/64", "fd00::1", "fd00::9")] {
            let whole = FullRoute { mtu: 1400, advmss: 1360, ..route(dst, &[hop(link, gateway)]) };
            inner.full_route_add(&whole, RouteAdd::Create).unwrap();
            for differs in [
                FullRoute { metric: 51, ..whole.clone() },
                FullRoute { protocol: 3, ..whole.clone() },
                FullRoute { table: 7, ..whole.clone() },
                route(dst, &[hop(link, other)]),
            ] {
                let error = inner.full_route_del(&differs).unwrap_err();
                assert_eq!(error.errno(), Errno::ESRCH as i32, "{error}: {differs:?}");
            }
            inner.full_route_del(&FullRoute { metric: 0, protocol: 0, ..route(dst, &[]) }).unwrap();
            assert!(inner.full_routes(None, None).unwrap().iter().all(|route| route.dst != whole.dst));
        }
    });
}

#[test]
fn contradictions_are_refused() {
    isolated(|Sandbox { host, container }| {
        let (mut inner, link) = eth0(&host, &container);
        let [near, other] = [hop(link, "10.1.0.1"), hop(link, "10.1.0.9")];
        let before = inner.full_routes(None, None).unwrap();
        for wrong in [
            FullRoute { hops: vec![near], ..nowhere("10.5.0.0/16", RouteKind::Blackhole) },
            route("10.5.0.0/16", &[near, Hop { weight: 0, ..other }]),
            route("10.5.0.0/16", &[near, Hop { weight: 257, ..other }]),
            route("fd05::/64", &[near]),
            route("fd05::/64", &[near, other]),
            route("10.5.0.1/16", &[near]),
            FullRoute { src: Some("fd00::2".parse().unwrap()), ..route("10.5.0.0/16", &[near]) },
        ] {
            let error = inner.full_route_add(&wrong, RouteAdd::Create).unwrap_err();
            assert_eq!(error.errno(), Errno::EINVAL as i32, "{error}: {wrong:?}");
        }
        let far = route("10.5.0.0/16", &[hop(link, "192.0.2.1")]);
        let error = inner.full_route_add(&far, RouteAdd::Create).unwrap_err();
        assert_eq!(error.errno(), Errno::ENETUNREACH as i32);
        let far = route("fd05::/64", &[hop(link, "2001:db8::1")]);
        let error = inner.full_route_add(&far, RouteAdd::Create).unwrap_err();
        assert_eq!(error.errno(), Errno::EHOSTUNREACH as i32);
        assert_eq!(inner.full_routes(None, None).unwrap(), before);
    });
}
