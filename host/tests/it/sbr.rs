//! `sbr`: checks 35 and 36 of its contract, and what the reference does not do, called as a runtime calls it, and in a list.

use serde_json::{Value, json};

use crate::{
    machine::{Machine, script, text},
    traffic::{exchange, outside, reaches},
};

/// `eth0` with addresses of both families, and default routes.
const LINKS: &str = "ip netns exec c1 sysctl -qw net.ipv6.conf.default.accept_dad=0; \
     ip link add w0 type veth peer name eth0 netns c1; ip link set w0 up; ip -n c1 link set eth0 up; \
     ip -n c1 addr add 10.1.0.2/24 dev eth0; ip -n c1 addr add fd00:10::2/64 dev eth0 nodad; \
     ip -n c1 route add default via 10.1.0.1; ip -n c1 -6 route add default via fd00:10::1; \
     until ip -n c1 -6 route show table local | grep -q '^local fe80'; do sleep 0.1; done; \
     until ip -n c1 -6 route show table local | grep -q '^multicast'; do sleep 0.1; done";

fn machine() -> Machine {
    let machine = Machine::new();
    machine.netns("c1");
    script(&machine, LINKS);
    machine
}

fn conf(members: Value) -> Value {
    let ips = json!([
        { "address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 0 },
        { "address": "fd00:10::2/64", "gateway": "fd00:10::1", "interface": 0 },
    ]);
    let prev =
        json!({ "cniVersion": "1.0.0", "interfaces": [{ "name": "eth0", "sandbox": "/run/netns/c1" }], "ips": ips });
    let mut conf = json!({ "cniVersion": "1.0.0", "name": "n1", "type": "sbr", "prevResult": prev });
    conf.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    conf
}

fn call(machine: &Machine, command: &str, netns: &str, conf: &Value) -> Result<Value, String> {
    let env = [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", netns),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/p"),
    ];
    let output = machine.plugin("sbr", &env, &conf.to_string());
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match output.status.code() {
        Some(0) => Ok(printed),
        Some(1) => Err(printed["msg"].as_str().unwrap_or_else(|| panic!("{}", text(&output))).to_owned()),
        _ => panic!("{}", text(&output)),
    }
}

fn add(machine: &Machine, members: Value) -> Result<Value, String> {
    call(machine, "ADD", "/run/netns/c1", &conf(members))
}

fn lines(machine: &Machine, arguments: &str) -> Vec<String> {
    let output = machine.command("ip").args(arguments.split(' ')).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line.trim().to_owned()).collect()
}

/// The rules that are not the kernel's: source and table.
fn rules(machine: &Machine) -> Vec<String> {
    let rules = ["-4", "-6"].map(|family| machine.ip(&format!("-n c1 {family} rule")));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rules = rules.iter().flat_map(|rules| rules.as_array().unwrap());
    rules.filter(|rule| rule["src"] != "all").map(|rule| text(&rule["src"]) + " " + &text(&rule["table"])).collect()
}

fn gateway(machine: &Machine, family: &str, table: u32) -> Value {
    machine.ip(&format!("-n c1 {family} route show table {table} default"))[0]["gateway"].clone()
}

#[test]
fn sbr_35_each_address_has_a_table_and_a_rule_of_its_own() {
    let machine = machine();
    let conf = conf(json!({}));
    assert_eq!(add(&machine, json!({})).unwrap()["ips"], conf["prevResult"]["ips"]);
    assert_eq!(rules(&machine), ["10.1.0.2 100", "fd00:10::2 101"]);
    let full: Vec<_> = lines(&machine, "-n c1 -6 rule").into_iter().filter(|line| line.contains("fd00")).collect();
    assert!(full[0].contains("from fd00:10::2 lookup 101"), "a rule for one address: {full:?}");
    assert_eq!((gateway(&machine, "-4", 100), gateway(&machine, "-6", 101)), (json!("10.1.0.1"), json!("fd00:10::1")));
    for family in ["-4", "-6"] {
        assert_eq!(
            machine.ip(&format!("-n c1 {family} route show dev eth0")),
            json!([]),
            "the main table has none left"
        );
    }
    call(&machine, "CHECK", "/run/netns/c1", &conf).unwrap();
    for _ in 0..2 {
        call(&machine, "DEL", "/run/netns/c1", &conf).unwrap();
        assert!(rules(&machine).is_empty());
        assert_eq!(gateway(&machine, "-4", 100), "10.1.0.1", "routes go with their interface");
    }
}

#[test]
fn sbr_36_a_table_gets_rules_and_nothing_else() {
    let machine = machine();
    let before = lines(&machine, "-n c1 route show table all");
    add(&machine, json!({ "table": 5000 })).unwrap();
    assert_eq!(rules(&machine), ["10.1.0.2 5000", "fd00:10::2 5000"]);
    assert_eq!(lines(&machine, "-n c1 route show table all"), before);
    // DEL is about the rules of its table.
    script(&machine, "ip -n c1 rule add from 10.1.0.2 lookup 77");
    call(&machine, "DEL", "/run/netns/c1", &conf(json!({ "table": 5000 }))).unwrap();
    assert_eq!(rules(&machine), ["10.1.0.2 77"]);
    for table in [0, -1] {
        let text = format!("invalid table {table} (must be between 1 and 4294967295)");
        assert_eq!(add(&machine, json!({ "table": table })), Err(text));
    }
}

