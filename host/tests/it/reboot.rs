//! After a reboot: what the containers of before had is not held for ever.

use std::fs;

use crate::machine::{Machine, bridge, text};

/// Another boot id from now on, and none of the interfaces of before.
fn reboot(machine: &Machine) {
    let file = machine.folder().join("boot_id");
    fs::write(&file, "11111111-2222-3333-4444-555555555555\n").unwrap();
    let script = format!(
        "mount --bind {} /proc/sys/kernel/random/boot_id; ip netns del c1; ip link del br0; ip netns add c1",
        file.display()
    );
    let output = machine.command("sh").args(["-euc", &script]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

/// Whether leases can bear a mark here.
fn has_marks(machine: &Machine) -> bool {
    let probe = machine.folder().join("probe");
    fs::write(&probe, "").unwrap();
    let attribute = rustix::fs::setxattr(&probe, "user.probe", b"x", rustix::fs::XattrFlags::empty());
    let marked = fs::exists("/etc/machine-id").unwrap() && attribute.is_ok();
    if marked {
        let lease = machine.root().join("var/lib/cni/networks/n1/10.1.0.2");
        rustix::fs::getxattr(&lease, "user.wasm-cni.boot", &mut [0; 128]).expect("a mark");
    } else {
        let test = std::thread::current();
        let name = test.name().unwrap_or_default();
        eprintln!("skipped: {name}: no machine-id(5), or no extended attributes in {}", machine.folder().display());
    }
    marked
}

#[test]
fn a_container_of_the_same_name_gets_its_address_again() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/30", "fd00:10::/64"]));
    let netns = machine.netns("c1");
    let add = |id: &str| machine.wasm_cni(&["add", &network, &netns, "--container-id", id]).output().unwrap();
    assert!(add("c1").status.success());
    if !has_marks(&machine) {
        return;
    }
    assert!(text(&add("c2")).contains("already exists"), "the interface is there");
    assert!(machine.command("ip").args(["-n", "c1", "link", "del", "eth0"]).status().unwrap().success());
    let refused = text(&add("c1"));
    assert!(refused.contains("duplicate allocation is not allowed"), "{refused}");
    let refused = text(&add("c2"));
    assert!(refused.contains("no IP addresses available"), "{refused}");

    reboot(&machine);
    let added = add("c2");
    assert!(added.status.success(), "{}", text(&added));
    assert_eq!(machine.leases("n1"), ["10.1.0.2", "fd00:10::2", "fd00:10::3"]);
    let lease = fs::read_to_string(machine.root().join("var/lib/cni/networks/n1/10.1.0.2")).unwrap();
    assert_eq!(lease, "c2\r\neth0");
}

#[test]
fn what_another_program_has_allocated_stays_allocated() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/30"]));
    let netns = machine.netns("c1");
    machine.add(&network, &netns);
    machine.del(&network, &netns);
    fs::write(machine.root().join("var/lib/cni/networks/n1/10.1.0.2"), "other\r\neth0").unwrap();
    reboot(&machine);
    let refused = machine.wasm_cni(&["add", &network, &netns]).output().unwrap();
    assert!(text(&refused).contains("no IP addresses available"), "{}", text(&refused));
}
