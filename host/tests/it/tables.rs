//! Routes, rules and neighbours that a plugin changes in the container: done, and taken back to the letter.

use serde_json::json;

use crate::{
    hostile::scene::compiled,
    machine::{Machine, script, text},
};

const POLICY: &str = "[plugins.hostile]\nnamespaces = [\"sandbox\"]\noperations = [\"route-add\", \"route-set\", \
     \"route-del\", \"rule-add\", \"rule-del\", \"neighbour-add\", \"neighbour-del\"]\n";

/// What is there before: for each change something that it must put back, and something beside it.
const BEFORE: &str = "\
    sysctl -qw net.ipv6.conf.default.accept_dad=0
    i='ip -n c1'; $i link add t0 type veth peer name t1; $i link set t0 up; $i link set t1 up
    ip netns exec c1 sysctl -qw net.ipv6.conf.t0.addr_gen_mode=1
    $i addr add 10.5.0.1/24 dev t0; $i addr add fd05::1/64 dev t0 nodad
    $i route add 10.8.0.0/16 via 10.5.0.9 proto static mtu 1300; $i route add 10.8.0.0/16 via 10.5.0.8 metric 9
    $i route add 10.9.0.0/16 nexthop via 10.5.0.8 weight 3 nexthop via 10.5.0.9
    $i route add 10.10.0.0/16 via 10.5.0.8
    $i route append 10.11.0.0/16 via 10.5.0.8; $i route append 10.11.0.0/16 via 10.5.0.9
    $i -6 route add fd08::/48 via fd05::8 metric 1024; $i -6 route add fd08::/48 via fd05::9 metric 9
    $i -6 route add fd09::/48 via fd05::8; $i -6 route append fd09::/48 via fd05::9
    $i rule add pref 100 fwmark 1/0xff from 10.5.0.0/24 table 9; $i rule add pref 101 table 9
    $i neigh add 10.5.0.8 lladdr 02:00:00:00:00:08 dev t0 nud permanent
    $i neigh add 10.5.0.9 lladdr 02:00:00:00:00:09 dev t0 nud permanent";

const SHOW: &str = "for f in -4 -6; do ip -n c1 $f route show table all; ip -n c1 $f rule; done; \
     ip -n c1 neigh show nud permanent; ip -n c1 neigh show proxy";

fn machine() -> (Machine, String) {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    script(&machine, BEFORE);
    std::fs::create_dir_all(machine.root().join("etc/wasm-cni")).unwrap();
    std::fs::write(machine.root().join("etc/wasm-cni/policy.toml"), POLICY).unwrap();
    (machine, netns)
}

fn shown(machine: &Machine) -> String {
    let output = machine.command("sh").args(["-c", SHOW]).output().unwrap();
    // Link-local and multicast routes come when the kernel has time.
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter(|line| !line.contains("fe80::") && !line.contains("multicast"))
        .map(|line| line.to_owned() + "\n")
        .collect()
}

fn call(machine: &Machine, verb: &str, mode: &str, netns: &str) -> (bool, String) {
    let network = machine.network("n1", json!({ "type": "hostile", "mode": mode }));
    let output = machine.wasm_cni(&[verb, &network, netns]).env("CNI_PATH", compiled()).output().unwrap();
    (output.status.success(), text(&output))
}

#[test]
fn all_of_it_is_put_back_after_a_panic() {
    let (machine, netns) = machine();
    let before = shown(&machine);
    let (succeeded, said) = call(&machine, "add", "tables-half", &netns);
    assert!(!succeeded && said.contains("hostile says: half done"), "{said}");
    assert!(!said.contains("not undone") && !said.contains("could not"), "{said}");
    assert_eq!(shown(&machine), before);
}

#[test]
fn what_was_asked_for_is_there_until_del() {
    let (machine, netns) = machine();
    let before = shown(&machine);
    let (succeeded, said) = call(&machine, "add", "tables-keep", &netns);
    assert!(succeeded, "{said}");
    let now = shown(&machine);
    for line in [
        "blackhole 10.6.0.0/16",
        "10.8.0.0/16 via 10.5.0.7 dev t0",
        "10.8.0.0/16 via 10.5.0.8 dev t0 metric 9",
        "10.6.0.0/16 via 10.5.0.7 dev t0 table 7",
        "fd08::/48 via fd05::7 dev t0 metric 1024",
        "fd09::/48 via fd05::8 dev t0 metric 1024",
        "99:\tfrom 10.5.0.1 lookup 7",
        "50:\tfrom all lookup 7",
        "10.5.0.7 dev t0 lladdr 02:00:00:00:00:07 PERMANENT",
        "10.5.0.8 dev t0 lladdr 02:00:00:00:00:07 PERMANENT",
        "10.5.0.77 dev t0 proxy",
    ] {
        assert!(now.contains(line), "{line:?} is not in {now}\nbefore: {before}");
    }
    for line in ["10.9.0.0/16", "fwmark", "10.5.0.9 dev t0 lladdr", "via 10.5.0.9 dev t0 proto static mtu 1300"] {
        assert!(!now.contains(line), "{line:?} is in {now}");
    }
    // What goes with no link goes with the attachment, though the plugin forgets it.
    for _ in 0..2 {
        let (succeeded, said) = call(&machine, "del", "ok", &netns);
        assert!(succeeded, "{said}");
    }
    let now = shown(&machine);
    for line in ["blackhole", "lookup 7"] {
        assert!(!now.contains(line), "{line:?} is in {now}");
    }
}