#[test]
fn sbr_36_gateways_take_the_place_of_the_addresses() {
    let machine = machine();
    add(&machine, json!({ "gateways": ["10.1.0.254"] })).unwrap();
    assert_eq!(gateway(&machine, "-4", 100), "10.1.0.254", "also of the default route that there was");
    assert_eq!(gateway(&machine, "-6", 101), "fd00:10::1");
    call(&machine, "DEL", "/run/netns/c1", &conf(json!({}))).unwrap();
    let text = "gateways list contains multiple IPv4 addresses: 10.1.0.1 and 10.1.0.2".to_owned();
    assert_eq!(add(&machine, json!({ "gateways": ["10.1.0.1", "10.1.0.2"] })), Err(text));
}

#[test]
fn sbr_36_hints_keep_the_network_with_its_source() {
    let machine = machine();
    add(&machine, json!({ "addSourceHints": true })).unwrap();
    let v4 = machine.ip("-n c1 -4 route show dev eth0");
    let network = (&v4[0]["dst"], &v4[0]["prefsrc"], v4.as_array().unwrap().len());
    assert_eq!(network, (&json!("10.1.0.0/24"), &json!("10.1.0.2"), 1));
    let v6 = machine.ip("-n c1 -6 route show dev eth0");
    assert_eq!((&v6[0]["dst"], v6.as_array().unwrap().len()), (&json!("fd00:10::/64"), 1), "{v6}");
}

#[test]
fn an_add_that_fails_leaves_rules_and_routes_as_they_were() {
    let machine = machine();
    let state = || {
        ["rule", "-6 rule", "route show table all", "-6 route show table all"]
            .map(|what| lines(&machine, &format!("-n c1 {what}")))
    };
    let before = state();
    let error = add(&machine, json!({ "gateways": ["10.77.0.1"] })).unwrap_err();
    assert!(error.starts_with("Failed to add default route to 10.77.0.1: "), "{error}");
    assert_eq!(state(), before);
    // What an ADD has left that came twice is the first's.
    add(&machine, json!({})).unwrap();
    let once = state();
    let error = add(&machine, json!({})).unwrap_err();
    assert!(error.starts_with("Failed to add default route to 10.1.0.1: "), "{error}");
    assert_eq!(state(), once);
}

#[test]
fn del_of_a_namespace_that_is_gone_makes_no_file() {
    let machine = machine();
    for netns in ["", "/run/netns/none"] {
        call(&machine, "DEL", netns, &conf(json!({}))).unwrap();
    }
    script(&machine, "! [ -e /run/netns/none ]; ip -n c1 link del eth0");
    call(&machine, "DEL", "/run/netns/c1", &conf(json!({}))).unwrap();
}

/// The answer to what came by the second interface leaves by the second interface.
#[test]
fn answers_leave_by_the_interface_that_the_question_came_by() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let ptp = |subnet: &str| json!({ "type": "ptp", "ipam": { "type": "host-local", "subnet": subnet, "routes": [{ "dst": "0.0.0.0/0" }] } });
    let list = |name: &str, plugins: Value| {
        let list = json!({ "cniVersion": "1.0.0", "name": name, "plugins": plugins });
        std::fs::write(machine.conf_dir().join(format!("{name}.conflist")), list.to_string()).unwrap();
    };
    list("n1", json!([ptp("10.1.0.0/24")]));
    list("n2", json!([ptp("10.2.0.0/24"), { "type": "sbr" }]));
    let run = |arguments: &[&str]| {
        let output = machine.wasm_cni(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    };
    outside(&machine);
    script(&machine, "ip -n out route add default via 192.0.2.1");
    run(&["add", "n1", &netns]);
    // Without a default route nothing but the second network's table knows the way.
    script(&machine, "ip -n c1 route del default");
    run(&["add", "n2", &netns, "--ifname", "net1"]);
    assert_eq!(rules(&machine), ["10.2.0.2 100"]);
    let [first, second] = ["10.1.0.2", "10.2.0.2"].map(|address| address.parse().unwrap());
    assert_eq!(exchange(&machine, "out", Some("c1"), second), "192.0.2.2");
    assert!(!reaches(&machine, "out", Some("c1"), first));
    let by = machine.ip("-n c1 route get 192.0.2.2 from 10.2.0.2");
    assert_eq!(by[0]["dev"], "net1");
    run(&["del", "n2", &netns, "--ifname", "net1"]);
    assert!(rules(&machine).is_empty());
    assert_eq!(machine.devices("-n c1 "), ["lo", "eth0"]);
    run(&["del", "n1", &netns]);
}
