//! `dummy`: check 45 of its contract. What needs a dummy is skipped where the kernel has none.

use serde_json::{Value, json};

use crate::machine::{Machine, addresses, has_link_kind, script, text};

fn conf(members: Value) -> Value {
    let mut conf = json!({ "cniVersion": "1.0.0", "name": "n1", "type": "dummy" });
    conf.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    conf
}

fn ipam() -> Value {
    json!({ "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24" }]] } })
}

/// What the plugin prints, or the text of its error.
fn call(machine: &Machine, command: &str, conf: &Value, env: &[(&str, &str)]) -> Result<Value, String> {
    let usual = [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/run/netns/c1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/p"),
    ];
    let output = machine.plugin("dummy", &[&usual[..], env].concat(), &conf.to_string());
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match output.status.code() {
        Some(0) => Ok(printed),
        Some(1) => Err(printed["msg"].as_str().unwrap_or_else(|| panic!("{}", text(&output))).to_owned()),
        _ => panic!("{}", text(&output)),
    }
}

/// Says so if the kernel has none.
fn has_dummies() -> bool {
    let has = has_link_kind("dummy");
    if !has {
        let test = std::thread::current();
        eprintln!("skipped: {}: the kernel has no links of kind `dummy`", test.name().unwrap_or_default());
    }
    has
}

fn machine() -> Machine {
    let machine = Machine::new();
    script(&machine, "sysctl -qw net.ipv6.conf.default.accept_dad=0");
    machine.netns("c1");
    machine
}

fn assert_clean(machine: &Machine) {
    assert_eq!(machine.devices("-n c1 "), ["lo"]);
    assert_eq!(machine.devices(""), ["lo"]);
    assert_eq!(machine.leases("n1"), [""; 0]);
}

#[test]
fn dummy_45_an_ipam_plugin_is_required_but_for_del() {
    let machine = machine();
    let required = Err("dummy interface requires an IPAM configuration".to_owned());
    for members in [json!({}), json!({ "ipam": {} })] {
        for command in ["ADD", "CHECK"] {
            assert_eq!(call(&machine, command, &conf(members.clone()), &[]), required, "{command}");
        }
    }
    let deleted = call(&machine, "DEL", &conf(json!({})), &[]);
    assert!(deleted.unwrap_err().contains("no plugin name provided"));
    assert_clean(&machine);
}

#[test]
fn dummy_45_without_the_kernel_s_help_nothing_is_left() {
    let machine = machine();
    if !has_link_kind("dummy") {
        let refused = call(&machine, "ADD", &conf(ipam()), &[]);
        assert_eq!(refused, Err("failed to create dummy: operation not supported".into()));
        assert_clean(&machine);
    }
    // A name that is taken is in no kernel a success.
    let taken = call(&machine, "ADD", &conf(ipam()), &[("CNI_IFNAME", "lo")]);
    assert!(taken.unwrap_err().starts_with("failed to create dummy: "));
    assert_clean(&machine);
}

#[test]
fn dummy_del_of_nothing_is_a_success() {
    let machine = machine();
    for netns in ["/run/netns/c1", "/run/netns/c9", ""] {
        for _ in 0..2 {
            call(&machine, "DEL", &conf(ipam()), &[("CNI_NETNS", netns)]).unwrap();
        }
    }
    assert_clean(&machine);
}

#[test]
fn dummy_45_it_has_addresses_and_goes_with_them() {
    if !has_dummies() {
        return;
    }
    let machine = machine();
    let result = call(&machine, "ADD", &conf(ipam()), &[]).unwrap();
    let eth0 = &machine.ip("-n c1 addr show eth0")[0];
    assert_eq!(eth0["linkinfo"]["info_kind"], "dummy");
    assert_eq!(addresses(eth0), ["10.1.0.2/24"]);
    let interface = json!({ "name": "eth0", "mac": eth0["address"], "sandbox": "/run/netns/c1" });
    assert_eq!(result["interfaces"], json!([interface]));
    assert_eq!(result["ips"][0]["interface"], 0);
    assert_eq!(machine.leases("n1"), ["10.1.0.2"]);
    for _ in 0..2 {
        call(&machine, "DEL", &conf(ipam()), &[]).unwrap();
        assert_clean(&machine);
    }
}

#[test]
fn dummy_45_check_sees_each_difference() {
    if !has_dummies() {
        return;
    }
    let machine = machine();
    for (change, text) in [
        ("ip -n c1 link set eth0 down", "Interface eth0 is down"),
        ("ip -n c1 link del eth0", "Container Interface name in prevResult: eth0 not found"),
        (
            "ip -n c1 link del eth0; ip -n c1 link add eth0 type bridge",
            "Error: Container interface eth0 not of type dummy",
        ),
        ("ip -n c1 link set eth0 address 02:00:00:00:00:01", "doesn't match container Mac: 02:00:00:00:00:01"),
        ("ip -n c1 addr flush dev eth0", "Failed to match addr ADDRESS on interface eth0"),
    ] {
        let result = call(&machine, "ADD", &conf(ipam()), &[]).unwrap();
        // Each ADD gets the next one.
        let text = text.replace("ADDRESS", result["ips"][0]["address"].as_str().unwrap());
        let mut conf = conf(ipam());
        conf["prevResult"] = result;
        call(&machine, "CHECK", &conf, &[]).unwrap();
        script(&machine, change);
        let difference = call(&machine, "CHECK", &conf, &[]).unwrap_err();
        assert!(difference.contains(&text), "{change}: {difference}");
        call(&machine, "DEL", &conf, &[]).unwrap();
        assert_clean(&machine);
    }
}

#[test]
fn dummy_45_a_failure_further_on_leaves_neither_link_nor_lease() {
    if !has_dummies() {
        return;
    }
    let machine = machine();
    let no_way = json!([{ "dst": "10.9.0.0/16", "gw": "10.77.0.1" }]);
    for ipam in [
        json!({ "type": "nope" }),
        json!({ "type": "static", "addresses": [] }),
        json!({ "type": "host-local", "subnet": "10.1.0.0/24", "routes": no_way }),
    ] {
        assert!(call(&machine, "ADD", &conf(json!({ "ipam": ipam })), &[]).is_err(), "{ipam}");
        assert_clean(&machine);
    }
}
