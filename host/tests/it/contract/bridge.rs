//! Checks 1 to 11 and 51: the bridge itself, addresses, gateways and routes.

use serde_json::{Value, json};

use super::{Container, bridge, fixed, gateway, host_local, plugin, refused, with};
use crate::machine::{Machine, addresses, script};

#[test]
fn check_01_a_gateway_and_an_address() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let result = c1.add(&gateway(json!({}))).unwrap();
    let br0 = &machine.ip("addr show br0")[0];
    let port = &machine.ip("link show master br0")[0];
    let eth0 = &c1.ip("addr show eth0")[0];
    assert_eq!(
        result,
        json!({
            "cniVersion": "1.0.0",
            "interfaces": [
                { "name": "br0", "mac": br0["address"] },
                { "name": port["ifname"], "mac": port["address"] },
                { "name": "eth0", "mac": eth0["address"], "sandbox": "/run/netns/c1" },
            ],
            "ips": [{ "address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 2 }],
        })
    );
    assert_eq!((br0["operstate"].as_str(), eth0["operstate"].as_str()), (Some("UP"), Some("UP")));
    assert_eq!((addresses(br0), addresses(eth0)), (vec!["10.1.0.1/24".into()], vec!["10.1.0.2/24".into()]));
    assert_eq!(machine.sysctl(None, "net/ipv4/ip_forward"), "1");
}

#[test]
fn check_02_without_ipam_there_are_only_interfaces() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    // Without IPAM nobody is a gateway.
    for config in [bridge(json!({})), bridge(json!({ "isGateway": true, "ipam": {} }))] {
        let result = c1.add(&config).unwrap();
        let members: Vec<_> = result.as_object().unwrap().keys().collect();
        assert_eq!(members, ["cniVersion", "interfaces"]);
        assert_eq!(result["interfaces"].as_array().unwrap().len(), 3);
        let eth0 = &c1.ip("addr show eth0")[0];
        assert_eq!((eth0["operstate"].as_str(), addresses(eth0)), (Some("UP"), vec![]));
        assert_eq!(addresses(&machine.ip("addr show br0")[0]), [""; 0]);
        c1.del(&config).unwrap();
    }
}

#[test]
fn check_03_no_address_does_not_go_into_an_old_result() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let reply = c1.add(&bridge(json!({ "cniVersion": "0.2.0" })));
    assert_eq!(reply, refused("cannot convert: no valid IP addresses"));
    // The reference leaves to DEL what it has made by then.
    c1.assert_clean();
}

#[test]
fn check_04_a_bridge_without_a_name_is_cni0() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let result = c1.add(&plugin("bridge", json!({}))).unwrap();
    assert_eq!(result["interfaces"][0]["name"], "cni0");
    assert_eq!(machine.ip("link show cni0")[0]["linkinfo"]["info_kind"], "bridge");
}

#[test]
fn check_05_a_link_that_is_not_a_bridge_is_refused() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let reply = c1.add(&gateway(json!({ "bridge": "lo" })));
    assert_eq!(reply, refused(r#"failed to create bridge "lo": "lo" already exists but is not a bridge"#));
    c1.assert_clean();
}

#[test]
fn check_06_the_mtu_is_the_pair_s_and_a_new_bridge_s() {
    // Unless it was set, the kernel lets a bridge's follow its ports'.
    for (before, of_bridge) in [("true", 1400), ("ip link add br0 type bridge; ip link set br0 mtu 1300", 1300)] {
        let machine = Machine::new();
        script(&machine, before);
        let c1 = Container::new(&machine, "c1");
        c1.add(&gateway(json!({ "mtu": 1400 }))).unwrap();
        let mtu = |link: Value| link[0]["mtu"].as_u64().unwrap();
        assert_eq!(mtu(machine.ip("link show master br0")), 1400);
        assert_eq!(mtu(c1.ip("link show eth0")), 1400);
        assert_eq!(mtu(machine.ip("link show br0")), of_bridge, "{before}");
    }
}

/// The gateways of the default routes of `eth0`, IPv4 and IPv6.
fn default_gateways(container: &Container<'_>) -> [Vec<String>; 2] {
    ["-4", "-6"].map(|family| {
        let routes = container.ip(&format!("{family} route show default"));
        let routes = routes.as_array().unwrap().iter();
        routes.filter(|route| route["dev"] == "eth0").map(|route| route["gateway"].as_str().unwrap().into()).collect()
    })
}

#[test]
fn check_07_a_default_gateway_of_both_families() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let members = json!({ "isGateway": false, "isDefaultGateway": true,
        "ipam": host_local(&["10.1.0.0/24", "fd00:10::/64"]) });
    let result = c1.add(&gateway(members)).unwrap();
    let routes = json!([{ "dst": "0.0.0.0/0", "gw": "10.1.0.1" }, { "dst": "::/0", "gw": "fd00:10::1" }]);
    assert_eq!(result["routes"], routes);
    assert_eq!(default_gateways(&c1), [["10.1.0.1"], ["fd00:10::1"]]);
    assert_eq!(addresses(&machine.ip("addr show br0")[0]), ["10.1.0.1/24", "fd00:10::1/64"]);
}

