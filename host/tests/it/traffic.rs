//! Frames really flow, or do not: container to gateway, container to container,
//! container to the world outside, IPv4 and IPv6.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::machine::{Machine, bridge, installed, script, text, variable};

const ROLE: &str = "WASM_CNI_TEST_ROLE";

/// This very program inside a namespace, as `listen ADDRESS` or `connect ADDRESS`.
fn role(machine: &Machine, netns: Option<&str>, role: &str) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut command = match netns {
        None => machine.command(&this),
        Some(name) => {
            let mut command = machine.command("ip");
            command.args(["netns", "exec", name]).arg(&this);
            command
        }
    };
    command.args(["--exact", "traffic::as_a_peer", "--ignored", "--nocapture"]).env(ROLE, role);
    command
}

#[test]
#[ignore = "not a test of its own: what the others run inside namespaces"]
fn as_a_peer() {
    let role = variable(ROLE).unwrap().into_string().unwrap();
    let (what, address) = role.split_once(' ').unwrap();
    let address: SocketAddr = address.parse().unwrap();
    if what == "listen" {
        let listener = patiently(|| TcpListener::bind(address));
        say("listening");
        let (mut stream, peer) = listener.accept().unwrap();
        write!(stream, "hello {}", peer.ip()).unwrap();
    } else {
        let mut stream = patiently(|| TcpStream::connect_timeout(&address, Duration::from_secs(3)));
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        say(&text);
    }
}

/// A line for the test that runs this program.
fn say(line: &str) {
    // After the test harness's unfinished line.
    std::io::stdout().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}

/// Tries for a while: the bridge's new IPv6 address is tentative at first
/// (RFC 4862), as with the reference.
fn patiently<T>(attempt: impl Fn() -> std::io::Result<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) if Instant::now() > deadline => panic!("{error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// A listener that is ready.
fn listen(machine: &Machine, netns: Option<&str>, address: SocketAddr) -> Child {
    let mut child = role(machine, netns, &format!("listen {address}")).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "listening"), "the listener on {address} ended early");
    child
}

/// One connection; gives the address that the listener saw.
pub(crate) fn exchange(machine: &Machine, from: &str, to: Option<&str>, address: IpAddr) -> String {
    let address = SocketAddr::new(address, 7777);
    let mut listener = listen(machine, to, address);
    let output = role(machine, Some(from), &format!("connect {address}")).output().unwrap();
    let _ = listener.kill();
    let _ = listener.wait();
    assert!(output.status.success(), "{from} to {address}: {}", text(&output));
    let out = String::from_utf8(output.stdout).unwrap();
    out.lines().find_map(|line| line.strip_prefix("hello ")).unwrap_or_else(|| panic!("{out}")).to_owned()
}

/// Whether a connection comes about at all.
pub(crate) fn reaches(machine: &Machine, from: &str, to: Option<&str>, address: IpAddr) -> bool {
    let address = SocketAddr::new(address, 7777);
    let mut listener = listen(machine, to, address);
    let output = role(machine, Some(from), &format!("connect {address}")).output().unwrap();
    let _ = listener.kill();
    let _ = listener.wait();
    output.status.success()
}

/// A neighbour of the machine, `out`, that has no way back to containers.
pub(crate) fn outside(machine: &Machine) {
    machine.netns("out");
    script(
        machine,
        "ip link add up0 type veth peer name out0 netns out; \
         ip addr add 192.0.2.1/24 dev up0; ip addr add fd99::1/64 dev up0 nodad; ip link set up0 up; \
         ip -n out addr add 192.0.2.2/24 dev out0; ip -n out addr add fd99::2/64 dev out0 nodad; \
         ip -n out link set out0 up",
    );
}

/// Both backends, where they are installed.
fn backends() -> Vec<&'static str> {
    let iptables = installed(&["iptables", "ip6tables"]).then_some("iptables");
    std::iter::once("nftables").chain(iptables).collect()
}

#[test]
fn masquerade_19_20_21_outside_the_host_s_address_is_seen() {
    for (backend, kind) in backends().into_iter().flat_map(|backend| [(backend, "bridge"), (backend, "ptp")]) {
        let machine = Machine::new();
        outside(&machine);
        let mut plugin = bridge(&["10.1.0.0/24", "fd00:10::/64"]);
        plugin["type"] = kind.into();
        plugin["isDefaultGateway"] = true.into();
        plugin["ipMasq"] = true.into();
        plugin["ipMasqBackend"] = backend.into();
        plugin["ipam"]["routes"] = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
        let network = machine.network("n1", plugin);
        let netns = machine.netns("c1");
        machine.add(&network, &netns);
        for (outside, host) in [("192.0.2.2", "192.0.2.1"), ("fd99::2", "fd99::1")] {
            let seen = exchange(&machine, "c1", Some("out"), outside.parse().unwrap());
            assert_eq!(seen, host, "{kind}, {backend}");
        }
        // Not where both are in one network.
        let second = machine.netns("c2");
        machine.add(&network, &second);
        assert_eq!(exchange(&machine, "c1", Some("c2"), "10.1.0.3".parse().unwrap()), "10.1.0.2");
        for netns in [netns, second] {
            machine.del(&network, &netns);
        }
    }
}

