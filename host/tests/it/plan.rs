//! `plan add` and `plan del`: what is planned is what the trace of the real call then shows, step for step, and planning
//! changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::machine::{Machine, bridge, installed, script, text};

/// Functions that change something, and the argument that lists the changes.
const CHANGING: &[(&str, Option<&str>)] = &[
    ("net.commit", Some("ops")),
    ("store.apply", Some("changes")),
    ("masquerade.add", None),
    ("masquerade.remove", None),
    ("spoof-check.add", None),
    ("spoof-check.remove", None),
];

/// Without what differs from call to call: MAC addresses, names drawn at random, indices.
fn comparable(value: &Value) -> Value {
    let is_mac = |text: &str| text.len() == 17 && text.bytes().filter(|byte| *byte == b':').count() == 5;
    let is_random = |text: &str| {
        let digits = text.strip_prefix("veth");
        digits.is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    match value {
        Value::String(text) if is_mac(text) || text == "chosen by the kernel" => json!("a MAC"),
        Value::String(text) if is_random(text) => json!("a veth"),
        Value::String(text) => match text.split('/').find(|part| is_random(part)) {
            Some(name) => text.replace(name, "a veth").into(),
            None => value.clone(),
        },
        Value::Array(list) => list.iter().map(comparable).collect(),
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| {
                let is_link = ["link", "link-del", "announce", "master", "parent"].contains(&key.as_str());
                let value = if is_link && value.is_number() { json!("a link") } else { comparable(value) };
                (key.clone(), value)
            })
            .collect(),
        other => other.clone(),
    }
}

/// The changes on a trace: function and change.
fn traced(path: &Path) -> Vec<(String, Value)> {
    let mut changes = Vec::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["event"] == "undo" {
            changes.push(("undo".to_owned(), Value::Null));
        }
        let Some(function) = line["function"].as_str() else { continue };
        let Some((_, list)) = CHANGING.iter().find(|(name, _)| *name == function) else { continue };
        assert_eq!(line["error"], Value::Null, "{line}");
        let all = match list {
            Some(list) => line["arguments"][*list].as_array().unwrap().clone(),
            None => vec![line["arguments"].clone()],
        };
        changes.extend(all.iter().map(|change| (function.to_owned(), comparable(change))));
    }
    let _ = fs::remove_file(path);
    changes
}

