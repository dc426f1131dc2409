//! GC and DEL under a plugin's name: links, rules and leases of attachments that
//! are no longer valid go, and no others.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    hostile::scene::compiled,
    machine::{Machine, bridge, text},
};

/// A bridge or a point-to-point link with leases in the machine's folder.
fn config(machine: &Machine, kind: &str, members: Value) -> String {
    let mut config = bridge(&["10.1.0.0/24", "fd00:10::/64"]);
    config["type"] = kind.into();
    config["cniVersion"] = "1.1.0".into();
    config["name"] = "n1".into();
    config["ipam"]["dataDir"] = machine.folder().join("leases").to_str().unwrap().into();
    config.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    config.to_string()
}

fn call(machine: &Machine, kind: &str, command: &str, id: &str, config: &str) -> String {
    let netns = format!("/run/netns/{id}");
    let env = [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", id),
        ("CNI_NETNS", &netns),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/nonexistent"),
        ("WASM_CNI_ROOT", "/"),
    ];
    let output = machine.plugin(kind, &env, config);
    assert!(output.status.success(), "{command} {id}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn leases(machine: &Machine) -> Vec<String> {
    let entries = std::fs::read_dir(machine.folder().join("leases/n1")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "lock" && !name.starts_with("last_reserved_ip"));
    names.sort();
    names
}

/// The host's ends of pairs.
fn pairs(machine: &Machine) -> Vec<String> {
    machine.devices("").into_iter().filter(|name| name.starts_with("veth")).collect()
}

fn records(machine: &Machine) -> usize {
    let output = machine.command("find").args(["/run/wasm-cni", "-type", "f"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().count()
}

fn gc(live: &[&str]) -> Value {
    let live: Vec<_> = live.iter().map(|id| json!({ "containerID": id, "ifname": "eth0" })).collect();
    json!({ "cni.dev/valid-attachments": live })
}

#[test]
fn gc_removes_links_and_leases_of_invalid_attachments() {
    for kind in ["bridge", "ptp"] {
        let machine = Machine::new();
        let plain = config(&machine, kind, json!({}));
        for id in ["c1", "c2", "c3"] {
            machine.netns(id);
            call(&machine, kind, "ADD", id, &plain);
        }
        assert_eq!((pairs(&machine).len(), leases(&machine).len(), records(&machine)), (3, 6, 3));
        for _ in 0..2 {
            call(&machine, kind, "GC", "", &config(&machine, kind, gc(&["c2"])));
            assert_eq!(leases(&machine), ["10.1.0.3", "fd00:10::3"]);
            assert_eq!((pairs(&machine).len(), records(&machine)), (1, 1));
            assert_eq!(machine.devices("-n c1 "), ["lo"]);
            assert_eq!(machine.devices("-n c2 "), ["lo", "eth0"]);
        }
        // It says nothing of another network, nor of none.
        let other = config(&machine, kind, json!({ "name": "n2", "cni.dev/valid-attachments": [] }));
        call(&machine, kind, "GC", "", &other);
        call(&machine, kind, "GC", "", &plain);
        assert_eq!((pairs(&machine).len(), leases(&machine).len()), (1, 2));
        call(&machine, kind, "DEL", "c2", &plain);
        assert_eq!((pairs(&machine).len(), leases(&machine).len(), records(&machine)), (0, 0, 0));
    }
}

/// Runtimes call plugins by their names; people come with the network.
#[test]
fn attachments_of_plugin_mode_belong_to_the_network() {
    for verb in ["gc", "del"] {
        let machine = Machine::new();
        let plain = config(&machine, "bridge", json!({}));
        let netns = machine.netns("c1");
        call(&machine, "bridge", "ADD", "c1", &plain);
        let mut plugin: Value = serde_json::from_str(&plain).unwrap();
        plugin.as_object_mut().unwrap().retain(|key, _| !["name", "cniVersion"].contains(&key.as_str()));
        let network = machine.network("n1", plugin);
        let arguments: &[&str] = match verb {
            "gc" => &["gc", &network, "--keep", "other/eth0"],
            _ => &["del", &network, &netns, "--container-id", "c1"],
        };
        let mut command = machine.wasm_cni(arguments);
        // /run is the machine's own, /var is not.
        command.env("WASM_CNI_ROOT", "/").env("WASM_CNI_CACHE_DIR", machine.folder().join("cache"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{verb}: {}", text(&output));
        assert_eq!((pairs(&machine).len(), leases(&machine).len(), records(&machine)), (0, 0, 0), "{verb}");
    }
}

#[test]
fn a_path_that_names_another_namespace_by_now_is_left_alone() {
    let machine = Machine::new();
    let plain = config(&machine, "bridge", json!({}));
    machine.netns("c1");
    call(&machine, "bridge", "ADD", "c1", &plain);
    // Another container gets the path, and an interface from somebody else.
    let script = "ip netns del c1; ip netns add c1; ip -n c1 link add eth0 type bridge";
    assert!(machine.command("sh").args(["-ec", script]).status().unwrap().success());
    call(&machine, "bridge", "GC", "", &config(&machine, "bridge", gc(&[])));
    assert_eq!(machine.devices("-n c1 "), ["lo", "eth0"]);
    assert_eq!((leases(&machine).len(), records(&machine)), (0, 0));
}

/// The configuration is not what it was, nor is there a result of before.
#[test]
fn del_removes_what_its_configuration_does_not_say_any_more() {
    for kind in ["bridge", "ptp"] {
        let machine = Machine::new();
        machine.netns("c1");
        let filters = json!({ "ipMasq": true, "ipMasqBackend": "nftables", "macspoofchk": true });
        call(&machine, kind, "ADD", "c1", &config(&machine, kind, filters));
        let mut keeper = keeper(&machine, "c1");
        assert!(machine.command("ip").args(["netns", "del", "c1"]).status().unwrap().success());
        let ipam = json!({ "ipam": { "type": "static", "addresses": [] } });
        for _ in 0..2 {
            call(&machine, kind, "DEL", "c1", &config(&machine, kind, ipam.clone()));
        }
        assert_eq!((pairs(&machine).len(), leases(&machine).len(), records(&machine)), (0, 0, 0), "{kind}");
        let rules = machine.command("sh").args(["-c", "nft list ruleset 2>/dev/null | grep c1"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&rules.stdout), "", "{kind}");
        drop(keeper.stdin.take());
        keeper.wait().unwrap();
    }
}

/// Keeps a namespace that has no path any more, as a process of the container does.
fn keeper(machine: &Machine, netns: &str) -> Child {
    let mut command: Command = machine.command("ip");
    command.args(["netns", "exec", netns, "sh", "-c", "echo ready; exec cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
    child
}

#[test]
fn del_finds_the_host_s_end_of_a_container_that_is_out_of_reach() {
    for kind in ["bridge", "ptp"] {
        let machine = Machine::new();
        machine.netns("c1");
        let plain = config(&machine, kind, json!({}));
        let result: Value = serde_json::from_str(&call(&machine, kind, "ADD", "c1", &plain)).unwrap();
        let mut keeper = keeper(&machine, "c1");
        assert!(machine.command("ip").args(["netns", "del", "c1"]).status().unwrap().success());
        assert_eq!(pairs(&machine).len(), 1);
        // Without a record there is the result of the ADD.
        assert!(machine.command("rm").args(["-r", "/run/wasm-cni"]).status().unwrap().success());
        // One that only has its name is not it.
        let mut other = result.clone();
        for interface in other["interfaces"].as_array_mut().unwrap() {
            interface["mac"] = "02:00:00:00:00:99".into();
        }
        call(&machine, kind, "DEL", "c1", &config(&machine, kind, json!({ "prevResult": other })));
        assert_eq!(pairs(&machine).len(), 1);
        call(&machine, kind, "DEL", "c1", &config(&machine, kind, json!({ "prevResult": result })));
        assert_eq!(pairs(&machine), [""; 0], "{kind}");
        assert_eq!(machine.devices("").contains(&"br0".to_owned()), kind == "bridge");
        drop(keeper.stdin.take());
        keeper.wait().unwrap();
    }
}

/// They are third-party components, so that all they did is on the record.
#[test]
fn del_needs_no_plugin_that_is_not_installed_any_more() {
    let bridge = |ipam: &str| json!({ "type": "bridge", "bridge": "br1", "ipam": { "type": ipam, "mode": "ok" } });
    let next = json!([bridge("hostile_ipam"), { "type": "hostile", "mode": "ok" }]);
    for plugins in [next, json!([bridge("hostile_ipam")])] {
        let machine = Machine::new();
        let netns = machine.netns("c1");
        let list = json!({ "cniVersion": "1.1.0", "name": "n1", "plugins": plugins });
        std::fs::write(machine.conf_dir().join("n1.conflist"), list.to_string()).unwrap();
        let call = |verb: &str, folder: &Path| {
            let allowed = ["--allow-host", "hostile", "--allow-host", "hostile_ipam"];
            let output =
                machine.wasm_cni(&[verb, "n1", &netns]).args(allowed).env("CNI_PATH", folder).output().unwrap();
            (output.status.success(), text(&output))
        };
        let none = Path::new("/nonexistent");
        // Without a record there is nobody who knows what it did.
        let (ended, said) = call("del", none);
        assert!(!ended && said.contains("failed to find plugin \"hostile"), "{said}");
        let (ended, said) = call("add", &compiled());
        assert!(ended, "{said}");
        let (ended, said) = call("del", none);
        assert!(ended && said.contains("its recorded effects are removed anyway"), "{said}");
        assert_eq!((pairs(&machine).len(), machine.devices("-n c1 ")), (0, vec!["lo".to_owned()]));
        let state = machine.command("find").arg(machine.root()).args(["-type", "f"]).output().unwrap();
        let state = String::from_utf8(state.stdout).unwrap();
        assert!(!state.contains("/results/") && !state.contains("/attachments/"), "{state}");
        assert!(!state.contains("/networks/n1/10."), "{state}");
    }
}

#[test]
fn gc_by_the_command_detaches_containers_whose_namespace_is_there() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    // One by its name, one by a process that is in it.
    let mut unshare = machine.command("unshare");
    unshare.args(["--net", "sh", "-c", "echo ready; exec cat >/dev/null"]);
    let mut inside = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(inside.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let process = format!("/proc/{}/ns/net", inside.id());
    for (id, netns) in [("c1", machine.netns("c1")), ("c2", machine.netns("c2")), ("c3", process.clone())] {
        let output = machine.wasm_cni(&["add", &network, &netns, "--container-id", id]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    let output = machine.wasm_cni(&["gc", &network, "--keep", "c2/eth0"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!((machine.devices("-n c1 "), pairs(&machine).len()), (vec!["lo".to_owned()], 1));
    assert_eq!(machine.leases("n1"), ["10.1.0.3"]);
    drop(inside.stdin.take());
    inside.wait().unwrap();
}
