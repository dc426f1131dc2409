//! A plugin that misbehaves: the error is clear and comes in bounded time, the
//! host survives, and what the attempt had made is gone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    machine::{Machine, text},
    outside::plugins,
};

/// Time that a call gets in these tests, seconds.
const TIMEOUT: &str = "3";

/// More than that, also on a busy machine, and less than a hang.
const BOUND: Duration = Duration::from_secs(30);

/// `add` of the plugin in this mode; gives what it printed.
fn add(mode: &str, more: Value) -> String {
    let machine = Machine::new();
    let mut plugin =
        json!({ "type": "hostile", "mode": mode, "ipam": { "type": "host-local", "subnet": "10.99.0.0/24" } });
    plugin.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let network = machine.network("n1", plugin);
    let netns = machine.netns("c1");
    let made = machine.command("ip").args(["link", "add", "outside", "type", "bridge"]).status().unwrap();
    assert!(made.success());
    let before = (machine.devices(""), machine.devices("-n c1 "), ruleset(&machine));

    let mut command = machine.wasm_cni(&["add", &network, &netns, "--allow-host", "hostile", "--timeout", TIMEOUT]);
    let started = Instant::now();
    let output = command.env("CNI_PATH", plugins()).output().unwrap();
    assert!(started.elapsed() < BOUND, "{mode} took {:?}", started.elapsed());
    assert_eq!(output.status.code(), Some(1), "{mode}: {}", text(&output));
    assert!(output.stdout.is_empty(), "{mode}: {}", text(&output));

    let after = (machine.devices(""), machine.devices("-n c1 "), ruleset(&machine));
    assert_eq!(after, before, "{mode} left something behind");
    assert_eq!(machine.leases("n1"), [""; 0], "{mode} left leases behind");
    let networks = machine.root().join("var/lib/cni/networks/n1");
    assert!(!networks.exists(), "{mode} left its folder of leases behind");
    text(&output)
}

/// What `nft` prints, if it is installed.
fn ruleset(machine: &Machine) -> String {
    let output =
        machine.command("sh").args(["-c", "! command -v nft >/dev/null || nft list ruleset"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn says(mode: &str, expected: &[&str]) {
    let out = add(mode, json!({}));
    for expected in expected {
        assert!(out.contains(expected), "{mode}: {expected:?} is not in {out}");
    }
}

#[test]
fn a_panic_is_an_error_with_the_plugin_and_its_last_words() {
    says("panic", &["plugin \"hostile\" crashed during ADD: it panicked", "hostile says: boom"]);
}

#[test]
fn a_loop_ends_with_its_time() {
    says("loop", &["plugin \"hostile\" was stopped during ADD: it ran longer than 3 s"]);
}

#[test]
fn memory_without_end_ends_with_the_limit() {
    says("alloc", &["plugin \"hostile\" was stopped during ADD: it wanted more than 64 MiB of memory"]);
}

#[test]
fn recursion_without_end_ends_with_the_stack() {
    says("recurse", &["plugin \"hostile\" crashed during ADD: it used memory that it does not have"]);
}

#[test]
fn nonsense_is_not_passed_on() {
    says("nonsense", &["plugin \"hostile\" returned an invalid result of ADD"]);
}

#[test]
fn a_huge_result_ends_with_a_limit() {
    says("huge-result", &["plugin \"hostile\""]);
}

#[test]
fn host_calls_without_end_end_with_a_limit() {
    says("call-flood", &["plugin \"hostile\" was stopped during ADD: it made more than 10000 host calls"]);
}

#[test]
fn the_log_is_cut() {
    let out = add("log-flood", json!({}));
    assert!(out.contains("plugin \"hostile\" was stopped during ADD: it made more than 10000 host calls"), "{out}");
    assert!(out.len() < 128 << 10, "{} octets of log", out.len());
}

#[test]
fn waiting_without_end_ends_with_its_time() {
    says("wait-long", &["plugin \"hostile\" was stopped during ADD: it ran longer than 3 s"]);
}

#[test]
fn half_an_attachment_is_taken_back_whatever_ends_it() {
    says("half", &["plugin \"hostile\" crashed during ADD: it panicked", "hostile says: half done"]);
    says("half-loop", &["plugin \"hostile\" was stopped during ADD: it ran longer than 3 s"]);
    says("half-fail", &["hostile gives up half done"]);
}

/// Every call that it lists was refused, and with a reason.
fn refuses(mode: &str, more: Value) {
    let out = add(mode, more);
    let (_, list) = out.split_once("failed (add): ").unwrap_or_else(|| panic!("{mode}: {out}"));
    let reasons =
        ["Denied: ", "Invalid: ", "Limit: ", "NotFound: ", "no plugin name", "invalid plugin name", "has no grant"];
    for line in list.trim().lines() {
        assert!(reasons.iter().any(|reason| line.contains(reason)), "{mode}: {line:?} was not refused in {out}");
    }
    assert!(list.trim().lines().count() > 1, "{mode}: {out}");
}

#[test]
fn calls_without_a_grant_and_arguments_without_sense_are_refused() {
    refuses("bad-handles", json!({}));
    refuses("bad-names", json!({ "outside": "outside" }));
    refuses("bad-sysctl", json!({}));
    refuses("delegate-path", json!({}));
    refuses("bad-moves", json!({ "outside": "outside" }));
    refuses("bad-filters", json!({}));
    refuses("bad-devices", json!({}));
}

#[test]
fn packet_filters_are_taken_back_whatever_ends_it() {
    for mode in ["half", "half-loop", "half-fail"] {
        // It says that no table of packet filters is left.
        add(mode, json!({ "filters": true }));
    }
}

#[test]
fn a_plugin_that_delegates_to_itself_comes_to_an_end() {
    let out = add("delegate-self", json!({ "ipam": { "type": "hostile" } }));
    assert!(out.contains("delegates more than"), "{out}");
}

#[test]
fn without_a_grant_there_is_no_host_namespace() {
    let machine = Machine::new();
    let network = machine.network("n1", json!({ "type": "hostile", "mode": "half" }));
    let netns = machine.netns("c1");
    let mut command = machine.wasm_cni(&["add", &network, &netns]);
    let output = command.env("CNI_PATH", plugins()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!text(&output).contains("half done"), "{}", text(&output));
    assert_eq!(machine.devices(""), ["lo"]);
}
