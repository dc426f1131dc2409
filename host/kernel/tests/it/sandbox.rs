//! Private namespaces for a test, without privilege. Must not know: what is
//! tested.

use std::any::type_name;
use std::env;
use std::fs::File;
use std::io::{Write, stderr};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;

use serde_json::Value;
use wasm_cni_kernel::{Address, LinkAttrs, LinkKind, Netlink, Netns, NewLink, VethPeer};

/// The namespaces of a test: its own, `host`, and a new one.
pub(crate) struct Sandbox {
    pub(crate) host: Netns,
    pub(crate) container: Netns,
}

/// Runs a test's body in user, network and mount namespaces of its own.
///
/// A process with threads can't enter a user namespace, and libtest has
/// threads: the test binary runs itself once more, for this one test, under
/// unshare(1).
#[expect(clippy::disallowed_methods, reason = "how the test knows that it is inside already")]
pub(crate) fn isolated<F: FnOnce(Sandbox)>(body: F) {
    const INSIDE: &str = "WASM_CNI_TEST_INSIDE";
    if env::var_os(INSIDE).is_some() {
        let [host, container] = [Netns::current(), Netns::create()].map(Result::unwrap);
        sh(&host, "ip link set lo up");
        return body(Sandbox { host, container });
    }
    // `it::link::a_bridge_is_made::{{closure}}`
    let test = type_name::<F>().trim_end_matches("::{{closure}}");
    let (_, test) = test.split_once("::").unwrap();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "--"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        // The machine's namespace, for the test that needs one that it can't enter.
        .stdin(File::open("/proc/self/ns/net").unwrap())
        .output()
        .expect("these tests need unshare(1) of util-linux");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{test}, under `unshare --user --map-root-user --net --mount`:\n{said}"
    );
    for line in said.lines().filter(|line| line.starts_with("SKIPPED")) {
        // Not with eprintln!, which libtest captures.
        stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// Reports that the rest of a test is skipped. The reason is the probe's output.
pub(crate) fn skip(what: &str, reason: &str) {
    eprintln!("SKIPPED {what}: {}", reason.trim());
}

/// Runs a command in a namespace and returns its output, or what it printed to
/// standard error.
pub(crate) fn try_sh(netns: &Netns, command: &str) -> Result<String, String> {
    let mut words = command.split_whitespace();
    let mut child = Command::new(words.next().unwrap());
    child.args(words);
    let output = netns.run(|| child.output().unwrap()).unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

pub(crate) fn sh(netns: &Netns, command: &str) -> String {
    try_sh(netns, command).unwrap_or_else(|error| panic!("{command}: {error}"))
}

/// `ip -json -details`, without the empty objects that it prints for filtered
/// entries.
pub(crate) fn ip(netns: &Netns, question: &str) -> Vec<Value> {
    let answer = sh(netns, &format!("ip -json -details {question}"));
    let Value::Array(mut found) = serde_json::from_str(&answer).unwrap_or_default() else {
        return Vec::new();
    };
    found.retain(|object| object.as_object().is_some_and(|fields| !fields.is_empty()));
    found
}

/// The names of a namespace's devices, sorted.
pub(crate) fn devices(netns: &Netns) -> Vec<String> {
    let name = |link: &Value| link["ifname"].as_str().unwrap().to_owned();
    let mut names: Vec<_> = ip(netns, "link show").iter().map(name).collect();
    names.sort();
    names
}

/// Makes a veth pair, both up: `host` in one namespace, `eth0` in the other. Returns
/// eth0's index.
pub(crate) fn veth(host: &mut Netlink, container: &mut Netlink, peer: VethPeer) -> u32 {
    let up = LinkAttrs { up: Some(true), ..LinkAttrs::default() };
    host.link_add(&NewLink { name: "host".to_owned(), kind: LinkKind::Veth(peer), attrs: up.clone() }).unwrap();
    let eth0 = container.link_get(wasm_cni_kernel::LinkRef::Name("eth0")).unwrap().index;
    container.link_set(eth0, &up).unwrap();
    eth0
}

/// Makes eth0 with 10.1.0.2/24, 10.1.0.3/24 and fd00::2/64, usable at once.
pub(crate) fn eth0(host: &Netns, container: &Netns) -> (Netlink, u32) {
    let (mut outer, mut inner) = (host.connect().unwrap(), container.connect().unwrap());
    let netns = Some(container.as_fd().as_raw_fd());
    let peer = VethPeer { name: "eth0".to_owned(), netns, ..VethPeer::default() };
    let link = veth(&mut outer, &mut inner, peer);
    for (ip, flags) in [("10.1.0.2/24", 0), ("10.1.0.3/24", 0), ("fd00::2/64", 0x02)] {
        inner.address_add(&Address { link, ip: ip.parse().unwrap(), flags }).unwrap();
    }
    (inner, link)
}
