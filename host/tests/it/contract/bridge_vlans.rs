//! The host's interface in a VLAN, `br0.100`: as the bridge it is everybody's. These need a kernel with VLAN filtering, and
//! are skipped visibly without; the rules themselves have tests beside the code.

use std::{process::Command, thread};

use serde_json::{Value, json};

use super::{Container, answers, gateway, host_local, msg, with};
use crate::machine::{Machine, addresses, script};

/// Whether the kernel has what `add` makes; what is missing is said once for each test.
fn has(add: &str) -> bool {
    let probe = ["--user", "--map-root-user", "--net", "sh", "-c", add];
    let output = Command::new("unshare").args(probe).output().unwrap();
    if !output.status.success() {
        let test = thread::current();
        let reason = String::from_utf8_lossy(&output.stderr);
        eprintln!("skipped: {}: {}", test.name().unwrap_or_default(), reason.trim());
    }
    output.status.success()
}

const FILTERING: &str = "ip link add probe type bridge vlan_filtering 1";
const KIND_VLAN: &str =
    "ip link add probe type bridge vlan_filtering 1 && ip link add link probe probe.100 type vlan id 100";

/// A container of VLAN 100, whose gateway is 10.1.2.1.
fn vlan(members: Value) -> Value {
    with(&gateway(json!({ "vlan": 100, "ipam": host_local(&["10.1.2.0/24"]) })), members)
}

fn reaches(machine: &Machine, from: &str) -> bool {
    answers(machine, from, "10.1.2.1")
}

fn has_gateway(machine: &Machine) -> bool {
    machine.devices("").contains(&"br0.100".to_owned())
}

/// An ADD that fails when the gateway is there: its route is of no network.
fn failing() -> Value {
    let routes = json!([{ "dst": "10.9.0.0/16", "gw": "192.0.2.1" }]);
    vlan(json!({ "ipam": with(&host_local(&["10.1.2.0/24"]), json!({ "routes": routes })) }))
}

#[test]
fn del_of_the_first_container_leaves_the_others_their_gateway() {
    if !has(FILTERING) {
        return;
    }
    let machine = Machine::new();
    let [c1, c2, c3] = ["c1", "c2", "c3"].map(|id| Container::new(&machine, id));
    for container in [&c1, &c2, &c3] {
        let result = container.add(&vlan(json!({}))).unwrap();
        assert_eq!(result["interfaces"][3]["name"], "br0.100");
        assert!(reaches(&machine, &container.id));
    }
    c1.del(&vlan(json!({}))).unwrap();
    assert!(reaches(&machine, "c2") && reaches(&machine, "c3"));
    // Whose bridge has another name by now, or whose result is lost.
    c2.del(&vlan(json!({ "bridge": "br1" }))).unwrap();
    assert!(reaches(&machine, "c3"));
    c3.del(&vlan(json!({}))).unwrap();
    // As the bridge, it stays for the next.
    assert!(has_gateway(&machine));
    c1.add(&vlan(json!({}))).unwrap();
    assert!(reaches(&machine, "c1"));
}

#[test]
fn gc_and_a_namespace_that_is_gone_leave_the_others_their_gateway() {
    if !has(FILTERING) {
        return;
    }
    let machine = Machine::new();
    let [c1, c2] = ["c1", "c2"].map(|id| Container::new(&machine, id));
    let config = vlan(json!({ "cniVersion": "1.1.0" }));
    c1.add(&config).unwrap();
    c2.add(&config).unwrap();
    script(&machine, "ip netns del c1");
    let valid = json!([{ "containerID": "c2", "ifname": "eth0" }]);
    c2.call("GC", &with(&config, json!({ "cni.dev/valid-attachments": valid }))).unwrap();
    assert!(has_gateway(&machine) && reaches(&machine, "c2"));
    assert_eq!(machine.leases("n1").len(), 1);
}

#[test]
fn an_add_that_fails_takes_back_its_interface_unless_others_use_it() {
    if !has(FILTERING) {
        return;
    }
    let machine = Machine::new();
    let [c1, c2] = ["c1", "c2"].map(|id| Container::new(&machine, id));
    c1.add(&failing()).unwrap_err();
    c1.assert_clean();
    c2.add(&vlan(json!({}))).unwrap();
    let before = machine.ip("addr show br0.100");
    c1.add(&failing()).unwrap_err();
    assert_eq!(machine.ip("addr show br0.100"), before);
    assert!(reaches(&machine, "c2"));
    // A gateway in conflict is refused before anything is taken.
    let conflict = vlan(json!({ "ipam": host_local(&["10.1.3.0/24"]) }));
    assert!(msg(c1.add(&conflict)).contains("already has an IP address different from 10.1.3.1/24"));
    assert!(reaches(&machine, "c2"));
}

#[test]
fn eight_at_once_share_one_interface() {
    if !has(FILTERING) {
        return;
    }
    let machine = Machine::new();
    let containers: Vec<_> = (0..8).map(|i| Container::new(&machine, &format!("c{i}"))).collect();
    // The first call makes the link of this name.
    containers[0].call("VERSION", &vlan(json!({}))).unwrap();
    thread::scope(|scope| {
        let add = |container| scope.spawn(move || Container::add(container, &vlan(json!({}))).map(drop));
        let adds: Vec<_> = containers.iter().map(add).collect();
        adds.into_iter().for_each(|add| add.join().unwrap().unwrap());
    });
    assert!(containers.iter().all(|container| reaches(&machine, &container.id)));
    assert_eq!(addresses(&machine.ip("addr show br0.100")[0]), ["10.1.2.1/24"]);
}

/// The gateway of a VLAN listens to routers as little as the bridge.
#[test]
fn the_interface_in_a_vlan_does_not_listen_to_routers() {
    if !has(FILTERING) {
        return;
    }
    let machine = Machine::new();
    Container::new(&machine, "c1").add(&vlan(json!({}))).unwrap();
    for link in machine.devices("").iter().filter(|name| *name != "lo") {
        assert_eq!(machine.sysctl(None, &format!("net/ipv6/conf/{link}/accept_ra")), "0", "{link}");
    }
}

#[test]
fn an_operators_own_interface_is_used_and_stays() {
    if !has(KIND_VLAN) {
        return;
    }
    let machine = Machine::new();
    script(
        &machine,
        "ip link add br0 type bridge vlan_filtering 1; ip link set br0 up; bridge vlan add dev br0 vid 100 self; \
         ip link add link br0 name br0.100 type vlan id 100; ip link set br0.100 up",
    );
    let [c1, c2] = ["c1", "c2"].map(|id| Container::new(&machine, id));
    let result = c1.add(&vlan(json!({}))).unwrap();
    let own = &machine.ip("addr show br0.100")[0];
    assert_eq!((&own["linkinfo"]["info_kind"], addresses(own)), (&json!("vlan"), vec!["10.1.2.1/24".into()]));
    assert_eq!(result["interfaces"][3], json!({ "name": "br0.100", "mac": own["address"] }));
    assert!(reaches(&machine, "c1"));
    c2.add(&vlan(json!({}))).unwrap();
    c1.add(&failing()).unwrap_err();
    c1.del(&vlan(json!({}))).unwrap();
    assert!(reaches(&machine, "c2"));
    c2.del(&vlan(json!({}))).unwrap();
    assert_eq!(machine.ip("link show br0.100")[0]["linkinfo"]["info_kind"], "vlan");
}
