//! Guests as they were compiled against a published version of the WIT: they run
//! with every later host, and nobody has to compile them again.
//!
//! `host/tests/published/VERSION` has three plugins that import most of what there is. They
//! are never built again for a host that no longer runs them: such a change needs
//! a new version of its package and waits in `wit/PENDING.md`.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    hello_plugin::repository,
    machine::{Machine, addresses, has_link_kind, script, text},
};

const VERSIONS: [&str; 1] = ["0.1.0"];

/// A machine that has the plugins of this version as `bridge-then`, `host-local-then`
/// and `macvlan-then`, with the grants of those that are built today.
fn machine(version: &str) -> (Machine, PathBuf) {
    let machine = Machine::new();
    let plugins = machine.folder().join("plugins");
    let policies = machine.root().join("etc/wasm-cni/policy.d");
    fs::create_dir_all(&plugins).unwrap();
    fs::create_dir_all(&policies).unwrap();
    for name in ["bridge", "host-local", "macvlan"] {
        let published = repository().join("host/tests/published").join(version).join(format!("{name}.wasm"));
        fs::copy(published, plugins.join(format!("{name}-then.wasm"))).unwrap();
        let grants = fs::read_to_string(repository().join("guest-plugins").join(name).join("policy.toml")).unwrap();
        let policy = policies.join(format!("{name}.toml"));
        fs::write(&policy, grants.replace(&format!("[plugins.{name}]"), &format!("[plugins.{name}-then]"))).unwrap();
        fs::set_permissions(&policy, fs::Permissions::from_mode(0o644)).unwrap();
    }
    (machine, plugins)
}

/// ADD, CHECK and DEL; the container's address and what is left on the host's side
/// after ADD.
fn attach(machine: &Machine, plugins: &PathBuf, plugin: Value) -> (Vec<String>, Vec<String>) {
    let network = machine.network("n1", plugin);
    let netns = machine.netns("c1");
    let call = |operation: &str| {
        let output = machine.wasm_cni(&[operation, &network, &netns]).env("CNI_PATH", plugins).output().unwrap();
        assert!(output.status.success(), "{operation}: {}", text(&output));
    };
    call("add");
    call("check");
    let there = (addresses(&machine.ip("-n c1 addr show eth0")[0]), machine.devices(""));
    call("del");
    assert_eq!(machine.devices("-n c1 "), ["lo"]);
    assert_eq!(machine.leases("n1"), [""; 0]);
    there
}

fn ipam() -> Value {
    json!({ "type": "host-local-then", "subnet": "10.9.0.0/24" })
}

#[test]
fn a_bridge_with_a_filter_and_an_ipam_plugin() {
    for version in VERSIONS {
        let (machine, plugins) = machine(version);
        let plugin = json!({
            "type": "bridge-then", "bridge": "b0", "isGateway": true, "ipMasq": true,
            "ipMasqBackend": "nftables", "ipam": ipam(),
        });
        let (addresses, devices) = attach(&machine, &plugins, plugin);
        assert!(addresses.contains(&"10.9.0.2/24".to_owned()), "{addresses:?}");
        assert!(devices.contains(&"b0".to_owned()), "{devices:?}");
    }
}

#[test]
fn a_link_kind_of_a_package_of_its_own() {
    if !has_link_kind("macvlan") {
        return;
    }
    for version in VERSIONS {
        let (machine, plugins) = machine(version);
        script(&machine, "ip link add uplink type veth peer name wire; ip link set uplink up; ip link set wire up");
        let plugin = json!({ "type": "macvlan-then", "master": "uplink", "ipam": ipam() });
        let (addresses, _) = attach(&machine, &plugins, plugin);
        assert!(addresses.contains(&"10.9.0.2/24".to_owned()), "{addresses:?}");
    }
}
