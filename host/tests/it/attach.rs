//! `add`, `check` and `del`: the result, and what the kernel has then.

use std::fs;

use serde_json::{Value, json};

use crate::machine::{Machine, addresses, bridge, text};

fn link<'a>(links: &'a Value, name: &str) -> &'a Value {
    let all = links.as_array().unwrap();
    all.iter().find(|link| link["ifname"] == name).unwrap_or_else(|| panic!("no {name} in {links:#}"))
}

#[test]
fn bridge_1_gateway_and_address() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let netns = machine.netns("c1");
    let result = machine.add(&network, &netns);

    let host = machine.ip("addr show");
    let br0 = link(&host, "br0");
    let veth = host.as_array().unwrap().iter().find(|l| l["master"] == "br0").unwrap();
    let inside = machine.ip("-n c1 addr show");
    let eth0 = link(&inside, "eth0");
    assert_eq!(
        result,
        json!({
            "cniVersion": "1.1.0",
            "interfaces": [
                { "name": "br0", "mac": br0["address"] },
                { "name": veth["ifname"], "mac": veth["address"] },
                { "name": "eth0", "mac": eth0["address"], "sandbox": netns }
            ],
            "ips": [{ "address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 2 }]
        })
    );
    assert_eq!(br0["linkinfo"]["info_kind"], "bridge");
    assert_eq!(br0["operstate"], "UP");
    assert_eq!(addresses(br0), ["10.1.0.1/24"]);
    let name = veth["ifname"].as_str().unwrap();
    assert!(name.len() == 12 && name.starts_with("veth"), "{name}");
    assert_eq!(eth0["operstate"], "UP");
    assert_eq!(addresses(eth0), ["10.1.0.2/24"]);
    assert_eq!(eth0["addr_info"][0]["broadcast"], "10.1.0.255");
    assert_eq!(machine.sysctl(None, "net/ipv4/ip_forward"), "1");
    assert_eq!(machine.leases("n1"), ["10.1.0.2"]);

    machine.del(&network, &netns);
    assert_eq!(machine.devices("-n c1 "), ["lo"]);
    assert_eq!(machine.devices(""), ["lo", "br0"], "the bridge stays, as with the reference");
    assert_eq!(machine.leases("n1"), [""; 0]);
}

#[test]
fn bridge_2_without_ipam_it_is_layer_two() {
    let machine = Machine::new();
    let network = machine.network("l2", json!({ "type": "bridge", "bridge": "br0" }));
    let netns = machine.netns("c1");
    let result = machine.add(&network, &netns);
    assert_eq!(result["interfaces"].as_array().unwrap().len(), 3);
    assert_eq!(result.get("ips"), None);
    let eth0 = &machine.ip("-n c1 addr show dev eth0")[0];
    assert_eq!((eth0["operstate"].as_str(), addresses(eth0)), (Some("UP"), vec![]));
    let check = machine.wasm_cni(&["check", &network, &netns]).output().unwrap();
    assert!(check.status.success(), "{}", text(&check));
    machine.del(&network, &netns);
}

#[test]
fn bridge_3_no_address_in_an_old_version_leaves_nothing() {
    let machine = Machine::new();
    let network = machine.network_version("old", "0.2.0", json!({ "type": "bridge", "bridge": "br0" }));
    let netns = machine.netns("c1");
    let output = machine.wasm_cni(&["add", &network, &netns]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("cannot convert: no valid IP addresses"), "{}", text(&output));
    assert_eq!((machine.devices(""), machine.devices("-n c1 ")), (vec!["lo".into()], vec!["lo".into()]));
}

#[test]
fn ipv6_only() {
    let machine = Machine::new();
    let network = machine.network("v6", bridge(&["fd00:10::/64"]));
    let netns = machine.netns("c1");
    let result = machine.add(&network, &netns);
    assert_eq!(result["ips"], json!([{ "address": "fd00:10::2/64", "gateway": "fd00:10::1", "interface": 2 }]));
    let eth0 = &machine.ip("-n c1 addr show dev eth0")[0];
    assert_eq!(addresses(eth0), ["fd00:10::2/64"]);
    assert_eq!(machine.sysctl(None, "net/ipv6/conf/all/forwarding"), "1");
    assert_eq!(machine.sysctl(None, "net/ipv6/conf/br0/accept_ra"), "0");
    assert_eq!(machine.sysctl(Some("c1"), "net/ipv6/conf/eth0/accept_dad"), "0");
    assert_eq!(machine.sysctl(Some("c1"), "net/ipv6/conf/eth0/keep_addr_on_down"), "1");
    assert_eq!(machine.leases("v6"), ["fd00:10::2"]);
    machine.del(&network, &netns);
}

#[test]
fn bridge_7_dual_stack_with_default_routes() {
    let machine = Machine::new();
    let mut plugin = bridge(&["10.1.0.0/24", "fd00:10::/64"]);
    plugin["isDefaultGateway"] = true.into();
    let network = machine.network("dual", plugin);
    let netns = machine.netns("c1");
    let result = machine.add(&network, &netns);
    assert_eq!(
        result["routes"],
        json!([{ "dst": "0.0.0.0/0", "gw": "10.1.0.1" }, { "dst": "::/0", "gw": "fd00:10::1" }])
    );
    let v4 = &machine.ip("-n c1 route show default")[0];
    assert_eq!((&v4["gateway"], &v4["dev"]), (&json!("10.1.0.1"), &json!("eth0")));
    let v6 = &machine.ip("-n c1 -6 route show default")[0];
    assert_eq!((&v6["gateway"], &v6["dev"]), (&json!("fd00:10::1"), &json!("eth0")));
    let check = machine.wasm_cni(&["check", &network, &netns]).output().unwrap();
    assert!(check.status.success(), "{}", text(&check));
    machine.del(&network, &netns);
}

#[test]
fn bridge_30_the_bridges_mac_survives_the_coming_and_going_of_ports() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let mac = || machine.ip("link show br0")[0]["address"].clone();
    let first = machine.netns("c0");
    machine.add(&network, &first);
    let pinned = mac();
    for i in 1..6 {
        let netns = machine.netns(&format!("c{i}"));
        machine.add(&network, &netns);
        assert_eq!(mac(), pinned);
        machine.del(&network, &netns);
    }
    machine.del(&network, &first);
    assert_eq!(mac(), pinned);
}

