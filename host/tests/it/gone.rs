//! Namespaces that are gone, or another container's by now: DEL releases what is on record, and ADD makes the attachment
//! anew.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::machine::{Machine, bridge, script, text};

fn config(kind: &str, members: &Value) -> String {
    let mut config = json!({ "cniVersion": "1.0.0", "name": "n1", "type": kind });
    config.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    config.to_string()
}

fn call(machine: &Machine, kind: &str, command: &str, netns: &str, config: &str) -> Output {
    let ifname = if kind == "loopback" { "lo" } else { "eth0" };
    let env = [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", netns),
        ("CNI_IFNAME", ifname),
        ("CNI_PATH", "/nonexistent"),
    ];
    machine.plugin(kind, &env, config)
}

fn ok(output: &Output, what: &str) {
    assert!(output.status.success(), "{what}: {}", text(output));
}

fn masqueraded() -> Value {
    let mut plugin = bridge(&["10.1.0.0/24"]);
    plugin["ipMasq"] = true.into();
    plugin["ipMasqBackend"] = "nftables".into();
    plugin
}

/// Paths that lead to no namespace.
fn paths_without(machine: &Machine) -> Vec<String> {
    let file = machine.folder().join("left");
    std::fs::write(&file, "").unwrap();
    let mut child = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
    let ended = child.id();
    child.wait().unwrap();
    let file = file.display();
    vec![file.to_string(), format!("{file}/ns"), format!("/proc/{ended}/ns/net"), "/proc/self/ns/mnt".to_owned()]
}

#[test]
fn del_of_a_namespace_that_is_gone_releases_by_the_record() {
    let machine = Machine::new();
    let plugin = config("bridge", &masqueraded());
    for gone in paths_without(&machine) {
        let netns = machine.netns("c1");
        ok(&call(&machine, "bridge", "ADD", &netns, &plugin), "ADD");
        for _ in 0..2 {
            ok(&call(&machine, "bridge", "DEL", &gone, &plugin), &gone);
        }
        assert_eq!(machine.leases("n1"), [""; 0], "{gone}");
        assert!(!machine.devices("").iter().any(|name| name.starts_with("veth")), "{gone}");
        script(&machine, "ip netns del c1");
    }
}

#[test]
fn every_plugin_takes_a_path_without_a_namespace_for_a_namespace_that_is_gone() {
    let machine = Machine::new();
    let ipam = json!({ "type": "host-local", "subnet": "10.1.0.0/24" });
    for (kind, members) in [
        ("bridge", json!({ "ipam": ipam })),
        ("ptp", json!({ "ipam": ipam })),
        ("macvlan", json!({ "master": "lo", "ipam": ipam })),
        ("dummy", json!({ "ipam": ipam })),
        ("host-device", json!({ "device": "d0" })),
        ("loopback", json!({})),
        ("sbr", json!({})),
    ] {
        for gone in paths_without(&machine) {
            ok(&call(&machine, kind, "DEL", &gone, &config(kind, &members)), &format!("{kind}, {gone}"));
        }
    }
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    for gone in paths_without(&machine) {
        ok(&machine.wasm_cni(&["del", &network, &gone]).output().unwrap(), &gone);
    }
}

#[test]
fn del_does_not_touch_the_container_that_has_the_path_by_now() {
    let machine = Machine::new();
    let plugin = config("bridge", &masqueraded());
    let netns = machine.netns("c1");
    ok(&call(&machine, "bridge", "ADD", &netns, &plugin), "ADD");
    // The same path, and an interface of the same name, of somebody else's.
    script(
        &machine,
        "ip netns del c1; ip netns add c0; ip netns add c1; ip -n c1 link add eth0 type veth peer name p0",
    );
    for _ in 0..2 {
        ok(&call(&machine, "bridge", "DEL", &netns, &plugin), "DEL");
        assert_eq!(machine.leases("n1"), [""; 0]);
        if machine.devices("-n c1 ").contains(&"eth0".to_owned()) {
            continue;
        }
        panic!("another container's interface is gone");
    }
}

/// Its record is taken back before the DEL, and says nothing any more.
#[test]
fn del_of_an_add_that_was_killed_does_not_touch_the_container_that_has_the_path_by_now() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let plugin = config("bridge", &bridge(&["10.1.0.0/24"]));
    script(&machine, "ip netns add c2; ip -n c2 link add eth0 type veth peer name p0");
    let journal = machine.root().join("run/wasm-cni/journal");
    for at in [4, 6, 8] {
        for by_name in [true, false] {
            let netns = machine.netns("c1");
            let kill = format!("kill:{at}");
            let add = match by_name {
                true => {
                    let env = [
                        ("CNI_COMMAND", "ADD"),
                        ("CNI_CONTAINERID", "c1"),
                        ("CNI_NETNS", &*netns),
                        ("CNI_IFNAME", "eth0"),
                        ("CNI_PATH", "/nonexistent"),
                        ("WASM_CNI_FAULT", &*kill),
                    ];
                    machine.plugin("bridge", &env, &plugin)
                }
                false => machine.wasm_cni(&["add", &network, &netns]).env("WASM_CNI_FAULT", kill).output().unwrap(),
            };
            assert!(add.status.code().is_none() && std::fs::read_dir(&journal).unwrap().count() == 1, "{}", text(&add));
            script(&machine, "mount --bind /run/netns/c2 /run/netns/c1");
            for _ in 0..2 {
                match by_name {
                    true => ok(&call(&machine, "bridge", "DEL", &netns, &plugin), "DEL"),
                    false => ok(&machine.wasm_cni(&["del", &network, &netns]).output().unwrap(), "del"),
                }
                assert!(machine.devices("-n c2 ").contains(&"eth0".to_owned()), "killed at {at}");
                assert_eq!(machine.leases("n1"), [""; 0]);
            }
            // No mark is left for when the path is a container's own again, or nobody's.
            script(&machine, "umount /run/netns/c1; ip netns del c1");
            match by_name {
                true => ok(&call(&machine, "bridge", "DEL", &netns, &plugin), "DEL"),
                false => ok(&machine.wasm_cni(&["del", &network, &netns]).output().unwrap(), "del"),
            }
            let left = machine.command("find").arg(machine.root().join("run")).args(["-type", "f"]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&left.stdout), "");
        }
    }
}

#[test]
fn an_attachment_whose_namespace_died_is_made_anew() {
    let machine = Machine::new();
    let plugin = config("bridge", &masqueraded());
    let netns = machine.netns("c1");
    ok(&call(&machine, "bridge", "ADD", &netns, &plugin), "ADD");
    script(&machine, "ip netns del c1; ip netns add c0; ip netns add c1");
    ok(&call(&machine, "bridge", "ADD", &netns, &plugin), "ADD again");
    assert_eq!(machine.leases("n1").len(), 1);
    let pairs = || machine.devices("").into_iter().filter(|name| name.starts_with("veth")).count();
    assert_eq!(pairs(), 1);
    // One that is alive is in the way, in the reference's words.
    let output = call(&machine, "bridge", "ADD", &netns, &plugin);
    assert!(!output.status.success() && machine.leases("n1").len() == 1, "{}", text(&output));
    assert_eq!(pairs(), 1);
    ok(&call(&machine, "bridge", "DEL", &netns, &plugin), "DEL");
    assert_eq!((machine.leases("n1").len(), pairs()), (0, 0));
}
