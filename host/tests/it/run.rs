//! `run`: a command in a namespace for as long as it runs, and nothing after.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::machine::{Machine, PROGRAM, bridge, text};

/// All that a run could leave: devices, names of namespaces, files.
fn state(machine: &Machine) -> (Vec<String>, String, BTreeSet<String>) {
    let names = machine.command("ip").args(["netns", "list"]).output().unwrap();
    let mut files = BTreeSet::new();
    collect(&machine.root(), &mut files);
    (machine.devices(""), String::from_utf8(names.stdout).unwrap(), files)
}

fn collect(folder: &Path, files: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        files.insert(path.display().to_string());
        if path.is_dir() {
            collect(&path, files);
        }
    }
}

#[test]
fn the_command_has_the_interface_and_nothing_is_left() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let before = state(&machine);
    let output = machine.wasm_cni(&["run", &network, "--", "ip", "-brief", "address"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.contains("eth0") && out.contains("10.1.0.2/24") && out.contains("127.0.0.1/8"), "{out}");
    assert_eq!(state(&machine), before);
}

#[test]
fn the_exit_status_is_the_commands() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let before = state(&machine);
    for (command, status) in [("exit 7", 7), ("kill -TERM $$", 143), ("exit 0", 0)] {
        let output = machine.wasm_cni(&["run", &network, "sh", "-c", command]).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{command}: {}", text(&output));
    }
    let output = machine.wasm_cni(&["run", &network, "--", "/nonexistent/command"]).output().unwrap();
    assert_eq!(output.status.code(), Some(127), "{}", text(&output));
    let plain = machine.folder().join("plain");
    fs::write(&plain, "").unwrap();
    let output = machine.wasm_cni(&["run", &network, "--", plain.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(126), "{}", text(&output));
    assert_eq!(state(&machine), before);
}

#[test]
fn a_signal_ends_the_command_and_everything_is_removed() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let before = state(&machine);
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        // Who runs the tests in the background has them ignore SIGINT, and what
        // is ignored stays ignored across exec.
        let mut command = machine.command("env");
        command.args(["--default-signal", PROGRAM, "run", &network, "--", "sh", "-c", "echo up; exec sleep 60"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        assert_eq!(machine.leases("n1").len(), 1);
        // nsenter has become the program, so this is its process.
        let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(child.wait().unwrap().code(), Some(status), "after SIG{signal}");
        assert_eq!(state(&machine), before, "after SIG{signal}");
    }
}

#[test]
fn a_signal_during_the_attachment_is_answered_after_it() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let before = state(&machine);
    for _ in 0..10 {
        let child = machine.wasm_cni(&["run", &network, "--", "sleep", "60"]).spawn();
        let mut child = child.unwrap();
        // Whenever it comes: before the hold, during ADD, or while it sleeps.
        let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        let _ = child.wait();
        assert_eq!(state(&machine), before);
    }
}

#[test]
fn a_plugins_error_is_printed_and_nothing_is_left() {
    let machine = Machine::new();
    let mut plugin = bridge(&["10.1.0.0/24"]);
    plugin["ipam"]["type"] = "nope".into();
    let network = machine.network("n1", plugin);
    let before = state(&machine);
    let output = machine.wasm_cni(&["run", &network, "--", "true"]).env("CNI_PATH", "/p").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let out = text(&output);
    assert!(out.contains("failed to find plugin \"nope\" in path [/p]"), "{out}");
    assert_eq!(state(&machine), before);
}

#[test]
fn what_other_attachments_use_stays() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let netns = machine.netns("c1");
    machine.add(&network, &netns);
    let before = state(&machine);
    let output = machine.wasm_cni(&["run", &network, "--", "true"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(state(&machine), before);
    machine.del(&network, &netns);
}

#[test]
fn isolated_needs_no_privilege_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.conflist");
    let list = json!({ "cniVersion": "1.1.0", "name": "n1", "plugins": [bridge(&["10.1.0.0/24"])] });
    fs::write(&file, list.to_string()).unwrap();
    let devices = || fs::read_to_string("/proc/net/dev").unwrap().lines().count();
    let before = devices();
    // A second container, on the same bridge, from inside the first.
    let script = format!("ip -brief address; {PROGRAM} run {} -- ip -brief address", file.display());
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--isolated"]).arg(&file).args(["--", "sh", "-c", &script]);
    let cache = folder.path().join("cache");
    command.env_remove("WASM_CNI_ROOT").env_remove("WASM_CNI_HOST_NETNS").env("WASM_CNI_CACHE_DIR", &cache);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.contains("10.1.0.2/24") && out.contains("10.1.0.3/24"), "{out}");
    assert_eq!(devices(), before);
    assert!(!cache.exists());
}

#[test]
fn inside_an_isolated_run_namespaces_can_be_added_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let list = json!({ "cniVersion": "1.1.0", "name": "n1", "plugins": [bridge(&["10.1.0.0/24"])] });
    fs::write(folder.path().join("net.conflist"), list.to_string()).unwrap();
    let script = format!(
        "set -e; ip netns add c2; {PROGRAM} add n1 /run/netns/c2 >/dev/null; {PROGRAM} check n1 /run/netns/c2; \
         ip -n c2 -brief address; {PROGRAM} del n1 /run/netns/c2; ip -n c2 -brief link"
    );
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--isolated", "n1", "sh", "-c", &script]).env("NETCONFPATH", folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.contains("10.1.0.3/24"), "{out}");
    assert_eq!(out.matches("eth0").count(), 1, "{out}");
}

#[test]
fn the_next_call_undoes_a_killed_run() {
    let machine = Machine::new();
    let mut plugin = bridge(&["10.1.0.0/24"]);
    plugin["macspoofchk"] = true.into();
    machine.network("n1", plugin);
    let before = (machine.devices(""), machine.leases("n1"));
    let mut run = machine.wasm_cni(&["run", "n1", "--", "sh", "-c", "echo ready; exec sleep 60"]);
    let mut run = run.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(run.stdout.as_mut().unwrap()), &mut line).unwrap();
    assert_eq!((line.as_str(), machine.leases("n1").len()), ("ready\n", 1));
    // Nothing to take back while it is alive.
    let nothing = machine.wasm_cni(&["recover", "--dry-run"]).output().unwrap();
    assert_eq!(text(&nothing).trim(), "exit status: 0");
    // Of the program itself: `nsenter` has become it.
    run.kill().unwrap();
    run.wait().unwrap();
    let found = machine.wasm_cni(&["recover", "--dry-run", "-o", "json"]).output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!((&found[0]["network"], found.as_array().unwrap().len()), (&"n1".into(), 1));
    let recovered = machine.wasm_cni(&["recover"]).output().unwrap();
    assert!(recovered.status.success() && text(&recovered).contains("10.1.0.2"), "{}", text(&recovered));
    assert_eq!((machine.devices(""), machine.leases("n1")), before);
    let list = machine.wasm_cni(&["list", "-o", "json"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&list.stdout).trim(), "[]");
}