#[test]
fn bridge_18_frames_from_another_address_are_dropped() {
    let machine = Machine::new();
    let mut plugin = bridge(&["10.1.0.0/24", "fd00:10::/64"]);
    plugin["macspoofchk"] = true.into();
    let network = machine.network("n1", plugin);
    let netns = machine.netns("c1");
    let added = machine.add(&network, &netns);
    let own = added["interfaces"][2]["mac"].as_str().unwrap().to_owned();
    let gateways = ["10.1.0.1", "fd00:10::1"].map(|gateway| gateway.parse::<IpAddr>().unwrap());
    for gateway in gateways {
        assert!(reaches(&machine, "c1", None, gateway));
    }
    script(&machine, "ip -n c1 link set eth0 address 02:00:00:00:00:99");
    assert!(!reaches(&machine, "c1", None, gateways[0]));
    assert!(!reaches(&machine, "c1", None, gateways[1]));
    script(&machine, &format!("ip -n c1 link set eth0 address {own}"));
    assert!(reaches(&machine, "c1", None, gateways[0]));
    machine.del(&network, &netns);
}

/// Two macvlan devices in VEPA mode behind one port rely on the switch to send
/// their frames back by the port that they came from.
#[test]
fn bridge_12_hairpin_sends_frames_back_where_they_came_from() {
    for hairpin in [true, false] {
        let machine = Machine::new();
        let plugin = json!({ "type": "bridge", "bridge": "br0", "hairpinMode": hairpin });
        let network = machine.network("n1", plugin);
        let netns = machine.netns("c1");
        machine.add(&network, &netns);
        for (i, name) in ["a", "b"].iter().enumerate() {
            machine.netns(name);
            script(
                &machine,
                &format!(
                    "ip -n c1 link add link eth0 name m{i} type macvlan mode vepa; ip -n c1 link set m{i} netns {name}; \
                     ip -n {name} addr add 10.5.0.{}/24 dev m{i}; ip -n {name} link set m{i} up",
                    i + 1
                ),
            );
        }
        assert_eq!(reaches(&machine, "a", Some("b"), "10.5.0.2".parse().unwrap()), hairpin);
    }
}

/// Two containers reach the gateway and each other, in both families.
fn assert_all_are_reached(machine: &Machine, network: &str) {
    for name in ["c1", "c2"] {
        let netns = machine.netns(name);
        machine.add(network, &netns);
    }
    for (gateway, first, second) in [("10.1.0.1", "10.1.0.2", "10.1.0.3"), ("fd00:10::1", "fd00:10::2", "fd00:10::3")] {
        assert_eq!(exchange(machine, "c1", None, gateway.parse().unwrap()), first);
        assert_eq!(exchange(machine, "c1", Some("c2"), second.parse().unwrap()), first);
        assert_eq!(exchange(machine, "c2", Some("c1"), first.parse().unwrap()), second);
    }
}

#[test]
fn ptp_38_both_families_reach_the_host_and_each_other() {
    let machine = Machine::new();
    let mut plugin = bridge(&["10.1.0.0/24", "fd00:10::/64"]);
    plugin["type"] = "ptp".into();
    assert_all_are_reached(&machine, &machine.network("n1", plugin));
}

/// The neighbours of a container that was there before under another MAC.
#[test]
fn a_new_address_is_announced() {
    let machine = Machine::new();
    let mut plugin = bridge(&["10.1.0.0/24", "fd00:10::/64"]);
    plugin["ipam"]["ranges"][0][0]["rangeStart"] = "10.1.0.9".into();
    plugin["ipam"]["ranges"][1][0]["rangeStart"] = "fd00:10::9".into();
    let network = machine.network("n1", plugin);
    let first = machine.netns("c1");
    machine.add(&network, &first);
    script(
        &machine,
        "for ip in 10.1.0.10 fd00:10::a; do \
         ip -n c1 neigh replace $ip lladdr 02:00:00:00:00:99 nud stale dev eth0; done",
    );
    let second = machine.netns("c2");
    let added = machine.add(&network, &second);
    for ip in ["10.1.0.10", "fd00:10::a"] {
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            let known = machine.ip(&format!("-n c1 neigh show {ip}"))[0]["lladdr"].clone();
            if known == added["interfaces"][2]["mac"] {
                break;
            }
            assert!(Instant::now() < deadline, "{ip} is still known under {known}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn container_to_gateway_and_container_to_container() {
    let machine = Machine::new();
    assert_all_are_reached(&machine, &machine.network("n1", bridge(&["10.1.0.0/24", "fd00:10::/64"])));
}

#[test]
fn bridge_13_isolated_ports_reach_the_gateway_but_not_each_other() {
    let machine = Machine::new();
    let mut plugin = bridge(&["10.1.0.0/24"]);
    plugin["portIsolation"] = true.into();
    let network = machine.network("n1", plugin);
    for name in ["c1", "c2"] {
        let netns = machine.netns(name);
        machine.add(&network, &netns);
    }
    assert_eq!(exchange(&machine, "c1", None, "10.1.0.1".parse().unwrap()), "10.1.0.2");
    assert!(!reaches(&machine, "c1", Some("c2"), "10.1.0.3".parse().unwrap()));
}

#[test]
fn two_networks_are_routed_by_the_host() {
    let machine = Machine::new();
    let mut one = bridge(&["10.1.0.0/24"]);
    one["isDefaultGateway"] = true.into();
    let mut two = bridge(&["10.2.0.0/24"]);
    two["isDefaultGateway"] = true.into();
    two["bridge"] = "br1".into();
    let (one, two) = (machine.network("one", one), machine.network("two", two));
    for (network, name) in [(&one, "c1"), (&two, "c2")] {
        let netns = machine.netns(name);
        machine.add(network, &netns);
    }
    assert_eq!(exchange(&machine, "c1", Some("c2"), "10.2.0.2".parse().unwrap()), "10.1.0.2");
}
