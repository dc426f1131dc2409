//! `doctor`: every finding has its remedy, and nothing is changed.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
};

use serde_json::Value;

use crate::machine::{Machine, PROGRAM, bridge, script, text};

/// A machine with the program in its folder of plugins, and a network.
fn scene() -> (Machine, PathBuf) {
    let machine = Machine::new();
    machine.network("n1", bridge(&["10.1.0.0/24"]));
    let folder = machine.folder().join("bin");
    let output = machine.wasm_cni(&["install"]).arg(&folder).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    (machine, folder)
}

/// What is found, and the exit status.
fn doctor(machine: &Machine) -> (Vec<Value>, Option<i32>) {
    let mut command = machine.wasm_cni(&["doctor", "-o", "json"]);
    let output = command.env("CNI_PATH", machine.folder().join("bin")).output().unwrap();
    let findings = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    (findings, output.status.code())
}

#[track_caller]
fn assert_found(findings: &[Value], level: &str, about: &str, words: &str) {
    let is_it = |finding: &Value| {
        finding["level"] == level && finding["about"] == about && finding["text"].as_str().unwrap().contains(words)
    };
    assert!(findings.iter().any(is_it), "{level} {about}: {words:?} is not in {findings:#?}");
}

#[test]
fn a_machine_in_good_order() {
    let (machine, folder) = scene();
    let (findings, status) = doctor(&machine);
    assert_eq!(status, Some(0), "{findings:#?}");
    for finding in &findings {
        assert_eq!(finding["remedy"].is_null(), finding["level"] == "ok", "{finding}");
    }
    let ours = "/bin: bridge, dummy, host-device, host-local, loopback, macvlan, ptp, sbr, static";
    assert_found(&findings, "ok", "plugins", ours);
    assert_found(&findings, "ok", "networks", "n1");
    assert_found(&findings, "ok", "policy", "valid");
    assert_found(&findings, "ok", "kernel", "bridges");
    assert_found(&findings, "ok", "kernel", "veth pairs");
    assert_found(&findings, "ok", "privileges", "all capabilities");
    assert_found(&findings, "ok", "attachments", "no interrupted ADD");
    assert_found(&findings, "warn", "forwarding", "IPv4 forwarding is off");
    script(&machine, "sysctl -qw net.ipv4.ip_forward=1 || echo 1 >/proc/sys/net/ipv4/ip_forward");
    assert_found(&doctor(&machine).0, "ok", "forwarding", "IPv4 forwarding is on");

    let table = machine.wasm_cni(&["doctor"]).env("CNI_PATH", &folder).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        table.contains("\nok    kernel        veth pairs\n") && table.contains("\n                    -> "),
        "{table}"
    );
}

#[test]
fn doctor_changes_nothing() {
    let (machine, _) = scene();
    let all = || {
        let find = machine.command("find").arg(machine.folder()).args(["-printf", "%p %T@ %s\n"]).output().unwrap();
        (text(&find), machine.devices(""), machine.sysctl(None, "net/ipv4/ip_forward"))
    };
    let before = all();
    doctor(&machine);
    assert_eq!(all(), before);
}

#[test]
fn broken_and_foreign_files_in_the_plugin_directory() {
    let (machine, folder) = scene();
    fs::write(folder.join("README"), "").unwrap();
    fs::remove_file(folder.join("ptp")).unwrap();
    fs::write(folder.join("ptp"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(folder.join("ptp"), fs::Permissions::from_mode(0o777)).unwrap();
    symlink("nowhere", folder.join("portmap")).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let mut other = fs::read(PROGRAM).unwrap();
    let mark = b"\x01wasm-cni program ";
    let at = other.windows(mark.len()).position(|window| window == mark).unwrap() + mark.len();
    other[at..at + 5].copy_from_slice(b"0.0.9");
    fs::remove_file(folder.join("wasm-cni")).unwrap();
    fs::write(folder.join("wasm-cni"), other).unwrap();
    fs::set_permissions(folder.join("wasm-cni"), fs::Permissions::from_mode(0o755)).unwrap();

    let (findings, status) = doctor(&machine);
    assert_eq!(status, Some(1));
    assert_found(&findings, "warn", "plugins", "/README is not a plugin");
    assert_found(&findings, "warn", "plugins", "/ptp is not from wasm-cni");
    assert_found(&findings, "warn", "plugins", "/wasm-cni is wasm-cni 0.0.9 (");
    assert_found(&findings, "fail", "plugins", "/portmap is a broken link");
    assert_found(&findings, "fail", "plugins", "/bin is writable by every user");
    assert_found(&findings, "fail", "plugins", "/ptp is writable by every user");
}

#[test]
fn configurations_and_policies_with_mistakes() {
    let (machine, _) = scene();
    fs::write(machine.conf_dir().join("20-broken.conflist"), "{").unwrap();
    machine.network("n2", serde_json::json!({ "type": "nope" }));
    fs::create_dir_all(machine.root().join("etc/wasm-cni")).unwrap();
    fs::write(machine.root().join("etc/wasm-cni/policy.toml"), "[plugins.bridge]\nnope = 1\n").unwrap();
    let (findings, status) = doctor(&machine);
    assert_eq!(status, Some(1));
    assert_found(&findings, "fail", "networks", "20-broken.conflist");
    assert_found(&findings, "fail", "networks", "n2.conflist: plugins not found: nope");
    assert_found(&findings, "ok", "networks", "n1");
    assert_found(&findings, "fail", "policy", "nope");
    assert!(findings.iter().any(|f| f["remedy"].as_str().is_some_and(|text| text.starts_with("wasm-cni validate /"))));
}

#[test]
fn leftovers_of_attachments() {
    let (machine, _) = scene();
    let netns = machine.netns("c1");
    machine.add("n1", &netns);
    let other = machine.netns("c2");
    let killed = machine.wasm_cni(&["add", "n1", &other]).env("WASM_CNI_FAULT", "kill:5").output().unwrap();
    assert!(!killed.status.success(), "{}", text(&killed));
    script(&machine, "ip netns del c1");
    let (findings, _) = doctor(&machine);
    assert_found(&findings, "warn", "attachments", "1 interrupted ADD left");
    assert_found(&findings, "warn", "attachments", "1 stale attachment in the result cache");
    assert_found(&findings, "warn", "leases", "1 stale lease");
    script(
        &machine,
        "mount -t tmpfs -o size=64k tmpfs /run && mkdir /run/var && head -c 64k /dev/zero >/run/fill || :",
    );
    let mut command = machine.wasm_cni(&["doctor", "-o", "json"]);
    let output = command.env("WASM_CNI_ROOT", "/run").output().unwrap();
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    assert_found(&findings, "fail", "disk", "no space left for /run");
}

#[test]
fn without_privilege_it_says_so() {
    if !crate::machine::installed(&["setpriv"]) {
        return;
    }
    let (machine, folder) = scene();
    let mut command = machine.command("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", PROGRAM, "doctor", "-o", "json"]);
    let output = command.env("CNI_PATH", folder).output().unwrap();
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    assert_found(&findings, "warn", "privileges", "lacks CAP_NET_ADMIN");
}
