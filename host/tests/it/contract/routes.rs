//! Routes of IPAM: what is set of them, where CHECK looks for them, and gateways that are in no network.

use serde_json::{Value, json};

use super::{Container, answers, bridge, fixed, gateway, host_local, plugin, refused, with};
use crate::machine::Machine;

/// `ipam`: an address of this subnet, and routes.
fn ipam(subnet: &str, more: Value) -> Value {
    with(&host_local(&[]), with(&json!({ "ranges": [[{ "subnet": subnet }]] }), more))
}

fn routed(kind: &str, route: Value) -> Value {
    let ipam = ipam("10.1.0.0/24", json!({ "routes": [route] }));
    let config = with(&plugin(kind, json!({ "isGateway": true, "ipam": ipam })), json!({ "cniVersion": "1.1.0" }));
    if kind == "bridge" { with(&config, json!({ "bridge": "br0" })) } else { config }
}

#[test]
fn mtu_advmss_scope_and_table_are_set_in_the_kernel() {
    for kind in ["bridge", "ptp"] {
        let machine = Machine::new();
        let c1 = Container::new(&machine, "c1");
        for (route, show, expected) in [
            (
                json!({ "dst": "10.99.0.0/16", "mtu": 1400, "advmss": 1300 }),
                "10.99.0.0/16",
                json!({ "gateway": "10.1.0.1", "metrics": [{ "mtu": 1400, "advmss": 1300 }] }),
            ),
            (
                json!({ "dst": "10.99.0.0/16", "mtu": 1400, "table": 100, "priority": 5 }),
                "10.99.0.0/16 table 100",
                json!({ "gateway": "10.1.0.1", "metric": 5, "metrics": [{ "mtu": 1400 }] }),
            ),
            (
                json!({ "dst": "10.98.0.0/16", "table": 200 }),
                "10.98.0.0/16 table 200",
                json!({ "gateway": "10.1.0.1" }),
            ),
            (
                json!({ "dst": "10.97.0.0/16", "scope": 253 }),
                "10.97.0.0/16",
                json!({ "scope": "link", "gateway": null }),
            ),
            (
                json!({ "dst": "10.97.0.0/16", "scope": 253, "advmss": 1200 }),
                "10.97.0.0/16",
                json!({ "scope": "link", "gateway": null, "metrics": [{ "advmss": 1200 }] }),
            ),
        ] {
            let config = routed(kind, route.clone());
            let result = c1.add(&config).unwrap();
            let routes = c1.ip(&format!("route show {show}"));
            for (key, value) in expected.as_object().unwrap() {
                assert_eq!(&routes[0][key], value, "{kind} {route}: {key} of {routes}");
            }
            assert_eq!(result["routes"][0]["dst"], route["dst"]);
            assert_eq!(c1.check(&config, &result), Ok(Value::Null), "{kind} {route}");
            c1.del(&config).unwrap();
        }
    }
}

#[test]
fn ipv6_has_an_mtu_of_a_route_too() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let ipam = ipam("fd00:10::/64", json!({ "routes": [{ "dst": "fd00:99::/64", "mtu": 1400 }, { "dst": "::/0" }] }));
    let config = gateway(json!({ "cniVersion": "1.1.0", "ipam": ipam }));
    let result = c1.add(&config).unwrap();
    let route = &c1.ip("-6 route show fd00:99::/64")[0];
    assert_eq!((&route["gateway"], &route["metrics"]), (&json!("fd00:10::1"), &json!([{ "mtu": 1400 }])));
    assert_eq!(c1.check(&config, &result), Ok(Value::Null));
}

