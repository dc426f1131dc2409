//! IPv6: usable when ADD is done, on a machine whose sysctls are read-only, and said where it is switched off.

use serde_json::{Value, json};

use super::{Container, answers, bridge, gateway, host_local, msg, plugin, with};
use crate::machine::{Machine, script};

/// The addresses of the host's link that are not usable yet.
fn tentative(machine: &Machine, link: &str) -> Vec<Value> {
    let found = machine.ip(&format!("-6 addr show dev {link} scope global"));
    let all = found[0]["addr_info"].as_array().unwrap().clone();
    assert!(!all.is_empty(), "{link} has no address of IPv6");
    all.into_iter().filter(|address| address.get("tentative").is_some()).collect()
}

#[test]
fn the_gateway_answers_when_add_is_done() {
    let existing = "ip link add br0 type bridge; ip link set br0 up";
    for before in ["true", existing] {
        let machine = Machine::new();
        script(&machine, before);
        let c1 = Container::new(&machine, "c1");
        c1.add(&gateway(json!({ "ipam": host_local(&["10.1.0.0/24", "fd00:9::/64"]) }))).unwrap();
        assert_eq!(tentative(&machine, "br0"), [Value::Null; 0], "{before}");
        assert!(answers(&machine, "c1", "fd00:9::1"), "{before}");
    }
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let result = c1.add(&plugin("ptp", json!({ "ipam": host_local(&["10.1.0.0/24", "fd00:9::/64"]) }))).unwrap();
    assert_eq!(tentative(&machine, result["interfaces"][0]["name"].as_str().unwrap()), [Value::Null; 0]);
}

/// Also where duplicate addresses are looked for, on the container's end.
#[test]
fn a_new_bridge_has_nobody_to_ask_for_duplicates() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    c1.add(&gateway(json!({ "enabledad": true, "ipam": host_local(&["fd00:9::/64"]) }))).unwrap();
    assert_eq!(tentative(&machine, "br0"), [Value::Null; 0]);
    assert_eq!(machine.sysctl(None, "net/ipv6/conf/br0/accept_dad"), "1");
}

const READ_ONLY: &str = "mount --rbind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys";

#[test]
fn sysctls_that_are_so_already_may_be_read_only() {
    let machine = Machine::new();
    script(&machine, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    script(&machine, READ_ONLY);
    for (i, subnets) in [&["fd00:5::/64"][..], &["10.1.0.0/24", "fd00:5::/64"]].iter().enumerate() {
        for config in [
            gateway(json!({ "bridge": format!("br{i}"), "ipam": host_local(subnets) })),
            plugin("ptp", json!({ "ipam": host_local(subnets) })),
        ] {
            let id = format!("c{i}{}", config["type"].as_str().unwrap());
            let container = Container::new(&machine, &id);
            let result = container.add(&config).unwrap();
            assert_eq!(container.check(&config, &result), Ok(Value::Null));
            container.del(&config).unwrap();
        }
    }
}

#[test]
fn a_sysctl_that_can_not_be_written_is_named_by_its_file() {
    let machine = Machine::new();
    script(&machine, READ_ONLY);
    let c1 = Container::new(&machine, "c1");
    let file = "open /proc/sys/net/ipv4/ip_forward: read-only file system";
    assert_eq!(msg(c1.add(&gateway(json!({})))), format!("failed to enable forwarding: {file}"));
    let ptp = plugin("ptp", json!({ "ipam": host_local(&["10.1.0.0/24"]) }));
    assert_eq!(msg(c1.add(&ptp)), format!("Could not enable IP forwarding: {file}"));
    c1.assert_clean();
}

#[test]
fn that_ipv6_is_off_is_said() {
    let v6 = |kind: &str| {
        let config = plugin(kind, json!({ "isGateway": true, "ipam": host_local(&["fd00:1::/64"]) }));
        if kind == "bridge" { with(&config, json!({ "bridge": "br0" })) } else { config }
    };
    // ipv6.disable=1, as far as it can be played.
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    script(&machine, "mount -t tmpfs -o ro t /proc/sys/net/ipv6");
    let off = "open /proc/sys/net/ipv6/conf/all/forwarding: no such file or directory: \
               IPv6 is switched off in this kernel (ipv6.disable=1)";
    assert_eq!(msg(c1.add(&v6("bridge"))), format!("failed to enable forwarding: {off}"));
    assert_eq!(msg(c1.add(&v6("ptp"))), format!("Could not enable IP forwarding: {off}"));

    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    script(&machine, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
    let text = "failed to set bridge addr: could not add IP address fd00:1::1/64 to \"br0\": permission denied: \
                IPv6 is switched off on \"br0\" (net.ipv6.conf.br0.disable_ipv6=1)";
    assert_eq!(msg(c1.add(&v6("bridge"))), text);
    let said = msg(c1.add(&v6("ptp")));
    assert!(said.ends_with(".disable_ipv6=1)"), "{said}");
    c1.assert_clean();
    let doctor = machine.wasm_cni(&["doctor"]).output().unwrap();
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.contains("net.ipv6.conf.default.disable_ipv6=1"), "{doctor}");
    // What IPv4 needs is there.
    c1.add(&bridge(json!({ "isGateway": true, "ipam": host_local(&["10.1.0.0/24"]) }))).unwrap();
}

/// An MTU below 1280 is none for IPv6.
#[test]
fn an_mtu_that_is_too_small_for_ipv6_is_said() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let said = msg(c1.add(&gateway(json!({ "mtu": 1000, "ipam": host_local(&["fd00:1::/64"]) }))));
    assert!(said.contains("with an MTU of 1000, below 1280, \"eth0\" has no IPv6"), "{said}");
    c1.assert_clean();
}
