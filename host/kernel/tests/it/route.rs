//! Routes.

use std::net::IpAddr;

use nix::errno::Errno;
use serde_json::json;
use wasm_cni_kernel::Route;

use crate::sandbox::{Sandbox, eth0, ip, isolated, sh};

/// RTPROT_BOOT, which CNI's plugins leave their routes with.
fn route(link: u32, dst: &str, gateway: Option<&str>) -> Route {
    Route {
        link,
        dst: dst.parse().unwrap(),
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        src: None,
        table: 0,
        metric: 0,
        scope: 0,
        protocol: 3,
    }
}

#[test]
fn routes_are_as_they_were_asked_for() {
    isolated(|Sandbox { host, container }| {
        let (mut inner, link) = eth0(&host, &container);
        let src: IpAddr = "10.1.0.3".parse().unwrap();
        let several = [
            route(link, "0.0.0.0/0", Some("10.1.0.1")),
            Route { metric: 50, src: Some(src), ..route(link, "10.5.0.0/16", Some("10.1.0.1")) },
            Route { table: 1000, ..route(link, "10.6.0.0/16", Some("10.1.0.1")) },
            Route { table: 7, scope: 253, ..route(link, "10.7.0.0/16", None) },
            Route { metric: 1024, ..route(link, "::/0", Some("fd00::1")) },
            Route { metric: 77, ..route(link, "fd05::/64", Some("fd00::1")) },
        ];
        for route in &several {
            inner.route_add(route).unwrap();
        }
        let shown = |question: &str| ip(&container, question)[0].clone();
        let default = shown("route show default");
        assert_eq!((&default["gateway"], &default["dev"]), (&json!("10.1.0.1"), &json!("eth0")));
        assert_eq!((&default["protocol"], &default["type"]), (&json!("boot"), &json!("unicast")));
        let metric = shown("route show 10.5.0.0/16");
        assert_eq!((&metric["metric"], &metric["prefsrc"]), (&json!(50), &json!("10.1.0.3")));
        assert_eq!(shown("route show table 1000")["dst"], "10.6.0.0/16");
        let device = shown("route show table 7");
        assert_eq!((&device["scope"], &device["gateway"]), (&json!("link"), &json!(null)));
        assert_eq!(shown("-6 route show default")["gateway"], "fd00::1");
        assert_eq!(shown("-6 route show fd05::/64")["metric"], 77);

        let read = inner.routes(Some(link)).unwrap();
        for route in &several {
            let table = if route.table == 0 { 254 } else { route.table };
            let wanted = Route { table, ..route.clone() };
            assert!(read.contains(&wanted), "{wanted:?} is not in {read:#?}");
        }
        let connected: ipnet::IpNet = "10.1.0.0/24".parse().unwrap();
        assert!(read.iter().any(|route| route.dst == connected && route.protocol == 2));
        assert!(read.iter().all(|route| route.link == link && route.table != 255));
        assert_eq!(inner.routes(Some(1)).unwrap(), []);
        assert_eq!(inner.routes(None).unwrap().len(), read.len());
        assert_eq!(inner.routes(Some(4711)).unwrap_err().errno(), Errno::ENODEV as i32);

        // What was read can be taken away and put back, as an undo does.
        for route in &read {
            inner.route_del(route).unwrap();
        }
        assert_eq!(inner.routes(None).unwrap(), []);
        for route in &read {
            // Without the neighbours' network there is no way to a gateway.
            if route.gateway.is_none() {
                inner.route_add(route).unwrap();
            }
        }
        for route in read.iter().filter(|route| route.gateway.is_some()) {
            inner.route_add(route).unwrap();
        }
        let again = inner.routes(Some(link)).unwrap();
        assert_eq!(again.len(), read.len());
        assert!(read.iter().all(|route| again.contains(route)), "{read:#?} {again:#?}");

        for route in &several {
            inner.route_del(route).unwrap();
            let error = inner.route_del(route).unwrap_err();
            assert_eq!(error.errno(), Errno::ESRCH as i32, "{error}");
        }
        assert_eq!(ip(&container, "route show default"), [json!(null); 0]);
        assert_eq!(ip(&container, "-6 route show default"), [json!(null); 0]);
    });
}

