//! Checks 12 to 17 and 24 to 31: ports and their VLANs, MACs, sysctls, and many
//! containers of one bridge.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Container, bridge, eventually, fixed, gateway, host_local, msg, plugin, refused};
use crate::machine::{Machine, addresses, script};

/// What the kernel says of the only port of `br0`.
fn port(machine: &Machine) -> Value {
    let ports = machine.ip("link show master br0");
    assert_eq!(ports.as_array().unwrap().len(), 1, "{ports}");
    ports[0]["linkinfo"]["info_slave_data"].clone()
}

fn has_flag(link: &Value, flag: &str) -> bool {
    link["flags"].as_array().unwrap().contains(&flag.into())
}

#[test]
fn check_12_hairpin_is_the_port_s_promiscuous_mode_the_bridge_s() {
    for (members, hairpin, promiscuous) in [
        (json!({}), false, false),
        (json!({ "hairpinMode": true }), true, false),
        (json!({ "promiscMode": true }), false, true),
    ] {
        let machine = Machine::new();
        Container::new(&machine, "c1").add(&gateway(members)).unwrap();
        assert_eq!(port(&machine)["hairpin"], hairpin);
        assert_eq!(has_flag(&machine.ip("link show br0")[0], "PROMISC"), promiscuous);
    }
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let reply = c1.add(&gateway(json!({ "hairpinMode": true, "promiscMode": true })));
    assert_eq!(reply, refused("cannot set hairpin mode and promiscuous mode at the same time"));
    c1.assert_clean();
}

#[test]
fn check_13_an_isolated_port() {
    for isolated in [true, false] {
        let machine = Machine::new();
        Container::new(&machine, "c1").add(&gateway(json!({ "portIsolation": isolated }))).unwrap();
        assert_eq!(port(&machine)["isolated"], isolated);
    }
}

#[test]
fn check_14_the_container_s_interface_may_stay_down() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let down = json!({ "disableContainerInterface": true });
    let result = c1.add(&bridge(down.clone())).unwrap();
    assert_eq!(result["interfaces"].as_array().unwrap().len(), 3);
    let eth0 = &c1.ip("link show eth0")[0];
    assert!(eth0["operstate"] == "DOWN" && !has_flag(eth0, "UP"), "{eth0}");
    c1.del(&bridge(down.clone())).unwrap();
    let reply = c1.add(&gateway(down));
    assert_eq!(reply, refused("cannot use IPAM when DisableContainerInterface flag is set"));
    assert_eq!(machine.devices("-n c1 "), ["lo"]);
}

#[test]
fn check_15_precedence_of_macs() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1").with("CNI_ARGS", "MAC=02:00:00:00:00:01");
    for (members, mac) in [
        (json!({}), "02:00:00:00:00:01"),
        (json!({ "args": { "cni": { "mac": "02:00:00:00:00:02" } } }), "02:00:00:00:00:02"),
        (
            json!({ "args": { "cni": { "mac": "02:00:00:00:00:02" } }, "runtimeConfig": { "mac": "02:00:00:00:00:03" } }),
            "02:00:00:00:00:03",
        ),
    ] {
        let config = bridge(members);
        let result = c1.add(&config).unwrap();
        assert_eq!(result["interfaces"][2]["mac"], mac);
        assert_eq!(c1.ip("link show eth0")[0]["address"], mac);
        assert_ne!(machine.ip("link show master br0")[0]["address"], mac);
        c1.del(&config).unwrap();
    }
}

