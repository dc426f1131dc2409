//! Frames really flow: container to gateway, container to container, IPv4 and
//! IPv6.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::machine::{Machine, bridge, text};

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
    let role = std::env::var(ROLE).unwrap();
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
fn exchange(machine: &Machine, from: &str, to: Option<&str>, address: IpAddr) -> String {
    let address = SocketAddr::new(address, 7777);
    let mut listener = listen(machine, to, address);
    let output = role(machine, Some(from), &format!("connect {address}")).output().unwrap();
    let _ = listener.kill();
    let _ = listener.wait();
    assert!(output.status.success(), "{from} to {address}: {}", text(&output));
    let out = String::from_utf8(output.stdout).unwrap();
    out.lines().find_map(|line| line.strip_prefix("hello ")).unwrap_or_else(|| panic!("{out}")).to_owned()
}

#[test]
fn container_to_gateway_and_container_to_container() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24", "fd00:10::/64"]));
    for name in ["c1", "c2"] {
        let netns = machine.netns(name);
        machine.add(&network, &netns);
    }
    for (gateway, first, second) in [("10.1.0.1", "10.1.0.2", "10.1.0.3"), ("fd00:10::1", "fd00:10::2", "fd00:10::3")] {
        assert_eq!(exchange(&machine, "c1", None, gateway.parse().unwrap()), first);
        assert_eq!(exchange(&machine, "c1", Some("c2"), second.parse().unwrap()), first);
        assert_eq!(exchange(&machine, "c2", Some("c1"), first.parse().unwrap()), second);
    }
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
    let address = "10.1.0.3:7777".parse().unwrap();
    let mut listener = listen(&machine, Some("c2"), address);
    let output = role(&machine, Some("c1"), "connect 10.1.0.3:7777").output().unwrap();
    let _ = listener.kill();
    let _ = listener.wait();
    assert!(!output.status.success(), "isolated ports must not reach each other");
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
