//! Which processes packet filters take: none for nftables, and for iptables one
//! for each family, or three where rules are not as they were left.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use serde_json::json;

use crate::machine::{Machine, bridge, installed, script, text, variable};

const PROGRAMS: [&str; 7] =
    ["nft", "iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"];

/// Where programs that a plugin's call runs can write.
fn log(machine: &Machine) -> PathBuf {
    machine.root().join("run/wasm-cni/log")
}

/// Programs that note that they were called before they do what they are for.
fn watched(machine: &Machine) -> String {
    let folder = machine.folder().join("bin");
    fs::create_dir(&folder).unwrap();
    let log = log(machine);
    fs::create_dir_all(log.parent().unwrap()).unwrap();
    for program in PROGRAMS {
        let script = format!(
            "#!/bin/sh\necho {program} >>{log}\nPATH={path} exec {program} \"$@\"\n",
            log = log.display(),
            path = variable("PATH").unwrap().display()
        );
        let path = folder.join(program);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:/usr/bin:/bin", folder.display())
}

/// The programs that a command called.
fn called(machine: &Machine, path: &str, command: &str, backend: &str) -> Vec<String> {
    let log = log(machine);
    let _ = fs::remove_file(&log);
    let mut plugin = bridge(&["10.1.0.0/24", "fd00:10::/64"]);
    let more = json!({ "ipMasq": true, "ipMasqBackend": backend, "macspoofchk": true });
    plugin.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let network = machine.network("n1", plugin);
    let output = machine.wasm_cni(&[command, &network, "/run/netns/c1"]).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{command} by {backend}: {}", text(&output));
    fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn nftables_takes_none_and_iptables_one_for_each_family() {
    if !installed(&["iptables", "ip6tables"]) {
        return;
    }
    let machine = Machine::new();
    machine.netns("c1");
    let path = watched(&machine);
    for command in ["status", "add", "check", "del", "del"] {
        assert_eq!(called(&machine, &path, command, "nftables"), [""; 0], "{command}");
    }
    assert_eq!(called(&machine, &path, "add", "iptables"), ["iptables-restore", "ip6tables-restore"]);
    assert_eq!(called(&machine, &path, "del", "iptables"), ["iptables-restore", "ip6tables-restore"]);
    assert_eq!(called(&machine, &path, "del", "iptables"), [""; 0]);
    called(&machine, &path, "add", "iptables");
    // Somebody has one rule twice: which are there has to be asked for.
    script(&machine, "iptables -t nat -S POSTROUTING | sed -n 's/^-A/iptables -t nat -A/p' | sh");
    let looked = ["iptables-restore", "iptables-save", "iptables-restore", "ip6tables-restore"];
    assert_eq!(called(&machine, &path, "del", "iptables"), looked);
    assert_eq!(called(&machine, &path, "del", "iptables"), [""; 0]);
}