#[test]
fn check_16_a_mac_is_unknown_to_host_local() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let reply = c1.with("CNI_ARGS", "MAC=02:00:00:00:00:01").add(&gateway(json!({})));
    assert_eq!(reply, refused(r#"ARGS: unknown args ["MAC=02:00:00:00:00:01"]"#));
    c1.assert_clean();
    let lenient = c1.with("CNI_ARGS", "MAC=02:00:00:00:00:01;IgnoreUnknown=1");
    assert_eq!(lenient.add(&gateway(json!({}))).unwrap()["interfaces"][2]["mac"], "02:00:00:00:00:01");
}

#[test]
fn check_17_invalid_arguments() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    for (args, text) in [
        ("mac=02:00:00:00:00:01", r#"ARGS: unknown args ["mac=02:00:00:00:00:01"]"#),
        ("A=b;MAC=02:00:00:00:00:01;C=d", r#"ARGS: unknown args ["A=b" "C=d"]"#),
        ("MAC", r#"ARGS: invalid pair "MAC""#),
        ("MAC=zz", "failed to make veth pair: address zz: invalid MAC address"),
    ] {
        assert_eq!(c1.with("CNI_ARGS", args).add(&bridge(json!({}))), refused(text));
        c1.assert_clean();
    }
    c1.add(&bridge(json!({}))).unwrap();
    assert_eq!(c1.with("CNI_ARGS", "MAC").del(&bridge(json!({}))), refused(r#"ARGS: invalid pair "MAC""#));
}

#[test]
fn check_24_a_duplicate_address_is_detected() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let c2 = Container::new(&machine, "c2");
    let config = gateway(json!({ "enabledad": true, "ipam": fixed("fd00:10::5/64", Some("fd00:10::1")) }));
    c1.add(&config).unwrap();
    assert_eq!(c1.sysctl("net/ipv6/conf/eth0/accept_dad"), "1");
    assert_eq!(c1.sysctl("net/ipv6/conf/eth0/enhanced_dad"), "1");
    let text = r#"failed to settle addresses for "eth0": link eth0 has address fd00:10::5 in DADFAILED state"#;
    assert_eq!(c2.add(&config), refused(text));
    // The reference leaves the pair to DEL.
    assert_eq!(machine.devices("-n c2 "), ["lo"]);
}

#[test]
fn check_25_no_waiting_without_duplicate_address_detection() {
    let machine = Machine::new();
    let config = gateway(json!({ "ipam": host_local(&["fd00:10::/64"]) }));
    // The machine may be busy with something else for once.
    let is_fast = |i: u8| {
        let container = Container::new(&machine, &format!("c{i}"));
        let start = Instant::now();
        container.add(&config).unwrap();
        let taken = start.elapsed();
        let eth0 = &container.ip("addr show eth0")[0];
        let address = eth0["addr_info"].as_array().unwrap().iter().find(|a| a["scope"] == "global").unwrap();
        assert_eq!(address.get("tentative"), None, "{address}");
        assert_eq!(container.sysctl("net/ipv6/conf/eth0/accept_dad"), "0");
        taken < Duration::from_secs(1)
    };
    assert!((0..5).any(is_fast));
}

#[test]
fn check_26_sysctls() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let result = c1.add(&gateway(json!({ "ipam": host_local(&["10.1.0.0/24", "fd00:10::/64"]) }))).unwrap();
    assert_eq!(c1.sysctl("net/ipv4/conf/eth0/arp_notify"), "1");
    assert_eq!(c1.sysctl("net/ipv6/conf/eth0/keep_addr_on_down"), "1");
    for i in 0..2 {
        let name = result["interfaces"][i]["name"].as_str().unwrap();
        assert_eq!(machine.sysctl(None, &format!("net/ipv6/conf/{name}/accept_ra")), "0", "{name}");
    }
}

#[test]
fn check_27_ipv6_is_enabled_where_an_address_needs_it() {
    for (subnets, after) in [(&["fd00:10::/64"][..], "0"), (&["10.1.0.0/24"], "1")] {
        let machine = Machine::new();
        let c1 = Container::new(&machine, "c1");
        script(&machine, "ip netns exec c1 sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
        c1.add(&gateway(json!({ "ipam": host_local(subnets) }))).unwrap();
        let disabled = |name: &str| c1.sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6"));
        assert_eq!(["eth0", "lo", "all", "default"].map(disabled), [after, after, "1", "1"]);
    }
}

#[test]
fn check_28_invalid_vlans() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let missing = |what| format!("minID and maxID should be configured simultaneously, {what} is missing");
    let trunk = |trunk: Value| json!({ "vlanTrunk": [trunk] });
    for (members, text) in [
        (json!({ "vlan": 4095 }), "invalid VLAN ID 4095 (must be between 0 and 4094)".to_owned()),
        (json!({ "vlan": -1 }), "invalid VLAN ID -1 (must be between 0 and 4094)".to_owned()),
        (trunk(json!({ "minID": 0, "maxID": 5 })), "incorrect trunk minID parameter".to_owned()),
        (trunk(json!({ "minID": 4095, "maxID": 4096 })), "incorrect trunk minID parameter".to_owned()),
        (trunk(json!({ "minID": 1, "maxID": 4095 })), "incorrect trunk maxID parameter".to_owned()),
        (trunk(json!({ "minID": 1, "maxID": 0 })), "incorrect trunk maxID parameter".to_owned()),
        (trunk(json!({ "minID": 9, "maxID": 5 })), "minID is greater than maxID in trunk parameter".to_owned()),
        (trunk(json!({ "maxID": 5 })), missing("minID")),
        (trunk(json!({ "minID": 5 })), missing("maxID")),
        (trunk(json!({ "id": 0 })), "incorrect trunk id parameter".to_owned()),
        (trunk(json!({ "id": 4095 })), "incorrect trunk id parameter".to_owned()),
        (
            json!({ "vlanTrunk": [{ "id": 7 }, { "minID": 1, "maxID": 2, "id": -1 }] }),
            "incorrect trunk id parameter".to_owned(),
        ),
    ] {
        for config in [bridge(members.clone()), gateway(members.clone())] {
            assert_eq!(c1.add(&config), refused(text.clone()), "{members}");
            c1.assert_clean();
        }
    }
}

/// Why this kernel has no VLANs of bridges, if it has none.
fn no_vlan_filtering(machine: &Machine) -> Option<String> {
    let add = "ip link add probe type bridge vlan_filtering 1 && ip link del probe";
    let output = machine.command("sh").args(["-c", add]).output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// The VLANs of a port: IDs, and how `bridge` flags them.
fn vlans(machine: &Machine, port: &str) -> Value {
    let output = machine.command("bridge").args(["-json", "vlan", "show", "dev", port]).output().unwrap();
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    all[0]["vlans"].clone()
}

#[test]
fn check_29_a_vlan_of_the_bridge() {
    let probed = Machine::new();
    if let Some(reason) = no_vlan_filtering(&probed) {
        let test = thread::current();
        eprintln!("skipped: {}: {reason}", test.name().unwrap_or_default());
        let c1 = Container::new(&probed, "c1");
        for members in [json!({ "vlan": 100 }), json!({ "vlanTrunk": [{ "id": 7 }] }), json!({ "vlanTrunk": [] })] {
            let text = msg(c1.add(&gateway(members)));
            assert!(text.ends_with(": operation not supported"), "{text}");
            c1.assert_clean();
        }
        return;
    }
    let tagged = json!({ "vlan": 100, "flags": ["PVID", "Egress Untagged"] });
    let native = json!({ "vlan": 1, "flags": ["Egress Untagged"] });
    for (keep, expected) in [(false, json!([tagged])), (true, json!([native, tagged]))] {
        let machine = Machine::new();
        let c1 = Container::new(&machine, "c1");
        let config = gateway(json!({ "vlan": 100, "preserveDefaultVlan": keep }));
        let result = c1.add(&config).unwrap();
        let br0 = &machine.ip("addr show br0")[0];
        assert_eq!(br0["linkinfo"]["info_data"]["vlan_filtering"], 1);
        assert_eq!(addresses(br0), [""; 0]);
        let interfaces = result["interfaces"].as_array().unwrap();
        let own = &machine.ip("addr show br0.100")[0];
        assert_eq!((interfaces.len(), &interfaces[3]["mac"]), (4, &own["address"]));
        assert_eq!((&interfaces[3]["name"], addresses(own)), (&json!("br0.100"), vec!["10.1.0.1/24".into()]));
        assert_eq!((&own["operstate"], &own["linkinfo"]["info_kind"]), (&json!("UP"), &json!("veth")));
        for port in machine.ip("link show master br0").as_array().unwrap() {
            assert_eq!(vlans(&machine, port["ifname"].as_str().unwrap()), expected, "{port}");
        }
        assert_eq!(c1.check(&config, &result), Ok(Value::Null));
        c1.del(&config).unwrap();
    }
}

#[test]
fn check_30_the_bridge_s_mac_survives_the_coming_and_going_of_ports() {
    // A bridge that has lost its ports may have no MAC: the reference fails then.
    let zero = "ip link add br0 type bridge; ip link add v0 type veth peer name v1; \
                ip link set v0 master br0; ip link del v0";
    for before in ["true", zero] {
        let machine = Machine::new();
        script(&machine, before);
        let config = gateway(json!({}));
        let mac = || machine.ip("link show br0")[0]["address"].clone();
        let c1 = Container::new(&machine, "c1");
        let result = c1.add(&config).unwrap();
        let pinned = mac();
        assert_eq!(result["interfaces"][0]["mac"], pinned);
        assert_ne!(pinned, "00:00:00:00:00:00");
        // The lowest MAC of a port is a bridge's own, unless it was given one.
        script(&machine, "ip link add v2 address 02:00:00:00:00:01 type veth peer name v3; ip link set v2 master br0");
        assert_eq!(mac(), pinned);
        let others = ["c2", "c3"].map(|id| Container::new(&machine, id));
        for container in &others {
            container.add(&config).unwrap();
            assert_eq!(mac(), pinned);
        }
        script(&machine, "ip link del v2");
        for container in others.iter().chain([&c1]) {
            container.del(&config).unwrap();
            assert_eq!(mac(), pinned);
        }
    }
}

#[test]
fn check_31_eight_at_once_on_a_fresh_bridge() {
    let machine = Machine::new();
    let containers: Vec<_> = (0..8).map(|i| Container::new(&machine, &format!("c{i}"))).collect();
    // The first call makes the link of this name.
    containers[0].call("VERSION", &plugin("bridge", json!({}))).unwrap();
    let results: Vec<_> = thread::scope(|scope| {
        let add = |container| scope.spawn(move || Container::add(container, &gateway(json!({}))));
        let adds: Vec<_> = containers.iter().map(add).collect();
        adds.into_iter().map(|add| add.join().unwrap().unwrap()).collect()
    });
    let ips: BTreeSet<_> = results.iter().map(|result| result["ips"][0]["address"].as_str().unwrap()).collect();
    assert_eq!(ips.len(), 8);
    assert_eq!(machine.leases("n1").len(), 8);
    eventually("eight ports are up", || {
        let ports = machine.ip("link show master br0");
        ports.as_array().unwrap().iter().filter(|port| port["operstate"] == "UP").count() == 8
    });
    assert_eq!(addresses(&machine.ip("addr show br0")[0]), ["10.1.0.1/24"]);
}
