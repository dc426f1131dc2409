//! `list`, `plugins`, `which`, `validate`, `gc`: what there is, and what is wrong
//! with it.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use crate::machine::{Machine, bridge, text};

#[test]
fn attachments_are_listed_and_stale_ones_collected() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    for name in ["c1", "c2"] {
        let netns = machine.netns(name);
        let output = machine.wasm_cni(&["add", &network, &netns, "--container-id", name]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    assert!(machine.command("ip").args(["netns", "del", "c2"]).status().unwrap().success());
    let list = || machine.wasm_cni(&["list", "-o", "json"]).output().unwrap();
    let all: Value = serde_json::from_slice(&list().stdout).unwrap();
    let facts = |i: usize| (&all[i]["containerId"], &all[i]["alive"], &all[i]["addresses"]);
    assert_eq!(facts(0), (&json!("c1"), &json!(true), &json!(["10.1.0.2/24"])));
    assert_eq!(facts(1), (&json!("c2"), &json!(false), &json!(["10.1.0.3/24"])));
    let table = machine.wasm_cni(&["list"]).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    let line = table.lines().find(|line| line.contains("c2")).unwrap_or_else(|| panic!("{table}"));
    assert!(line.contains("stale") && line.contains("10.1.0.3/24"), "{table}");

    let output = machine.wasm_cni(&["gc", &network, "--keep-alive"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(machine.leases("n1"), ["10.1.0.2"]);
    let left: Value = serde_json::from_slice(&list().stdout).unwrap();
    assert_eq!(left.as_array().unwrap().len(), 1);
}

#[test]
fn plugins_say_where_they_come_from() {
    let machine = Machine::new();
    let folder = machine.folder().join("plugins");
    fs::create_dir(&folder).unwrap();
    for name in ["bridge", "portmap", "readme"] {
        fs::write(folder.join(name), "#!/bin/sh\n").unwrap();
    }
    for name in ["bridge", "portmap"] {
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let plugins = |more: &[&str]| {
        let mut command = machine.wasm_cni(&["plugins", "-o", "json"]);
        let output = command.args(more).env("CNI_PATH", &folder).output().unwrap();
        let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
        all.into_iter()
            .map(|plugin| (plugin["type"].as_str().unwrap().to_owned(), plugin["used"].as_str().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    let all = plugins(&[]);
    let kinds: Vec<_> = all.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["bridge", "host-device", "host-local", "loopback", "portmap", "ptp", "static"]);
    assert!(all[0].1.starts_with("bundled (sha256:"), "{all:?}");
    assert_eq!(all[4].1, format!("native {}", folder.join("portmap").display()));
    assert_eq!(plugins(&["--prefer-native"])[0].1, format!("native {}", folder.join("bridge").display()));
}

#[test]
fn which_explains_the_choice() {
    let machine = Machine::new();
    let write = |file: &str, text: &str| fs::write(machine.conf_dir().join(file), text).unwrap();
    write("00-a.conf", r#"{"name":"x","cniVersion":"1.0.0","type":"bridge"}"#);
    write("10-broken.conflist", "{");
    write("20-b.conflist", r#"{"name":"x","cniVersion":"1.0.0","plugins":[{"type":"bridge"},{"type":"nope"}]}"#);
    let output = machine.wasm_cni(&["which", "x"]).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].contains("10-broken.conflist: skipped: "), "{out}");
    assert!(lines[1].contains("20-b.conflist: used: "), "{out}");
    assert!(lines[2].contains("00-a.conf: shadowed: "), "{out}");
    assert!(lines[3].contains("bridge: bundled"), "{out}");
    assert!(lines[4].contains("nope: missing: "), "{out}");
}

#[test]
fn validate_finds_every_mistake_with_its_place() {
    let machine = Machine::new();
    let write = |file: &str, text: &str| fs::write(machine.conf_dir().join(file), text).unwrap();
    write("10-good.conflist", r#"{"name":"good","cniVersion":"1.0.0","plugins":[{"type":"bridge"}]}"#);
    let check = || machine.wasm_cni(&["validate"]).output().unwrap();
    assert!(check().status.success(), "{}", text(&check()));

    write("20-syntax.conflist", "{\n  \"name\": \"a\",\n  \"plugins\": [}\n");
    let many = "{\n  \"name\": \"a b\",\n  \"cniVersion\": \"9.9\",\n  \"disableCheck\": 3,\n  \"plugins\": [\n    {},\n    \
                {\"type\": \"nope\", \"ipam\": {\"type\": \"../x\"}, \"capabilities\": {\"mac\": 1}}\n  ]\n}\n";
    write("30-many.conflist", many);
    write("40-twice.conf", r#"{"name":"good","cniVersion":"1.0.0","type":"bridge"}"#);
    let output = check();
    assert_eq!(output.status.code(), Some(1));
    let out = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "20-syntax.conflist:3:15: ",
        "30-many.conflist:2:11: a network's name",
        "30-many.conflist:3:17: version \"9.9\"",
        "30-many.conflist:4:19: `disableCheck`",
        "30-many.conflist:6:5: `type` is missing",
        "30-many.conflist:7:14: ",
        "30-many.conflist:7:39: invalid plugin name: ../x",
        "30-many.conflist:7:72: capability `mac`",
        "40-twice.conf:1:1: network \"good\" is in ",
    ] {
        assert!(out.contains(expected), "{expected:?} is not in\n{out}");
    }
    assert_eq!(out.lines().count(), 9, "{out}");
}
