//! Checks 32 to 37: DEL, CHECK, and what ADD refuses.

use std::{collections::BTreeSet, ffi::OsString, fs};

use serde_json::{Value, json};

use super::{Container, bridge, gateway, host_local, msg, plugin, refused, with};
use crate::machine::{Machine, script};

#[test]
fn check_32_del_may_be_repeated_and_needs_no_namespace() {
    for netns in [None, Some("/run/netns/gone"), Some("")] {
        let machine = Machine::new();
        let c1 = Container::new(&machine, "c1");
        c1.add(&gateway(json!({}))).unwrap();
        assert_eq!(machine.leases("n1"), ["10.1.0.2"]);
        let call = netns.map_or(c1.clone(), |netns| c1.with("CNI_NETNS", netns));
        for _ in 0..2 {
            assert_eq!(call.del(&gateway(json!({}))), Ok(Value::Null), "{netns:?}");
            let left = fs::read_dir(machine.root().join("var/lib/cni/networks/n1")).unwrap();
            let left: BTreeSet<_> = left.map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, ["last_reserved_ip.0", "lock"].map(OsString::from).into());
            assert!(machine.devices("").contains(&"br0".to_owned()));
        }
        if netns.is_none() {
            assert_eq!((machine.devices("-n c1 "), machine.devices("").len()), (vec!["lo".into()], 2));
        }
    }
    // And what was never there.
    let machine = Machine::new();
    assert_eq!(Container::new(&machine, "c1").del(&gateway(json!({}))), Ok(Value::Null));
}

/// What CHECK says after `change`, a script in which `$port` is the host's end;
/// `<container>`, `<port>`, `<bridge>` in place of what ADD said, `<now>` of the
/// MAC that the container's interface has.
fn checked_after(change: &str) -> String {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let config = gateway(json!({ "isDefaultGateway": true }));
    let result = c1.add(&config).unwrap();
    assert_eq!(c1.check(&config, &result), Ok(Value::Null));
    let interface = |i: usize, key: &str| result["interfaces"][i][key].as_str().unwrap().to_owned();
    let port = interface(1, "name");
    let leases = machine.root().join("var/lib/cni/networks/n1");
    script(&machine, &format!("port={port}; leases={}; {change}", leases.display()));
    let text = msg(c1.check(&config, &result));
    let words = [
        (interface(0, "mac"), "<bridge's MAC>"),
        (interface(1, "mac"), "<port's MAC>"),
        (interface(2, "mac"), "<container's MAC>"),
        (port, "<port>"),
    ];
    words.iter().fold(text, |text, (given, word)| text.replace(given, word))
}

#[test]
fn check_33_check_names_what_has_changed() {
    for (change, expected) in [
        ("ip -n c1 addr del 10.1.0.2/24 dev eth0", "Failed to match addr 10.1.0.2/24 on interface eth0"),
        (
            "ip -n c1 route del default",
            "Expected Route {Dst:{IP:0.0.0.0 Mask:00000000} GW:10.1.0.1 MTU:0 AdvMSS:0 Priority:0 Table:<nil> \
             Scope:<nil>} not found in routing table",
        ),
        ("ip -n c1 link set eth0 down", "Failed to find Gateway 10.1.0.1 for interface eth0"),
        ("ip link set $port nomaster", "CNI veth created for bridge br0 was not found"),
        (
            "ip link set br0 promisc on",
            "Bridge interface br0 configured Promisc Mode false doesn't match current state: true ",
        ),
        ("ip link set br0 address 02:00:00:00:00:01", "Bridge interface br0 Mac doesn't match: <bridge's MAC>"),
        ("ip link set $port address 02:00:00:00:00:01", "Interface <port> Mac doesn't match: <port's MAC> not found"),
        (
            "ip -n c1 link set eth0 address 02:00:00:00:00:01",
            "Interface eth0 Mac <container's MAC> doesn't match container Mac: 02:00:00:00:00:01",
        ),
        ("rm $leases/10.1.0.2", "host-local: Failed to find address added by container c1"),
        ("ip link del br0", "Interface name br0 not found"),
        ("ip link del br0; ip link add br0 type veth peer name br1", "Interface br0 does not have link type of bridge"),
        (
            "ip -n c1 link del eth0; ip -n c1 link add eth0 type bridge",
            "Error: Container interface eth0 not of type veth",
        ),
    ] {
        assert_eq!(checked_after(change), expected, "{change}");
    }
}