#[test]
fn bridge_33_check_finds_changes() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let netns = machine.netns("c1");
    machine.add(&network, &netns);
    let check = || machine.wasm_cni(&["check", &network, &netns]).output().unwrap();
    assert!(check().status.success(), "{}", text(&check()));
    let output = machine.command("ip").args("-n c1 addr del 10.1.0.2/24 dev eth0".split(' ')).output().unwrap();
    assert!(output.status.success());
    let text = text(&check());
    assert!(text.contains("Failed to match addr 10.1.0.2/24 on interface eth0"), "{text}");
    machine.del(&network, &netns);
}

#[test]
fn bridge_35_an_interface_that_exists_is_left_alone() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let netns = machine.netns("c1");
    machine.add(&network, &netns);
    let before = machine.ip("-n c1 addr show dev eth0");
    let output = machine.wasm_cni(&["add", &network, &netns]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = text(&output);
    assert!(text.contains("container veth name (\"eth0\") peer provided (\"veth"), "{text}");
    assert_eq!(machine.ip("-n c1 addr show dev eth0"), before);
    assert_eq!(machine.leases("n1"), ["10.1.0.2"]);
    machine.del(&network, &netns);
}

#[test]
fn every_version_of_the_result() {
    let machine = Machine::new();
    for (version, keys) in [
        ("0.1.0", "cniVersion dns ip4"),
        ("0.2.0", "cniVersion dns ip4"),
        ("0.3.0", "cniVersion dns interfaces ips"),
        ("0.3.1", "cniVersion dns interfaces ips"),
        ("0.4.0", "cniVersion dns interfaces ips"),
        ("1.0.0", "cniVersion interfaces ips"),
        ("1.1.0", "cniVersion interfaces ips"),
    ] {
        let network = machine.network_version("n1", version, bridge(&["10.1.0.0/24"]));
        let netns = machine.netns(&format!("c{version}"));
        let result = machine.add(&network, &netns);
        let mut found: Vec<_> = result.as_object().unwrap().keys().cloned().collect();
        found.sort();
        assert_eq!(found.join(" "), keys, "{version}");
        assert_eq!(result["cniVersion"], version);
        machine.del(&network, &netns);
    }
}

#[test]
fn the_cached_result_is_in_the_references_format() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let netns = machine.netns("c1");
    let result = machine.add(&network, &netns);
    let folder = machine.root().join("var/lib/cni/results");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).collect();
    let name = files[0].file_name().unwrap().to_str().unwrap();
    assert!(files.len() == 1 && name.starts_with("n1-cnitool-") && name.ends_with("-eth0"), "{files:?}");
    let entry: Value = serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap();
    assert_eq!(entry["kind"], "cniCacheV1");
    assert_eq!(
        (&entry["networkName"], &entry["ifName"], &entry["netns"]),
        (&json!("n1"), &json!("eth0"), &json!(netns))
    );
    assert_eq!(entry["result"], result);
    machine.del(&network, &netns);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn del_works_without_the_namespace_and_without_the_cached_result() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let netns = machine.netns("c1");
    machine.add(&network, &netns);
    let gone = machine.command("ip").args(["netns", "del", "c1"]).output().unwrap();
    assert!(gone.status.success());
    fs::remove_dir_all(machine.root().join("var/lib/cni/results")).unwrap();
    machine.del(&network, &netns);
    assert_eq!(machine.leases("n1"), [""; 0]);
}

#[test]
fn a_corrupt_cached_result_is_set_aside_and_del_works() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let netns = machine.netns("c1");
    machine.add(&network, &netns);
    let folder = machine.root().join("var/lib/cni/results");
    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, "").unwrap();
    let output = machine.wasm_cni(&["check", &network, &netns]).output().unwrap();
    assert!(text(&output).contains("failed to get network \"n1\" cached result"), "{}", text(&output));
    machine.del(&network, &netns);
    assert_eq!(machine.leases("n1"), [""; 0]);
    assert!(
        !file.exists()
            && file.with_file_name(format!("{}.corrupt", file.file_name().unwrap().to_str().unwrap())).exists()
    );
}