#[test]
fn check_looks_for_a_route_in_its_table() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    for (more, table) in [
        (json!({ "table": 100 }), "100"),
        (json!({ "table": 255 }), "local"),
        (json!({ "table": 254 }), "main"),
        (json!({ "table": 100, "priority": 5 }), "100"),
    ] {
        let config = routed("bridge", with(&json!({ "dst": "10.99.0.0/16" }), more));
        let result = c1.add(&config).unwrap();
        assert_eq!(c1.check(&config, &result), Ok(Value::Null), "table {table}");
        let flush = format!("ip -n c1 route del 10.99.0.0/16 table {table}");
        crate::machine::script(&machine, &flush);
        let (code, msg) = c1.check(&config, &result).unwrap_err();
        assert_eq!(code, 999);
        assert!(msg.starts_with("Expected Route {Dst:{IP:10.99.0.0 Mask:ffff0000}"), "table {table}: {msg}");
        c1.del(&config).unwrap();
    }
}

#[test]
fn ptp_reaches_a_gateway_that_is_outside_of_the_subnet() {
    for (subnet, gateway, default) in
        [("2001:db8:5:334::/64", "2001:db8:5::1", "::/0"), ("10.66.0.0/24", "169.254.1.1", "0.0.0.0/0")]
    {
        let machine = Machine::new();
        let c1 = Container::new(&machine, "c1");
        let ranges = json!([[{ "subnet": subnet, "gateway": gateway }]]);
        let ipam = json!({ "type": "host-local", "ranges": ranges, "routes": [{ "dst": default }] });
        let config = plugin("ptp", json!({ "ipam": ipam }));
        let result = c1.add(&config).unwrap();
        let family = if default == "::/0" { "-6" } else { "-4" };
        assert_eq!(c1.ip(&format!("{family} route show default"))[0]["gateway"], gateway);
        assert_eq!(c1.check(&config, &result), Ok(Value::Null));
        assert!(answers(&machine, "c1", gateway), "{gateway}");
        c1.del(&config).unwrap();
        c1.assert_clean();
    }
}

#[test]
fn a_bridge_has_a_link_local_gateway_beside_the_kernel_s_address() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let ranges = json!([[{ "subnet": "2001:db8:1::/64", "gateway": "fe80::1" }]]);
    let config = bridge(json!({ "isDefaultGateway": true, "ipam": { "type": "host-local", "ranges": ranges } }));
    let result = c1.add(&config).unwrap();
    assert_eq!(c1.ip("-6 route show default")[0]["gateway"], "fe80::1");
    let all = machine.ip("-6 addr show dev br0");
    let has = |prefix: &str| all[0]["addr_info"].as_array().unwrap().iter().any(|a| a["local"] == prefix);
    assert!(has("fe80::1"), "{all}");
    assert_eq!(c1.check(&config, &result), Ok(Value::Null));
    // And the second container, which finds both there.
    let c2 = Container::new(&machine, "c2");
    c2.add(&config).unwrap();
}

#[test]
fn static_gives_a_requested_address_the_gateway_of_its_subnet() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let ipam = with(&fixed("10.10.0.9/24", Some("10.10.0.1")), json!({ "routes": [{ "dst": "0.0.0.0/0" }] }));
    let config = bridge(json!({ "ipam": ipam, "runtimeConfig": { "ips": ["10.10.0.50/24"] } }));
    let result = c1.add(&config).unwrap();
    assert_eq!(result["ips"][0], json!({ "address": "10.10.0.50/24", "gateway": "10.10.0.1", "interface": 2 }));
    assert_eq!(c1.ip("route show default")[0]["gateway"], "10.10.0.1");
    assert_eq!(c1.check(&config, &result), Ok(Value::Null));
    c1.del(&config).unwrap();
    // As the Go type writes itself.
    let own =
        json!({ "address": "10.10.0.9/24", "Address": { "IP": "10.10.0.9", "Mask": "////AA==" }, "Version": "4" });
    let config = bridge(json!({ "ipam": { "type": "static", "addresses": [own] } }));
    assert_eq!(c1.add(&config).unwrap()["ips"][0]["address"], "10.10.0.9/24");
    c1.del(&config).unwrap();
    let config = bridge(json!({ "ipam": { "type": "static", "addresses": [{ "Address": "10.10.0.9/24" }] } }));
    let text = "json: cannot unmarshal string into Go struct field Address.ipam.addresses.Address of type net.IPNet";
    assert_eq!(c1.add(&config), refused(text));
}
