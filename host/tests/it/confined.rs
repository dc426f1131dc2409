//! What the process has given up by the time that a plugin runs: seen from
//! outside, in /proc, while one does.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    hostile::scene::{ALLOWED, Scene, compiled},
    machine::{Machine, text},
};

/// `CAP_DAC_OVERRIDE`, `CAP_NET_ADMIN`, `CAP_NET_RAW`, `CAP_SYS_ADMIN` of
/// linux/capability.h.
const CAPABILITIES: u64 = 1 << 1 | 1 << 12 | 1 << 13 | 1 << 21;

/// A line of proc_pid_status(5).
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

fn capabilities(status: &str, set: &str) -> u64 {
    u64::from_str_radix(field(status, set), 16).unwrap()
}

#[test]
fn plugins_run_in_a_confined_process() {
    let scene = Scene::new();
    scene.network(json!([{ "type": "hostile", "mode": "loop", "outside": "outside" }]));
    let mut command = scene.machine.wasm_cni(&["add", "n1", &scene.netns, "--timeout", "3"]);
    command.args(ALLOWED).env("CNI_PATH", compiled()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let path = format!("/proc/{}/status", child.id());
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = loop {
        let status = fs::read_to_string(&path).unwrap();
        if field(&status, "Seccomp") == "2" {
            break status;
        }
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline, "never confined: {status}");
        thread::sleep(Duration::from_millis(2));
    };
    assert_eq!(field(&status, "NoNewPrivs"), "1");
    for set in ["CapEff", "CapPrm"] {
        assert_eq!(capabilities(&status, set), CAPABILITIES, "{set}");
    }
    assert_eq!(capabilities(&status, "CapInh"), 0);
    // It is the plugin's time that ends it: it was confined while that ran.
    assert_eq!(child.wait().unwrap().code(), Some(1));
    scene.assert_untouched("loop");
}

/// A plugin that tells what it has been left with.
fn native(machine: &Machine) {
    let path = machine.folder().join("native");
    let status = machine.folder().join("status");
    let script = format!("#!/bin/sh\ncat /proc/$$/status >{}\necho '{{\"cniVersion\":\"1.1.0\"}}'\n", status.display());
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_native_plugin_has_the_callers_privileges() {
    let bridge = |ipam| json!({ "type": "bridge", "bridge": "br1", "ipam": ipam });
    let next = json!([bridge(json!({})), { "type": "native" }]);
    let delegate = json!([bridge(json!({ "type": "native" }))]);
    for plugins in [next, delegate] {
        let machine = Machine::new();
        let netns = machine.netns("c1");
        native(&machine);
        let list = json!({ "cniVersion": "1.1.0", "name": "n1", "plugins": plugins });
        fs::write(machine.conf_dir().join("n1.conflist"), list.to_string()).unwrap();
        for verb in ["add", "del"] {
            let output = machine.wasm_cni(&[verb, "n1", &netns]).env("CNI_PATH", machine.folder()).output().unwrap();
            let status = fs::read_to_string(machine.folder().join("status"));
            // It hands out no address, which ADD does not take from a delegate.
            let status = status.unwrap_or_else(|_| panic!("{plugins} {verb}: {}", text(&output)));
            assert_eq!((field(&status, "NoNewPrivs"), field(&status, "Seccomp")), ("0", "0"), "{plugins} {verb}");
            let here = machine.command("cat").arg("/proc/self/status").output().unwrap();
            let here = String::from_utf8(here.stdout).unwrap();
            assert_eq!(capabilities(&status, "CapEff"), capabilities(&here, "CapEff"), "{plugins} {verb}");
        }
    }
}