#[test]
fn check_08_ipam_s_default_route_takes_precedence() {
    // One without a gateway is as good: the reference adds the same route twice
    // then, and fails.
    for (route, gateway_of_route) in
        [(json!({ "dst": "0.0.0.0/0", "gw": "10.1.0.254" }), "10.1.0.254"), (json!({ "dst": "0.0.0.0/0" }), "10.1.0.1")]
    {
        let machine = Machine::new();
        let c1 = Container::new(&machine, "c1");
        let ipam = with(&host_local(&["10.1.0.0/24"]), json!({ "routes": [route] }));
        let result = c1.add(&gateway(json!({ "isDefaultGateway": true, "ipam": ipam }))).unwrap();
        assert_eq!(result["routes"], json!([route]));
        assert_eq!(default_gateways(&c1), [vec![gateway_of_route.to_owned()], vec![]]);
    }
}

/// The network `n2` on the same bridge.
fn second(subnet: &str, members: Value) -> Value {
    with(&gateway(json!({ "name": "n2", "ipam": host_local(&[subnet]) })), members)
}

#[test]
fn check_09_a_conflicting_address_is_refused_and_the_ip_released() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let c2 = Container::new(&machine, "c2");
    c1.add(&gateway(json!({}))).unwrap();
    let devices = machine.devices("");
    let reply = c2.add(&second("10.2.0.0/24", json!({})));
    let text = r#"failed to set bridge addr: "br0" already has an IP address different from 10.2.0.1/24"#;
    assert_eq!(reply, refused(text));
    assert_eq!(machine.leases("n2"), [""; 0]);
    assert_eq!(addresses(&machine.ip("addr show br0")[0]), ["10.1.0.1/24"]);
    // The reference leaves the pair to DEL.
    assert_eq!((machine.devices(""), machine.devices("-n c2 ")), (devices, vec!["lo".into()]));
}

#[test]
fn check_10_force_address_replaces_the_old_one() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let c2 = Container::new(&machine, "c2");
    c1.add(&gateway(json!({}))).unwrap();
    c2.add(&second("10.2.0.0/24", json!({ "forceAddress": true }))).unwrap();
    assert_eq!(addresses(&machine.ip("addr show br0")[0]), ["10.2.0.1/24"]);
}

#[test]
fn check_11_gateways_of_ipv6_conflict_only_if_their_subnets_overlap() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let c2 = Container::new(&machine, "c2");
    c1.add(&gateway(json!({ "ipam": host_local(&["fd00:1::/64", "fd00:2::/64"]) }))).unwrap();
    let of_bridge = || {
        let mut all = addresses(&machine.ip("addr show br0")[0]);
        all.sort();
        all
    };
    assert_eq!(of_bridge(), ["fd00:1::1/64", "fd00:2::1/64"]);
    assert_eq!(machine.sysctl(None, "net/ipv6/conf/all/forwarding"), "1");
    let text = r#"failed to set bridge addr: "br0" already has an IP address different from fd00:1::1/48"#;
    assert_eq!(c2.add(&second("fd00:1::/48", json!({}))), refused(text));
    assert_eq!((of_bridge(), machine.leases("n2")), (vec!["fd00:1::1/64".into(), "fd00:2::1/64".into()], vec![]));
}

/// The only route to a destination, in any table.
fn route(container: &Container<'_>, dst: &str) -> Value {
    let routes = container.ip(&format!("route show table all {dst}"));
    assert_eq!(routes.as_array().unwrap().len(), 1, "{dst}: {routes}");
    routes[0].clone()
}

#[test]
fn check_51_routes_have_their_priority_table_and_mtu() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let routes = json!([
        { "dst": "10.8.0.0/16", "priority": 50 },
        { "dst": "10.9.0.0/16", "table": 100, "gw": "10.1.0.9" },
        { "dst": "10.10.0.0/16", "mtu": 1400, "advmss": 1360 },
    ]);
    let ipam = with(&fixed("10.1.0.5/24", Some("10.1.0.1")), json!({ "routes": routes }));
    let result = c1.add(&gateway(json!({ "ipam": ipam }))).unwrap();
    assert_eq!(result["routes"], routes);
    // The reference has MTU and MSS in the result only.
    let metrics = json!([{ "mtu": 1400, "advmss": 1360 }]);
    for (dst, table, gateway, metric, metrics) in [
        ("10.8.0.0/16", "main", "10.1.0.1", Some(50), None),
        ("10.9.0.0/16", "100", "10.1.0.9", None, None),
        ("10.10.0.0/16", "main", "10.1.0.1", None, Some(&metrics)),
    ] {
        let route = route(&c1, dst);
        assert_eq!((&route["table"], &route["gateway"]), (&json!(table), &json!(gateway)));
        assert_eq!(route.get("metric"), metric.map(Value::from).as_ref());
        assert_eq!(route.get("metrics"), metrics);
    }
    // Each where it is, unlike the reference's CHECK, which looks into the main table alone.
    let config = gateway(json!({ "ipam": ipam }));
    assert_eq!(c1.check(&config, &result), Ok(Value::Null));
    script(&machine, "ip -n c1 route del 10.9.0.0/16 table 100");
    let text = "Expected Route {Dst:{IP:10.9.0.0 Mask:ffff0000} GW:10.1.0.9 MTU:0 AdvMSS:0 Priority:0 Table:100 \
                Scope:<nil>} not found in routing table";
    assert_eq!(c1.check(&config, &result), refused(text));
}