fn planned(machine: &Machine, operation: &str, network: &str, netns: &str) -> Vec<(String, Value)> {
    let output = machine.wasm_cni(&["plan", operation, network, netns, "-o", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["error"], Value::Null);
    let steps = plan["steps"].as_array().unwrap().iter();
    steps
        .map(|step| {
            let function = step["function"].as_str().unwrap().to_owned();
            assert!(!step["text"].as_str().unwrap().is_empty(), "{step}");
            let change = if function == "undo" { Value::Null } else { comparable(&step["change"]) };
            (function, change)
        })
        .collect()
}

/// The real operation, and what its trace shows.
fn done(machine: &Machine, operation: &str, network: &str, netns: &str) -> Vec<(String, Value)> {
    let trace = machine.folder().join("trace.jsonl");
    let output = machine.wasm_cni(&[operation, network, netns, "--trace", trace.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    traced(&trace)
}

/// What a plan must not change: links, addresses and routes of both namespaces, packet filters, and every file. What the
/// kernel does by itself in the course of time is left out.
fn state(machine: &Machine, name: &str) -> Vec<String> {
    let mut state = Vec::new();
    let text =
        |object: &Value, keys: &[&str]| keys.iter().map(|key| object[key].to_string()).collect::<Vec<_>>().join(" ");
    for of in [String::new(), format!("-n {name} ")] {
        for link in machine.ip(&format!("{of}addr show")).as_array().unwrap() {
            state.push(text(link, &["ifindex", "ifname", "address", "mtu", "master", "promiscuity", "ifalias"]));
            let addresses = link["addr_info"].as_array().unwrap().iter().filter(|address| address["scope"] == "global");
            state.extend(addresses.map(|address| text(address, &["local", "prefixlen"])));
        }
        for family in ["", "-6 "] {
            let routes = machine.ip(&format!("{of}{family}route show"));
            let routes = routes.as_array().unwrap().iter().filter(|route| route["dst"] != "fe80::/64");
            state.extend(routes.map(|route| text(route, &["dst", "dev", "gateway"])));
        }
    }
    let rules = machine.command("sh").args(["-c", "nft list ruleset 2>/dev/null || true"]).output().unwrap();
    state.push(String::from_utf8(rules.stdout).unwrap());
    let mut files = Vec::new();
    list(&machine.root(), &mut files);
    state.extend(files.iter().map(|(path, bytes)| format!("{} {}", path.display(), String::from_utf8_lossy(bytes))));
    state
}

fn list(directory: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.push((path.clone(), Vec::new()));
            list(&path, files);
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
}

/// Plans and does an ADD, then a DEL, and compares each.
fn compare(machine: &Machine, network: &str, name: &str) {
    let netns = format!("/run/netns/{name}");
    for operation in ["add", "del"] {
        let before = state(machine, name);
        let plan = planned(machine, operation, network, &netns);
        let after = state(machine, name);
        let changed: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
        assert!(
            changed.is_empty() && after.len() == before.len(),
            "plan {operation} {network} has changed {changed:#?}"
        );
        assert!(!plan.is_empty());
        let real = done(machine, operation, network, &netns);
        for (number, (planned, done)) in plan.iter().zip(&real).enumerate() {
            assert_eq!(planned, done, "step {number} of {operation} {network}");
        }
        assert_eq!(plan.len(), real.len(), "{operation} {network}");
    }
}

#[test]
fn the_example_networks_do_what_was_planned() {
    let machine = Machine::new();
    for (network, name) in [("10-bridge", "c1"), ("20-masquerade", "c2")] {
        if network == "20-masquerade" && !installed(&["nft"]) {
            continue;
        }
        machine.netns(name);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/net.d/{network}.conflist"));
        compare(&machine, path.to_str().unwrap(), name);
    }
}

#[test]
fn so_do_networks_with_more_to_them() {
    let machine = Machine::new();
    script(&machine, "ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
    let mut gateway = bridge(&["10.1.0.0/24", "fd00:10::/64"]);
    for (key, value) in [("isDefaultGateway", json!(true)), ("promiscMode", json!(true)), ("mtu", json!(1400))] {
        gateway[key] = value;
    }
    let ipam = json!({ "type": "static", "addresses": [{ "address": "10.3.0.7/24", "gateway": "10.3.0.1" }],
        "routes": [{ "dst": "0.0.0.0/0" }] });
    for (name, plugin) in [
        ("gateway", gateway),
        ("macvlan", json!({ "type": "macvlan", "master": "up0", "mode": "bridge", "ipam": ipam })),
        ("ptp", json!({ "type": "ptp", "ipam": ipam })),
        ("loopback", json!({ "type": "loopback" })),
    ] {
        machine.netns(name);
        let network = machine.network(name, plugin);
        compare(&machine, &network, name);
    }
}

#[test]
fn a_second_container_finds_the_bridge_of_the_first() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let (first, _) = (machine.netns("c1"), machine.netns("c2"));
    machine.add(&network, &first);
    compare(&machine, &network, "c2");
}

#[test]
fn what_would_fail_is_planned_up_to_there() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    script(&machine, "ip link add taken type veth peer name eth0 netns c1");
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let output = machine.wasm_cni(&["plan", "add", &network, &netns]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(words.contains("1. bridge: create bridge \"br0\" on the host\n"), "{words}");
    assert!(
        words.contains("2. bridge: set \"br0\" on the host: up\n")
            && words.contains("would fail")
            && words.contains("eth0"),
        "{words}"
    );
    assert_eq!(machine.leases("n1"), [""; 0]);
}

#[test]
fn beyond_a_native_plugin_nothing_can_be_planned() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    script(&machine, &format!("printf '#!/bin/sh\\nexit 1\\n' >{0}/odd; chmod +x {0}/odd", machine.folder().display()));
    let list = json!({ "cniVersion": "1.1.0", "name": "n1", "plugins": [bridge(&["10.1.0.0/24"]), { "type": "odd" }] });
    fs::write(machine.conf_dir().join("n1.conflist"), list.to_string()).unwrap();
    let mut command = machine.wasm_cni(&["plan", "add", "n1", &netns]);
    let output = command.env("CNI_PATH", machine.folder()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(words.contains("create bridge") && words.contains("cannot plan beyond native plugin \"odd\""), "{words}");
    assert_eq!(machine.leases("n1"), [""; 0]);
}
