//! A fault at every point of an ADD: whatever it is, and wherever, all is as it
//! was before. After SIGKILL it is the next call that sees to it.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::Output,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::machine::{Machine, bridge, script, text};

/// More points than any ADD has.
const MOST: u32 = 400;

struct Scene {
    name: &'static str,
    plugins: Value,
    before: &'static str,
}

fn scenes() -> Vec<Scene> {
    let filtered = |kind: &str| {
        let mut plugin = bridge(&["10.1.0.0/24", "fd00:10::/64"]);
        let more = json!({ "type": kind, "isDefaultGateway": true, "ipMasq": true, "ipMasqBackend": "nftables", "macspoofchk": true });
        plugin.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        plugin
    };
    let existing = "ip link add br0 type bridge; ip addr add 10.1.0.1/24 dev br0; ip link set br0 up; \
                    ip link add v0 type veth peer name v1; ip link set v0 up master br0; ip link set v1 up; \
                    until ip -br link show br0 | grep -q ' UP '; do sleep 0.05; done";
    vec![
        Scene { name: "bridge", plugins: json!([filtered("bridge")]), before: "" },
        Scene { name: "an existing bridge", plugins: json!([bridge(&["10.1.0.0/24"])]), before: existing },
        Scene { name: "ptp", plugins: json!([filtered("ptp")]), before: "" },
        Scene {
            name: "host-device",
            plugins: json!([{
                "type": "host-device", "device": "d0",
                "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24" }]], "routes": [{ "dst": "0.0.0.0/0", "gw": "10.1.0.1" }] },
            }]),
            before: "ip link add d0 type veth peer name d1; ip addr add 10.7.0.1/24 dev d0; ip link set d0 alias uplink; \
                     ip link set d0 up; ip link set d1 up; ip route add 10.8.0.0/16 via 10.7.0.9; \
                     until ip -br link show d0 | grep -q ' UP '; do sleep 0.05; done",
        },
        Scene {
            name: "macvlan",
            plugins: json!([{
                "type": "macvlan", "master": "uplink",
                "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24" }]], "routes": [{ "dst": "0.0.0.0/0" }] },
            }]),
            before: "ip link add uplink type veth peer name wire; ip link set uplink up; ip link set wire up; \
                     until ip -br link show uplink | grep -q ' UP '; do sleep 0.05; done",
        },
        Scene { name: "sbr", plugins: json!([bridge(&["10.1.0.0/24"]), { "type": "sbr" }]), before: "" },
        Scene {
            name: "three plugins",
            plugins: json!([{ "type": "loopback" }, bridge(&["10.1.0.0/24"]), { "type": "loopback" }]),
            // It keeps its address from the first time that it is up.
            before: "ip -n c1 link set lo up; ip -n c1 link set lo down",
        },
    ]
}

/// A machine with a network, and with forwarding on: that is never taken back.
fn machine(scene: &Scene) -> (Machine, String) {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let sysctls = "net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0";
    script(&machine, &format!("sysctl -qw {sysctls}"));
    script(&machine, scene.before);
    let list = json!({ "cniVersion": "1.1.0", "name": "n1", "plugins": scene.plugins });
    std::fs::write(machine.conf_dir().join("n1.conflist"), list.to_string()).unwrap();
    (machine, netns)
}

/// All that an ADD could leave: links, addresses, routes, sysctls, filters, files.
fn state(machine: &Machine) -> String {
    let show = "ip -br link; ip -br addr; ip route show table all; ip -6 route show table all | sort; \
                cat /proc/sys/net/ipv[46]/conf/*/accept_dad /proc/sys/net/ipv4/conf/*/arp_notify 2>/dev/null";
    let all = format!(
        "{show}; ip netns exec c1 sh -c '{show}'; ! command -v nft >/dev/null || nft list ruleset; \
         find {root}/run -type f -exec cat {{}} + 2>/dev/null; \
         find {root}/var/lib -print -type f -exec cat {{}} + 2>/dev/null || true",
        root = machine.root().display()
    );
    let output = machine.command("sh").args(["-c", &all]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The kernel takes its time with links that go and with IPv6 addresses.
fn assert_state(machine: &Machine, before: &str, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(8);
    loop {
        let now = state(machine);
        if now == before {
            return;
        }
        assert!(Instant::now() < deadline, "{what}:\nbefore:\n{before}\nafter:\n{now}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn add(machine: &Machine, netns: &str, fault: &str) -> Output {
    machine.wasm_cni(&["add", "n1", netns]).env("WASM_CNI_FAULT", fault).output().unwrap()
}

/// Makes the fault at each point in turn; gives how many there are. An ADD that
/// succeeds is past the last one; or, with `lenient`, may have done without what
/// failed, and several of them in a row are past it.
fn each_point(scene: &Scene, kind: &str, lenient: u32, check: impl Fn(&Machine, &Output, &str)) -> u32 {
    let (machine, netns) = machine(scene);
    let before = state(&machine);
    let (mut points, mut in_a_row) = (0, 0);
    for at in 1..MOST {
        let what = format!("{}, {kind} at point {at}", scene.name);
        let output = add(&machine, &netns, &format!("{kind}:{at}"));
        if output.status.success() {
            machine.del("n1", &netns);
            in_a_row += 1;
            if in_a_row > lenient {
                return points;
            }
            // Not all that an ADD makes goes with a DEL.
            continue;
        }
        (points, in_a_row) = (points + 1, 0);
        check(&machine, &output, &what);
        if lenient == 0 {
            assert_state(&machine, &before, &what);
        } else {
            assert_attachment_is_gone(&machine, &what);
        }
    }
    panic!("{}: more than {MOST} points", scene.name);
}

/// Of a machine that has had attachments before: nothing of a new one.
fn assert_attachment_is_gone(machine: &Machine, what: &str) {
    let state = state(machine);
    let traces = ["veth", "eth0 ", "eth0@", "macspoofchk-", "net: n1", "10.1.0.2/24", "saddr 10.1.0.2 ", "\"heading\""];
    let left: Vec<_> = state.lines().filter(|line| traces.iter().any(|trace| line.contains(trace))).collect();
    assert!(left.is_empty(), "{what}: {left:#?}");
    assert_eq!(machine.leases("n1"), [""; 0], "{what}");
}

#[test]
fn after_sigkill_the_next_call_undoes_everything() {
    for scene in scenes() {
        let points = each_point(&scene, "kill", 0, |machine, output, what| {
            assert_eq!(output.status.signal(), Some(9), "{what}: {}", text(output));
            let recovered = machine.wasm_cni(&["recover"]).output().unwrap();
            assert!(recovered.status.success(), "{what}: {}", text(&recovered));
        });
        assert!(points >= 4, "{}: {points} points", scene.name);
        eprintln!("{}: killed at {points} points", scene.name);
    }
}

#[test]
fn every_failure_is_undone_at_once() {
    for kind in ["trap", "deadline", "kernel"] {
        for scene in scenes() {
            let points = each_point(&scene, kind, if kind == "kernel" { 12 } else { 0 }, |_, output, what| {
                assert_eq!(output.status.code(), Some(1), "{what}: {}", text(output));
            });
            eprintln!("{}: {kind} at {points} points", scene.name);
        }
    }
}
