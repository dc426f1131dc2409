//! Names that are not what they seem: dashes that could be anywhere, ids that are too long for a file, aliases that are no
//! text, links that lead nowhere.

use std::{fs, os::unix::ffi::OsStrExt as _};

use serde_json::{Value, json};

use crate::machine::{Machine, bridge, script, text};

#[test]
fn attachments_with_dashes_in_their_names_are_not_mixed_up() {
    let machine = Machine::new();
    let netns = [machine.netns("c1"), machine.netns("c2")];
    let mut other = bridge(&["10.2.0.0/24"]);
    other["bridge"] = "br1".into();
    let networks = [machine.network("a", bridge(&["10.1.0.0/24"])), machine.network("a-b", other)];
    let ids = ["b-c", "c"];
    let run = |command: &str, i: usize| {
        let output = machine.wasm_cni(&[command, &networks[i], &netns[i], "--container-id", ids[i]]).output().unwrap();
        assert!(output.status.success(), "{command} {}: {}", networks[i], text(&output));
        output.stdout
    };
    for i in [0, 1] {
        run("add", i);
    }
    let list = machine.wasm_cni(&["list", "--output", "json"]).output().unwrap();
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2, "{list}");
    assert!(machine.root().join("var/lib/cni/results/a-b-c-eth0").exists(), "the reference's name");
    for i in [0, 1] {
        run("check", i);
    }
    run("del", 0);
    assert_eq!((machine.leases("a").len(), machine.leases("a-b").len()), (0, 1));
    run("check", 1);
    run("del", 1);
    assert_eq!(machine.leases("a-b").len(), 0);
    assert_eq!(fs::read_dir(machine.root().join("var/lib/cni/results")).unwrap().count(), 0);
}

#[test]
fn an_id_that_is_too_long_for_a_file_leaves_nothing_stuck() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    for length in [64, 230, 250, 600] {
        let id = "a".repeat(length);
        for command in ["add", "check", "del", "del"] {
            let output = machine.wasm_cni(&[command, &network, &netns, "--container-id", &id]).output().unwrap();
            assert!(output.status.success(), "{command} of {length}: {}", text(&output));
        }
        let left = machine.command("find").arg(machine.root().join("run")).args(["-type", "f"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&left.stdout), "", "{length}");
        assert_eq!(machine.leases("n1").len(), 0);
    }
}

/// A container may have its alias from anybody: it must not hide the ports of a bridge from a failed ADD.
#[test]
fn an_alias_that_is_no_text_hides_nothing() {
    let machine = Machine::new();
    let fifo = machine.folder().join("fifo");
    let native = machine.folder().join("waits");
    script(
        &machine,
        &format!(
            "mkfifo {fifo}; printf '#!/bin/sh\\ncat >/dev/null; cat {fifo} >/dev/null; exit 1\\n' >{native}; chmod 755 {native}; \
             ip link add odd type veth peer name odd2",
            fifo = fifo.display(),
            native = native.display()
        ),
    );
    let alias = std::ffi::OsStr::from_bytes(b"B\xfcro");
    let set = machine.command("ip").args(["link", "set", "odd", "alias"]).arg(alias).status().unwrap();
    assert!(set.success());
    let plugins = json!([bridge(&["10.1.0.0/24"]), { "type": "waits" }]);
    let list = json!({ "cniVersion": "1.0.0", "name": "first", "plugins": plugins });
    fs::write(machine.conf_dir().join("first.conflist"), list.to_string()).unwrap();
    let second = machine.network("second", bridge(&["10.1.0.0/24"]));
    let (one, other) = (machine.netns("c1"), machine.netns("c2"));
    let mut first = machine.wasm_cni(&["add", "first", &one]);
    let first = first.env("CNI_PATH", machine.folder()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    // It is held up when somebody reads the FIFO.
    let writer = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    machine.add(&second, &other);
    drop(writer);
    let output = first.wait_with_output().unwrap();
    assert!(!output.status.success(), "{}", text(&output));
    let ports = machine.ip("link show master br0");
    assert_eq!(ports.as_array().unwrap().len(), 1, "the bridge is the other container's by now");
    assert!(text(&output).contains("exit status 1"), "{}", text(&output));
}

#[test]
fn a_result_that_cannot_be_read_is_nobody_s_end() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    machine.add(&network, &netns);
    let results = machine.root().join("var/lib/cni/results");
    let cached = fs::read_dir(&results).unwrap().next().unwrap().unwrap().path();
    fs::write(&cached, "{").unwrap();
    script(&machine, &format!("rm -r {}/run/wasm-cni/attachments", machine.root().display()));
    let lease = machine.root().join("var/lib/cni/networks/n1/10.1.0.2");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    fs::File::options().write(true).open(&lease).unwrap().set_modified(old).unwrap();
    let pruned = machine.wasm_cni(&["leases", "--prune"]).output().unwrap();
    assert!(pruned.status.success(), "{}", text(&pruned));
    let gc = machine.wasm_cni(&["gc", &network, "--keep-alive"]).output().unwrap();
    assert!(!gc.status.success() && text(&gc).contains("cannot tell which attachments are alive"), "{}", text(&gc));
    assert_eq!(machine.leases("n1"), ["10.1.0.2"]);
}