#[test]
fn check_33_the_result_is_checked_too() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let config = gateway(json!({}));
    let result = c1.add(&config).unwrap();
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut result = result.clone();
        edit(&mut result);
        c1.check(&config, &result)
    };
    let interface = |i: usize, key: &'static str, value: &'static str| {
        edited(&|result| result["interfaces"][i][key] = value.into())
    };
    assert_eq!(interface(0, "name", "br9"), refused("Interface name missing "));
    assert_eq!(interface(0, "sandbox", "/run/netns/c1"), refused("Interface br0 should not be in sandbox"));
    let elsewhere = refused("Sandbox in prevResult  doesn't match configured netns: /run/netns/c1");
    assert_eq!(interface(2, "sandbox", "/run/netns/c2"), elsewhere);
    let address = edited(&|result| result["ips"][0]["address"] = "10.1.0.77/24".into());
    assert_eq!(address, refused("Failed to match addr 10.1.0.77/24 on interface eth0"));
    let promiscuous = c1.check(&with(&config, json!({ "promiscMode": true })), &result);
    let text = "Bridge interface br0 configured Promisc Mode true doesn't match current state: false ";
    assert_eq!(promiscuous, refused(text));
}

#[test]
fn check_33_on_layer_two_there_is_no_ipam_to_ask() {
    // The reference says `no plugin name provided`.
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let result = c1.add(&bridge(json!({}))).unwrap();
    assert_eq!(c1.check(&bridge(json!({})), &result), Ok(Value::Null));
}

#[test]
fn check_34_check_needs_a_version_and_a_result() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let result = c1.add(&gateway(json!({}))).unwrap();
    let old = gateway(json!({ "cniVersion": "0.3.1" }));
    assert_eq!(c1.check(&old, &result), Err((1, "config version does not allow CHECK".into())));
    assert_eq!(c1.call("CHECK", &gateway(json!({}))), refused("Required prevResult missing"));
}

#[test]
fn check_35_an_interface_that_exists_is_left_alone() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    script(&machine, "ip -n c1 link add eth0 address 02:00:00:00:00:01 type bridge");
    let before = c1.ip("link show eth0");
    let text = msg(c1.add(&gateway(json!({}))));
    let (start, end) = (r#"container veth name ("eth0") peer provided ("veth"#, r#"") already exists"#);
    let name = text.strip_prefix(start).and_then(|rest| rest.strip_suffix(end)).unwrap_or_else(|| panic!("{text}"));
    assert!(name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    assert_eq!(c1.ip("link show eth0"), before);
    assert_eq!((machine.devices(""), machine.leases("n1")), (vec!["lo".into()], vec![]));
}

#[test]
fn check_36_an_exhausted_range_has_ipam_s_message() {
    let machine = Machine::new();
    let [c1, c2] = ["c1", "c2"].map(|id| Container::new(&machine, id));
    let config = gateway(json!({ "ipam": host_local(&["10.1.0.0/30"]) }));
    c1.add(&config).unwrap();
    let devices = machine.devices("");
    let text = "failed to allocate for range 0: no IP addresses available in range set: 10.1.0.1-10.1.0.2";
    for _ in 0..2 {
        assert_eq!(c2.add(&config), refused(text));
        // The reference leaves the pair to DEL, and the second ADD fails of it.
        assert_eq!((machine.devices("-n c2 "), machine.devices("")), (vec!["lo".into()], devices.clone()));
    }
    c2.del(&config).unwrap();
    c1.del(&config).unwrap();
    assert_eq!(machine.leases("n1"), [""; 0]);
    assert_eq!(c2.add(&config).unwrap()["ips"][0]["address"], "10.1.0.2/30");
}

#[test]
fn check_37_an_ipam_plugin_that_is_not_there() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1").with("CNI_PATH", "/p:/q");
    for (kind, text) in [
        ("nope", r#"failed to find plugin "nope" in path [/p /q]"#),
        ("../host-local", "invalid plugin name: ../host-local"),
    ] {
        let config = plugin("bridge", json!({ "cniVersion": "1.1.0", "ipam": { "type": kind } }));
        for command in ["ADD", "STATUS"] {
            assert_eq!(c1.call(command, &config), refused(text), "{command}");
        }
        c1.assert_clean();
    }
}
