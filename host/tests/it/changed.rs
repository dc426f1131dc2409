//! What has changed since ADD: the configuration, its file, the plugin. DEL and GC release by the record, and warn.

use std::{fs, process::Output};

use serde_json::{Value, json};

use crate::machine::{Machine, bridge, script, text};

fn plugin(members: Value) -> Value {
    let mut plugin = bridge(&["10.1.0.0/24"]);
    plugin["ipMasq"] = true.into();
    plugin["ipMasqBackend"] = "nftables".into();
    plugin.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    plugin
}

/// What no ADD would take.
fn broken() -> Vec<Value> {
    vec![
        plugin(json!({ "ipam": { "type": "host-local", "subnet": "10.1.0.5/24" } })),
        plugin(json!({ "ipam": { "type": "gone" } })),
        plugin(json!({ "ipam": 7 })),
        plugin(json!({ "dns": ["x"] })),
        plugin(json!({ "vlan": 5000 })),
        plugin(json!({ "ipMasqBackend": "zz" })),
    ]
}

fn pairs(machine: &Machine) -> usize {
    machine.devices("").into_iter().filter(|name| name.starts_with("veth")).count()
}

fn assert_released(machine: &Machine, output: &Output, what: &str) {
    assert!(output.status.success(), "{what}: {}", text(output));
    assert_eq!((machine.leases("n1"), pairs(machine)), (Vec::new(), 0), "{what}");
    let rules = machine.command("sh").args(["-c", "nft list ruleset | grep -c saddr || true"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&rules.stdout).trim(), "0", "{what}");
}

#[test]
fn a_plugin_s_del_with_a_configuration_that_is_not_valid_any_more() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let call = |command: &str, version: &str, plugin: &Value| {
        let mut config = plugin.clone();
        config["cniVersion"] = version.into();
        config["name"] = "n1".into();
        let env = [
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", "c1"),
            ("CNI_NETNS", &*netns),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", "/nonexistent"),
        ];
        machine.plugin("bridge", &env, &config.to_string())
    };
    let mut cases: Vec<_> = broken().into_iter().map(|plugin| ("1.0.0", plugin)).collect();
    cases.push(("9.0.0", plugin(json!({}))));
    for (version, broken) in cases {
        let added = call("ADD", "1.0.0", &plugin(json!({})));
        assert!(added.status.success(), "{}", text(&added));
        for _ in 0..2 {
            let output = call("DEL", version, &broken);
            assert_released(&machine, &output, &broken.to_string());
            assert!(String::from_utf8_lossy(&output.stderr).contains(": warn "), "{}", text(&output));
        }
    }
    // What never was attached is the caller's mistake.
    call("DEL", "1.0.0", &plugin(json!({})));
    assert!(!call("DEL", "1.0.0", &broken().remove(0)).status.success());
}

#[test]
fn del_and_gc_of_a_network_whose_configuration_has_changed() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let mut cases = broken();
    cases.push(json!({ "type": "gone" }));
    cases.push(json!({ "type": "ptp", "ipam": { "type": "host-local", "subnet": "10.9.0.0/24" } }));
    for command in [&["del", "n1", &netns][..], &["gc", "n1"]] {
        for broken in &cases {
            let network = machine.network("n1", plugin(json!({})));
            machine.add(&network, &netns);
            machine.network("n1", broken.clone());
            let output = machine.wasm_cni(command).output().unwrap();
            assert_released(&machine, &output, &format!("{command:?} with {broken}"));
            assert!(machine.wasm_cni(command).output().unwrap().status.success(), "{command:?} again with {broken}");
            let list = machine.wasm_cni(&["list", "--output", "json"]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&list.stdout).trim(), "[]");
        }
    }
}

#[test]
fn del_and_gc_without_the_file_or_with_a_broken_one() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let file = machine.conf_dir().join("n1.conflist");
    for broken in ["", "{", "[]", "\u{0}"] {
        for command in [&["del", "n1", &netns][..], &["gc", "n1"]] {
            let network = machine.network("n1", plugin(json!({})));
            machine.add(&network, &netns);
            match broken {
                "" => fs::remove_file(&file).unwrap(),
                broken => fs::write(&file, broken).unwrap(),
            }
            let output = machine.wasm_cni(command).output().unwrap();
            assert_released(&machine, &output, &format!("{command:?} with {broken:?}"));
            let gc = machine.wasm_cni(&["gc", "n1"]).output().unwrap();
            assert!(gc.status.success(), "there is nothing to collect: {}", text(&gc));
        }
    }
    let output = machine.wasm_cni(&["del", "n1", &netns]).output().unwrap();
    assert!(!output.status.success(), "nobody knows that network: {}", text(&output));
}

#[test]
fn a_native_plugin_that_is_gone_keeps_its_attachment() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let native = machine.folder().join("native");
    script(
        &machine,
        &format!("printf '#!/bin/sh\\ncat >/dev/null; echo {{}}\\n' >{0}; chmod 755 {0}", native.display()),
    );
    let list = json!({ "cniVersion": "1.0.0", "name": "n1", "plugins": [plugin(json!({})), { "type": "native" }] });
    fs::write(machine.conf_dir().join("n1.conflist"), list.to_string()).unwrap();
    let run =
        |command: &str| machine.wasm_cni(&[command, "n1", &netns]).env("CNI_PATH", machine.folder()).output().unwrap();
    assert!(run("add").status.success());
    let aside = native.with_extension("aside");
    fs::rename(&native, &aside).unwrap();
    let output = run("del");
    assert!(!output.status.success(), "what it did is on no record: {}", text(&output));
    fs::rename(&aside, &native).unwrap();
    assert_released(&machine, &run("del"), "it is there again");
}

#[test]
fn a_read_only_disk_with_nothing_on_it_is_no_reason_to_fail() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let root = machine.root();
    fs::create_dir_all(root.join("var")).unwrap();
    let network = machine.network("n1", plugin(json!({})));
    let lines = format!(
        "mount -t tmpfs -o ro tmpfs {root}/var; export NETCONFPATH={conf} WASM_CNI_ROOT={root}; \
         for i in 1 2; do {program} del {network} {netns}; {program} gc {network}; done",
        root = root.display(),
        conf = machine.conf_dir().display(),
        program = crate::machine::PROGRAM,
    );
    script(&machine, &lines);
}
