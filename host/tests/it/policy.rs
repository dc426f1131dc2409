//! The operator's policy: what it gives, what it takes, and that a mistake in it
//! allows nothing.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Output};

use serde_json::{Value, json};

use crate::{
    machine::{Machine, bridge, text},
    outside::plugins,
};

fn write(machine: &Machine, name: &str, text: &str) {
    let path = machine.root().join("etc/wasm-cni").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
}

/// `add` of one plugin.
fn add(machine: &Machine, plugin: Value) -> Output {
    let network = machine.network("n1", plugin);
    let netns = "/run/netns/c1";
    if !machine.devices("").is_empty() && !machine.command("test").args(["-e", netns]).status().unwrap().success() {
        machine.netns("c1");
    }
    machine.wasm_cni(&["add", &network, netns]).env("CNI_PATH", plugins()).output().unwrap()
}

/// It is refused with these words, and nothing is left.
fn refused(machine: &Machine, plugin: Value, expected: &[&str]) {
    let output = add(machine, plugin);
    let out = text(&output);
    assert_eq!(output.status.code(), Some(1), "{out}");
    for expected in expected {
        assert!(out.contains(expected), "{expected:?} is not in {out}");
    }
    assert_eq!(machine.devices(""), ["lo"], "{out}");
    assert_eq!(machine.devices("-n c1 "), ["lo"], "{out}");
    assert_eq!(machine.leases("n1"), [""; 0], "{out}");
}

fn hostile(mode: &str) -> Value {
    json!({ "type": "hostile", "mode": mode })
}

#[test]
fn a_plugin_from_elsewhere_starts_with_nothing() {
    let machine = Machine::new();
    refused(&machine, hostile("ok"), &["it needs the container's namespace and has no grant for it"]);
    write(&machine, "policy.d/hostile.toml", "[plugins.hostile]\nnamespaces = [\"sandbox\"]\n");
    let added = add(&machine, hostile("ok"));
    assert!(added.status.success(), "{}", text(&added));
    // That is all that it has.
    let half = json!({ "type": "hostile", "mode": "half", "ipam": { "type": "host-local", "subnet": "10.9.0.0/24" } });
    refused(&machine, half.clone(), &["grants do not name the host's network namespace"]);
    write(&machine, "policy.d/hostile.toml", "[plugins.hostile]\nnamespaces = [\"sandbox\", \"host\"]\n");
    refused(&machine, half.clone(), &["has no grant for operations of this kind: add \"link-add\" to `operations`"]);
    let operations =
        "[plugins.hostile]\nnamespaces = [\"sandbox\", \"host\"]\noperations = [\"link-add\", \"addr-add\"]\n";
    write(&machine, "policy.d/hostile.toml", operations);
    refused(&machine, half.clone(), &["has no grant for a bridge of this name"]);
    let links = format!("{operations}host-links = [\"half*\"]\n");
    write(&machine, "policy.d/hostile.toml", &links);
    refused(&machine, half.clone(), &["has no grant to delegate to \"host-local\""]);
    write(&machine, "policy.d/hostile.toml", &format!("{links}delegates = [\"host-*\"]\n"));
    refused(&machine, half, &["hostile says: half done"]);
}

