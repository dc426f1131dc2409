//! What is wrong with the input is said clearly, and nothing is left half-made.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use serde_json::json;

use crate::machine::{Machine, bridge, text};

/// `add` fails with this text, exits with 1, and leaves no device and no lease.
fn refused(machine: &Machine, network: &str, netns: &str, expected: &str) {
    let devices = machine.devices("");
    let output = machine.wasm_cni(&["add", network, netns]).output().unwrap();
    let out = text(&output);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(output.stdout.is_empty(), "{out}");
    assert!(out.contains(expected), "{expected:?} is not in {out}");
    assert_eq!(machine.devices(""), devices);
    assert_eq!(machine.leases("n1"), [""; 0]);
}

#[test]
fn malformed_json_is_named_with_its_place() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let file = machine.folder().join("bad.conflist");
    fs::write(&file, "{\n  \"name\": \"n1\",\n  \"plugins\": [}\n").unwrap();
    let path = file.to_str().unwrap();
    refused(&machine, path, &netns, "error parsing configuration list");
    refused(&machine, path, &netns, "line 3");
    refused(&machine, path, &netns, path);
}

#[test]
fn wrong_types_name_field_and_type() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let mut plugin = bridge(&["10.1.0.0/24"]);
    plugin["mtu"] = "big".into();
    machine.network("n1", plugin);
    refused(&machine, "n1", &netns, "failed to load netconf: json: cannot unmarshal string into Go struct field");
}

#[test]
fn unknown_plugins_and_networks() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    machine.network("n1", json!({ "type": "nope" }));
    refused(
        &machine,
        "n1",
        &netns,
        "plugin type=\"nope\" failed (add): failed to find plugin \"nope\" in path [/opt/cni/bin]",
    );
    refused(&machine, "n1", &netns, "\nhint: plugin \"nope\" is not bundled, and it is not in these directories\n");
    machine.network("n4", json!({ "type": "brigde" }));
    refused(&machine, "n4", &netns, "\nhint: did you mean \"bridge\"?\n");
    machine.network("n2", json!({ "type": "../../bin/sh" }));
    refused(&machine, "n2", &netns, "invalid plugin name: ../../bin/sh");
    refused(&machine, "n3", &netns, "no net configuration with name \"n3\" in ");
}

#[test]
fn paths_that_do_not_exist_or_are_not_namespaces() {
    let machine = Machine::new();
    machine.network("n1", bridge(&["10.1.0.0/24"]));
    refused(&machine, "n1", "/nonexistent/ns", "failed to Statfs \"/nonexistent/ns\": no such file or directory");
    let file = machine.folder().join("file");
    fs::write(&file, "").unwrap();
    refused(&machine, "n1", file.to_str().unwrap(), "unknown FS magic on");
    let fifo = machine.folder().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    refused(&machine, "n1", fifo.to_str().unwrap(), "unknown FS magic on");
    refused(&machine, "n1", "/proc/self/ns/mnt", "is not a network namespace");
    refused(&machine, "n1", "/proc/self/ns/net", "plugin's netns and netns from CNI_NETNS should not be the same");
}

#[test]
fn names_with_a_slash() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let file = machine.folder().join("slash.conflist");
    let list = json!({ "name": "../n1", "cniVersion": "1.1.0", "plugins": [bridge(&["10.1.0.0/24"])] });
    fs::write(&file, list.to_string()).unwrap();
    refused(&machine, file.to_str().unwrap(), &netns, "invalid characters found in network name");
    machine.network("n1", bridge(&["10.1.0.0/24"]));
    let output = machine.wasm_cni(&["add", "n1", &netns, "-i", "a/b"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("interface name contains / or : or whitespace"), "{}", text(&output));
    machine.network("n1", json!({ "type": "bridge", "bridge": "a/b" }));
    refused(&machine, "n1", &netns, "an interface name holds no /");
}

#[test]
fn an_exhausted_range_leaves_nothing_of_the_attempt() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/30"]));
    let first = machine.netns("c1");
    machine.add(&network, &first);
    let devices = machine.devices("");
    let second = machine.netns("c2");
    let output = machine.wasm_cni(&["add", &network, &second]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let out = text(&output);
    assert!(out.contains("no IP addresses available in range set: 10.1.0.1-10.1.0.2"), "{out}");
    assert_eq!(machine.devices(""), devices);
    assert_eq!(machine.devices("-n c2 "), ["lo"]);
    assert_eq!(machine.leases("n1"), ["10.1.0.2"]);
    machine.del(&network, &first);
}

#[test]
fn a_second_range_that_fails_gives_the_first_ones_address_back() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let mut plugin = bridge(&["10.1.0.0/24", "10.2.0.0/24"]);
    plugin["ipam"]["ranges"][1][0]["rangeStart"] = "10.2.0.1".into();
    plugin["ipam"]["ranges"][1][0]["rangeEnd"] = "10.2.0.1".into();
    machine.network("n1", plugin);
    refused(&machine, "n1", &netns, "failed to allocate for range 1");
}

#[test]
fn a_data_directory_that_cannot_be_written() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    machine.network("n1", bridge(&["10.1.0.0/24"]));
    // Read-only also for root.
    let data = machine.root().join("var/lib/cni");
    fs::create_dir_all(&data).unwrap();
    let script = "mount -t tmpfs -o ro tmpfs \"$1\" && exec \"$2\" add n1 \"$3\"";
    let mut command = machine.command("sh");
    let output =
        command.args(["-c", script, "sh", data.to_str().unwrap(), crate::machine::PROGRAM, &netns]).output().unwrap();
    let out = text(&output);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("read-only file system"), "{out}");
    assert_eq!(machine.devices(""), ["lo"]);
    assert_eq!(machine.devices("-n c1 "), ["lo"]);
}

#[test]
fn a_result_that_cannot_be_kept_is_taken_back() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    machine.network("n1", bridge(&["10.1.0.0/24"]));
    let results = machine.root().join("var/lib/cni/results");
    fs::create_dir_all(results.parent().unwrap()).unwrap();
    fs::write(&results, "in the way").unwrap();
    refused(&machine, "n1", &netns, "cannot use the result cache: mkdir ");
    assert_eq!(machine.devices("-n c1 "), ["lo"]);
}

#[test]
fn bridge_22_an_unknown_masquerade_backend_is_refused_before_any_effect() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let mut plugin = bridge(&["10.1.0.0/24"]);
    plugin["ipMasq"] = true.into();
    plugin["ipMasqBackend"] = "foo".into();
    machine.network("n1", plugin);
    refused(&machine, "n1", &netns, r#"unknown ipmasq backend "foo""#);
}

#[test]
fn an_unreadable_resolv_conf() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let mut plugin = bridge(&["10.1.0.0/24"]);
    plugin["ipam"]["resolvConf"] = "/nonexistent/resolv.conf".into();
    machine.network("n1", plugin.clone());
    refused(&machine, "n1", &netns, "open /nonexistent/resolv.conf: no such file or directory");
    let file = machine.folder().join("resolv.conf");
    fs::write(&file, "nameserver 10.0.0.53\nsearch a.example b.example\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    plugin["ipam"]["resolvConf"] = file.to_str().unwrap().into();
    let network = machine.network("n1", plugin);
    let result = machine.add(&network, &netns);
    assert_eq!(result["dns"], json!({ "nameservers": ["10.0.0.53"], "search": ["a.example", "b.example"] }));
    machine.del(&network, &netns);
}