#[test]
fn a_second_route_joins_or_precedes_the_first() {
    isolated(|Sandbox { host, container }| {
        let (mut inner, link) = eth0(&host, &container);
        inner.route_add(&route(link, "10.5.0.0/16", Some("10.1.0.1"))).unwrap();
        let error = inner.route_add(&route(link, "10.5.0.0/16", Some("10.1.0.1"))).unwrap_err();
        assert_eq!(error.to_string(), "route-add 10.5.0.0/16: file exists");
        inner.route_add(&route(link, "10.5.0.0/16", Some("10.1.0.9"))).unwrap();
        assert_eq!(ip(&container, "route show 10.5.0.0/16")[0]["gateway"], "10.1.0.9");

        inner.route_add(&route(link, "fd05::/64", Some("fd00::1"))).unwrap();
        inner.route_add(&route(link, "fd05::/64", Some("fd00::9"))).unwrap();
        let both = &ip(&container, "-6 route show fd05::/64")[0]["nexthops"];
        assert_eq!(both.as_array().unwrap().len(), 2);
        let read = inner.routes(Some(link)).unwrap();
        let mut gateways: Vec<_> = read
            .iter()
            .filter(|route| route.dst.to_string() == "fd05::/64")
            .map(|route| route.gateway.unwrap().to_string())
            .collect();
        gateways.sort();
        assert_eq!(gateways, ["fd00::1", "fd00::9"]);
    });
}

#[test]
fn what_the_kernel_refuses_keeps_its_number() {
    isolated(|Sandbox { host, container }| {
        let (mut inner, link) = eth0(&host, &container);
        let error = inner.route_add(&route(link, "10.5.0.0/16", Some("192.0.2.1"))).unwrap_err();
        assert_eq!(error.errno(), Errno::ENETUNREACH as i32);
        assert_eq!(error.reason(), "network is unreachable");
        assert_eq!(error.kernel_says(), Some("Nexthop has invalid gateway"));
        let mixed = Route { src: Some("fd00::2".parse().unwrap()), ..route(link, "10.5.0.0/16", None) };
        assert_eq!(inner.route_add(&mixed).unwrap_err().errno(), Errno::EINVAL as i32);
        // IPv4 by way of an IPv6 neighbour (RFC 5549) is no mistake.
        inner.route_add(&route(link, "10.8.0.0/16", Some("fe80::1"))).unwrap();
        let via = &ip(&container, "route show 10.8.0.0/16")[0]["via"];
        assert_eq!((&via["family"], &via["host"]), (&json!("inet6"), &json!("fe80::1")));
        let read = inner.routes(Some(link)).unwrap();
        assert!(read.iter().any(|route| route.gateway == Some("fe80::1".parse().unwrap())));
        // Not unicast, so not ours to tell of.
        sh(&container, "ip route add blackhole 10.66.0.0/16");
        assert_eq!(inner.routes(None).unwrap().len(), read.len());
    });
}

/// What a container has in its tables is not to fill the host's memory.
#[test]
fn a_table_that_is_too_large_is_an_error() {
    isolated(|Sandbox { host, container }| {
        let (mut inner, link) = eth0(&host, &container);
        let line = |i: u32| format!("route add 20.{}.{}.{}/32 dev eth0\n", i >> 16, i >> 8 & 255, i & 255);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), (0..(1 << 17) + 9).map(line).collect::<String>()).unwrap();
        sh(&container, &format!("ip -batch {}", file.path().display()));
        let error = inner.routes(Some(link)).unwrap_err();
        assert_eq!(error.errno(), Errno::EFBIG as i32);
        assert!(error.to_string().starts_with("routes: the table is too large"), "{error}");
        // The socket is as good as before.
        assert_eq!(inner.link_get(wasm_cni_kernel::LinkRef::Index(link)).unwrap().name, "eth0");
        assert!(inner.addresses(Some(link)).unwrap().len() >= 3);
    });
}