#[test]
fn bundled_plugins_can_be_kept_from_what_they_have_by_themselves() {
    let masquerade = || {
        let mut plugin = bridge(&["10.1.0.0/24"]);
        plugin["ipMasq"] = true.into();
        plugin["ipMasqBackend"] = "nftables".into();
        plugin
    };
    for (policy, expected) in [
        ("host-links = [\"cni*\"]", "has no grant for a bridge of this name"),
        ("namespaces = [\"sandbox\"]", "grants do not name the host's network namespace"),
        ("namespaces = []", "it needs the container's namespace and has no grant for it"),
        ("filters = [\"spoof-check\"]", "masquerade-add"),
        ("delegates = [\"static\"]", "has no grant to delegate to \"host-local\""),
        ("host-sysctls = []", "has no grant for this sysctl in the host namespace"),
        ("operations = [\"link-add\", \"link-set\", \"sysctl-set\"]", "has no grant for operations of this kind"),
    ] {
        let machine = Machine::new();
        write(&machine, "policy.toml", &format!("[plugins.bridge]\n{policy}\n"));
        refused(&machine, masquerade(), &[expected]);
    }
    let machine = Machine::new();
    write(&machine, "policy.toml", "[plugins.host-local]\ndata-dirs = [\"/srv\"]\n");
    refused(&machine, masquerade(), &["has no grant for a store"]);
    write(
        &machine,
        "policy.toml",
        "[plugins.bridge]\nhost-links = [\"b*0\"]\n[plugins.host-local]\ndata-dirs = [\"/var/lib\"]\n",
    );
    let added = add(&machine, bridge(&["10.1.0.0/24"]));
    assert!(added.status.success(), "{}", text(&added));
}

#[test]
fn a_mistake_allows_nothing() {
    let machine = Machine::new();
    let mistake = "[plugins.bridge]\n\nhost-link = [\"*\"]\n";
    write(&machine, "policy.toml", mistake);
    refused(&machine, bridge(&["10.1.0.0/24"]), &["invalid policy ", "policy.toml", "line 3, column 1", "host-link"]);
    write(&machine, "policy.toml", "");
    write(&machine, "policy.d/x.toml", mistake);
    refused(&machine, bridge(&["10.1.0.0/24"]), &["policy.d/x.toml", "line 3, column 1"]);
    write(&machine, "policy.d/x.toml", "");
    let path = machine.root().join("etc/wasm-cni/policy.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o602)).unwrap();
    refused(&machine, bridge(&["10.1.0.0/24"]), &["only root, or who runs this, can write to"]);
}

/// A misspelt path must not remove what the operator has forbidden.
#[test]
fn a_policy_that_was_named_must_exist() {
    let machine = Machine::new();
    let (network, netns) = (machine.network("n1", bridge(&["10.1.0.0/24"])), machine.netns("c1"));
    let missing = machine.folder().join("polcy.toml");
    let expected = format!("cannot read the policy {}: no such file or directory", missing.display());
    for by_variable in [false, true] {
        let mut command = machine.wasm_cni(&["add", &network, &netns]);
        match by_variable {
            true => command.env("WASM_CNI_POLICY", &missing),
            false => command.arg("--policy").arg(&missing),
        };
        let output = command.output().unwrap();
        assert!(!output.status.success() && text(&output).contains(&expected), "{}", text(&output));
    }
}

#[test]
fn limits_are_the_policy_s() {
    let machine = Machine::new();
    write(&machine, "policy.toml", "[limits]\nhost-calls = 4\n");
    refused(&machine, bridge(&["10.1.0.0/24"]), &["it made more than 4 host calls"]);
    let grants = "[plugins.hostile]\nnamespaces = [\"sandbox\"]\n";
    // Each by itself: on a slow machine, the time would be up first.
    write(&machine, "policy.toml", &format!("[limits]\nmemory-mib = 8\n{grants}"));
    refused(&machine, hostile("alloc"), &["it wanted more than 8 MiB of memory"]);
    write(&machine, "policy.toml", &format!("[limits]\ntime-seconds = 1\n{grants}"));
    refused(&machine, hostile("loop"), &["it ran longer than 1 s"]);
}

#[test]
fn the_example_is_a_policy() {
    let machine = Machine::new();
    let example = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/policy.toml");
    write(&machine, "policy.toml", &fs::read_to_string(example).unwrap());
    refused(&machine, bridge(&["10.1.0.0/24"]), &["has no grant for a bridge of this name"]);
    let mut plugin = bridge(&["10.1.0.0/24"]);
    plugin["bridge"] = "prod-1".into();
    let added = add(&machine, plugin);
    assert!(added.status.success(), "{}", text(&added));
}
