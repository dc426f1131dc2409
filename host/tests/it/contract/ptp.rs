//! Checks 38 to 40: `ptp`. That both ends reach each other is seen in
//! `traffic.rs`.

use std::iter;

use serde_json::{Value, json};

use super::{
    Container,
    bridge_filters::{IPTABLES, rules, saved},
    fixed, host_local, msg, plugin, refused, with,
};
use crate::machine::{Machine, addresses, installed, script};

/// Addresses of both families, where nothing else is said.
fn ptp(members: Value) -> Value {
    with(&plugin("ptp", json!({ "ipam": host_local(&["10.1.0.0/24", "fd00:10::/64"]) })), members)
}

/// The main table's routes of a device, but for link-local addresses: how `ip
/// route` would have them added.
fn routes(machine: &Machine, of: &str, dev: &str) -> Vec<String> {
    let families = ["-4", "-6"].map(|family| machine.ip(&format!("{of}{family} route show dev {dev}")));
    let all = families.iter().flat_map(|routes| routes.as_array().unwrap());
    let members = ["gateway", "prefsrc", "scope", "protocol"];
    let line = |route: &Value| {
        let said = members.iter().filter_map(|key| Some(format!("{key} {}", route.get(key)?.as_str()?)));
        iter::once(route["dst"].as_str().unwrap().to_owned()).chain(said).collect::<Vec<_>>().join(" ")
    };
    all.map(line).filter(|line| !line.starts_with("fe80::")).collect()
}

#[test]
fn check_38_routes_of_both_ends() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let result = c1.add(&ptp(json!({}))).unwrap();
    let port = result["interfaces"][0]["name"].as_str().unwrap();
    let (host_end, eth0) = (&machine.ip(&format!("addr show {port}"))[0], &c1.ip("addr show eth0")[0]);
    assert_eq!(
        result,
        json!({
            "cniVersion": "1.0.0",
            "interfaces": [
                { "name": port, "mac": host_end["address"] },
                { "name": "eth0", "mac": eth0["address"], "sandbox": "/run/netns/c1" },
            ],
            "ips": [
                { "address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 1 },
                { "address": "fd00:10::2/64", "gateway": "fd00:10::1", "interface": 1 },
            ],
        })
    );
    assert_eq!(addresses(eth0), ["10.1.0.2/24", "fd00:10::2/64"]);
    assert_eq!(addresses(host_end), ["10.1.0.1/32", "fd00:10::1/128"]);
    // None is the kernel's. IPv6 has no scopes of routes.
    assert_eq!(
        routes(&machine, "-n c1 ", "eth0"),
        [
            "10.1.0.0/24 gateway 10.1.0.1 prefsrc 10.1.0.2 scope global protocol boot",
            "10.1.0.1 prefsrc 10.1.0.2 scope link protocol boot",
            "fd00:10::1 prefsrc fd00:10::2 scope global protocol boot",
            "fd00:10::/64 gateway fd00:10::1 prefsrc fd00:10::2 scope global protocol boot",
        ]
    );
    // The kernel's route is to the end's own address.
    assert_eq!(
        routes(&machine, "", port),
        [
            "10.1.0.2 scope host protocol boot",
            "fd00:10::1 scope global protocol kernel",
            "fd00:10::2 scope global protocol boot",
        ]
    );
}

#[test]
fn check_39_mtu_dns_forwarding_and_check() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let resolv_conf = machine.folder().join("resolv.conf");
    script(&machine, &format!("echo nameserver 10.0.0.53 >{}", resolv_conf.display()));
    let ipam = with(
        &host_local(&["10.1.0.0/24", "fd00:10::/64"]),
        json!({ "resolvConf": resolv_conf, "routes": [{ "dst": "0.0.0.0/0" }] }),
    );
    let config = ptp(json!({ "mtu": 1400, "ipam": ipam }));
    let result = c1.add(&config).unwrap();
    assert_eq!(result["dns"], json!({ "nameservers": ["10.0.0.53"] }));
    let port = result["interfaces"][0]["name"].as_str().unwrap();
    assert_eq!(machine.ip(&format!("link show {port}"))[0]["mtu"], 1400);
    assert_eq!(c1.ip("link show eth0")[0]["mtu"], 1400);
    for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
        assert_eq!(machine.sysctl(None, key), "1");
    }
    assert_eq!(c1.check(&config, &result), Ok(Value::Null));
    script(&machine, "ip -n c1 route del default");
    assert!(msg(c1.check(&config, &result)).starts_with("Expected Route {Dst:{IP:0.0.0.0 Mask:00000000} "));
    script(&machine, "ip -n c1 link del eth0");
    let text = "ptp: Container Interface name in prevResult: eth0 not found";
    assert!(msg(c1.check(&config, &result)).contains(text));
    c1.del(&config).unwrap();

    let own = json!({ "domain": "d.example" });
    assert_eq!(c1.add(&with(&config, json!({ "dns": own }))).unwrap()["dns"], own);
    for _ in 0..2 {
        c1.del(&config).unwrap();
        c1.assert_clean();
    }
}

/// How many rules a backend has of attachments.
fn masquerades(machine: &Machine, backend: &str) -> usize {
    match backend {
        "nftables" => rules(machine).len(),
        _ => ["iptables-save", "ip6tables-save"].map(|program| saved(machine, program).len()).iter().sum(),
    }
}

#[test]
fn check_39_del_removes_the_masquerade() {
    for (backend, programs, count) in [("nftables", &["nft"][..], 2), ("iptables", &IPTABLES, 8)] {
        if !installed(programs) {
            continue;
        }
        // The reference leaves it where the link or the namespace is gone.
        for (netns, before) in [
            ("/run/netns/c1", "true"),
            ("/run/netns/c1", "ip -n c1 link del eth0"),
            ("/run/netns/gone", "true"),
            ("", "true"),
        ] {
            let machine = Machine::new();
            let c1 = Container::new(&machine, "c1");
            let config = ptp(json!({ "ipMasq": true, "ipMasqBackend": backend }));
            c1.add(&config).unwrap();
            assert_eq!(masquerades(&machine, backend), count, "{backend}");
            script(&machine, before);
            for _ in 0..2 {
                c1.with("CNI_NETNS", netns).del(&config).unwrap();
                assert_eq!((masquerades(&machine, backend), machine.leases("n1")), (0, vec![]), "{backend}, {netns:?}");
            }
        }
    }
}

#[test]
fn check_40_it_needs_a_gateway() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let text = "failed to add IP addr (&net.IPNet{IP:net.IP(nil), Mask:net.IPMask{0xff, 0xff, 0xff, 0xff}}) to veth: \
                numerical result out of range";
    assert_eq!(c1.add(&ptp(json!({ "ipam": fixed("10.1.0.5/24", None) }))), refused(text));
    c1.assert_clean();
}
