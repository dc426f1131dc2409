//! `sbr` beside the reference's.

use serde_json::{Value, json};

use super::{
    attach_and_detach,
    corpus::{Case, merge, raw},
    each, reference, refuse,
};

/// `eth0` with addresses in three networks and without one from its MAC, `eth1` with one.
const LINKS: &str = "for i in 0 1; do ip link add w$i type veth peer name eth$i netns c1; ip link set w$i up; \
     ip netns exec c1 sysctl -qw net.ipv6.conf.eth$i.addr_gen_mode=1; ip -n c1 link set eth$i up; done; \
     ip -n c1 addr add 10.1.0.2/24 dev eth0; ip -n c1 addr add 10.1.0.3/24 dev eth0; ip -n c1 addr add 10.2.0.2/24 dev eth0; ip -n c1 addr add 10.3.0.2/24 dev eth1; \
     ip -n c1 addr add fd00:10::2/64 dev eth0 nodad; ip -n c1 addr add fd00:30::2/64 dev eth1 nodad; \
     until [ $(ip -n c1 -6 route | grep -c ^fd00) = 2 ]; do sleep 0.1; done; ";

/// The same with routes besides.
const ROUTES: &str = "for i in 0 1; do ip link add w$i type veth peer name eth$i netns c1; ip link set w$i up; \
     ip netns exec c1 sysctl -qw net.ipv6.conf.eth$i.addr_gen_mode=1; ip -n c1 link set eth$i up; done; \
     ip -n c1 addr add 10.1.0.2/24 dev eth0; ip -n c1 addr add 10.1.0.3/24 dev eth0; ip -n c1 addr add 10.2.0.2/24 dev eth0; ip -n c1 addr add 10.3.0.2/24 dev eth1; \
     ip -n c1 addr add fd00:10::2/64 dev eth0 nodad; ip -n c1 addr add fd00:30::2/64 dev eth1 nodad; \
     until [ $(ip -n c1 -6 route | grep -c ^fd00) = 2 ]; do sleep 0.1; done; \
     ip -n c1 route add default via 10.1.0.1; ip -n c1 route add 10.9.0.0/16 via 10.2.0.1 metric 7; \
     ip -n c1 route add 10.8.0.0/16 dev eth0 src 10.2.0.2; ip -n c1 route add 10.7.0.0/16 dev eth0 mtu 1300; \
     ip -n c1 route add 10.6.0.0/16 dev eth1; ip -n c1 route add blackhole 10.5.0.0/16; \
     ip -n c1 -6 route add default via fd00:10::1; ip -n c1 -6 route add fd09::/48 via fd00:10::9 metric 50; ";

/// An address of `eth0`, or of `eth1`.
fn ip(address: &str, gateway: Option<&str>, interface: Option<u32>) -> Value {
    let mut ip = json!({ "address": address, "interface": interface });
    if let Some(gateway) = gateway {
        ip["gateway"] = json!(gateway);
    }
    ip
}

fn sbr(name: &'static str, ips: Value, members: Value) -> Case {
    let interfaces =
        json!([{ "name": "eth0", "sandbox": "/run/netns/c1" }, { "name": "eth1", "sandbox": "/run/netns/c1" }]);
    let prev = json!({ "cniVersion": "1.1.0", "interfaces": interfaces, "ips": ips });
    let config = json!({ "cniVersion": "1.1.0", "name": "n1", "type": "sbr", "prevResult": prev });
    raw("sbr", name, merge(config, members).to_string()).after(LINKS)
}

fn v4() -> Value {
    json!([ip("10.1.0.2/24", Some("10.1.0.1"), Some(0))])
}

fn both_families() -> Value {
    json!([ip("10.1.0.2/24", Some("10.1.0.1"), Some(0)), ip("fd00:10::2/64", Some("fd00:10::1"), Some(0))])
}

/// Both succeed.
#[rustfmt::skip]
fn good() -> Vec<Case> {
    let mut cases = vec![
        sbr("IPv4", v4(), json!({})),
        sbr("IPv6", json!([ip("fd00:10::2/64", Some("fd00:10::1"), Some(0))]), json!({})),
        sbr("dual stack", both_families(), json!({})),
        sbr("no gateway", json!([ip("10.1.0.2/24", None, Some(0))]), json!({})),
        sbr("of two networks", json!([ip("10.1.0.2/24", Some("10.1.0.1"), Some(0)), ip("10.2.0.2/24", Some("10.2.0.1"), Some(0))]), json!({})),
        sbr("two of a network", json!([ip("10.1.0.2/24", Some("10.1.0.1"), Some(0)), ip("10.1.0.3/24", Some("10.1.0.1"), Some(0))]), json!({})),
        sbr("without an index", json!([ip("10.1.0.2/24", Some("10.1.0.1"), None)]), json!({})),
        sbr("others' addresses", json!([ip("10.3.0.2/24", Some("10.3.0.1"), Some(1)), ip("10.1.0.2/24", None, Some(0))]), json!({})),
        sbr("none of its own", json!([ip("10.3.0.2/24", Some("10.3.0.1"), Some(1))]), json!({})),
        sbr("of another interface", json!([ip("10.3.0.2/24", Some("10.3.0.1"), Some(1))]), json!({})).env("CNI_IFNAME", "eth1"),
        sbr("with routes", both_families(), json!({})).after(ROUTES),
        sbr("with routes, of all networks", json!([
            ip("10.1.0.2/24", Some("10.1.0.1"), Some(0)), ip("10.2.0.2/24", None, Some(0)), ip("fd00:10::2/64", None, Some(0)),
        ]), json!({})).after(ROUTES),
        sbr("a table", both_families(), json!({ "table": 5000 })).after(ROUTES),
        sbr("the main table", v4(), json!({ "table": 254 })),
        sbr("keys in upper case", v4(), json!({ "TABLE": 7, "unknown": 1 })),
    ];
    for version in ["0.3.1", "0.4.0", "1.0.0"] {
        let mut config: Value = serde_json::from_str(&sbr(version, both_families(), json!({})).config).unwrap();
        config["cniVersion"] = json!(version);
        config["prevResult"]["cniVersion"] = json!(version);
        if version != "1.0.0" {
            config["prevResult"]["ips"][0]["version"] = json!("4");
            config["prevResult"]["ips"][1]["version"] = json!("6");
        }
        cases.push(raw("sbr", version, config.to_string()).after(ROUTES));
    }
    cases
}

/// Both fail, and ours leaves nothing.
fn bad() -> Vec<Case> {
    vec![
        raw("sbr", "not in a list", json!({ "cniVersion": "1.1.0", "name": "n1", "type": "sbr" }).to_string()),
        sbr("no addresses", json!([]), json!({})),
        sbr("no such interface", v4(), json!({})).env("CNI_IFNAME", "eth7"),
        sbr("an unreachable gateway", json!([ip("10.1.0.2/24", Some("10.77.0.1"), Some(0))]), json!({})),
        sbr("a table as a text", v4(), json!({ "table": "x" })),
    ]
}

#[test]
fn ours_does_what_the_reference_does() {
    let Some(reference) = reference() else { return };
    each(&good(), |case| attach_and_detach(&reference, case));
}

#[test]
fn ours_refuses_what_the_reference_refuses_and_leaves_nothing() {
    let Some(reference) = reference() else { return };
    each(&bad(), |case| refuse(&reference, case));
}
