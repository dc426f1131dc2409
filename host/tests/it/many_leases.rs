//! A network with many leases: the table that finds them is kept, and made anew
//! when another program has changed the folder.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf, time::SystemTime};

use serde_json::json;

use crate::machine::{Machine, text};

/// The folder's table, by its inode and its birth: one that is made anew is another
/// file.
fn table(machine: &Machine) -> (u64, Option<SystemTime>) {
    let folder = machine.root().join("run/wasm-cni/index");
    let tables: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(tables.len(), 1, "{tables:?}");
    let metadata = fs::metadata(&tables[0]).unwrap();
    (metadata.ino(), metadata.created().ok())
}

#[test]
fn leases_are_found_whoever_has_written_them() {
    let machine = Machine::new();
    let folder = machine.root().join("var/lib/cni/networks/n1");
    fs::create_dir_all(&folder).unwrap();
    for i in 0..100 {
        fs::write(folder.join(format!("10.1.1.{i}")), format!("other{i}\r\neth0")).unwrap();
    }
    let ipam = json!({ "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/16" }]] });
    let network = machine.network("n1", json!({ "type": "bridge", "bridge": "br0", "ipam": ipam }));
    let netns = machine.netns("c1");
    let call = |verb: &str, id: &str| {
        let output = machine.wasm_cni(&[verb, &network, &netns, "--container-id", id]).output().unwrap();
        assert!(output.status.success(), "{verb} {id}: {}", text(&output));
    };
    call("add", "c1");
    let first = table(&machine);
    call("del", "c1");
    call("add", "c2");
    assert_eq!(table(&machine), first, "made anew, though nobody else has changed anything");

    // Another program's DEL, and its ADD.
    fs::remove_file(folder.join("10.1.1.7")).unwrap();
    call("del", "c2");
    fs::write(folder.join("10.1.0.77"), "c3\r\neth0").unwrap();
    let output = machine.wasm_cni(&["add", &network, &netns, "--container-id", "c3"]).output().unwrap();
    let said = text(&output);
    assert!(said.contains("10.1.0.77 has been allocated to c3, duplicate allocation is not allowed"), "{said}");
    assert_ne!(table(&machine), first);
    call("del", "c3");
    assert!(!folder.join("10.1.0.77").exists());
    assert_eq!(machine.leases("n1").len(), 99);
}
