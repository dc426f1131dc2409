//! An IPAM plugin that misbehaves: of its network's entries it may do with what
//! it wants, in bounds; of any other's there is no way to speak.

use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::scene::{Scene, refuses, says};

fn ipam(mode: &str) -> Value {
    json!({ "ipam": { "type": "hostile_ipam", "mode": mode } })
}

#[test]
pub(super) fn keys_that_would_be_other_files() {
    refuses("ipam-only", ipam("bad-keys"));
}

#[test]
pub(super) fn values_and_lists_that_are_too_long() {
    refuses("ipam-only", ipam("bad-values"));
}

#[test]
fn what_the_host_stores_is_limited() {
    says("half", ipam("get-many"), &["more than 1024 keys"]);
    says("half", ipam("create-much"), &["more effects than one attempt may have"]);
}

#[test]
pub(super) fn entries_without_end_end_and_are_removed() {
    says("half", ipam("entries-flood"), &["it "]);
}

#[test]
fn a_log_without_end_is_cut() {
    says(
        "half",
        ipam("log-flood"),
        &["plugin \"hostile_ipam\" was stopped during ADD: it made more than 10000 host calls"],
    );
}

#[test]
pub(super) fn a_transaction_ends_with_its_instance() {
    let stopped = "plugin \"hostile_ipam\" was stopped during ADD: it ran longer than 3 s";
    says("half", ipam("hold"), &[stopped]);
    says("half", ipam("twice"), &["/var/lib/cni/networks/n1/lock: "]);
}

#[test]
fn a_waiting_transaction_starts_when_its_holder_is_stopped() {
    let scene = Scene::new();
    let network = json!([{ "type": "hostile", "mode": "half", "ipam": { "type": "hostile_ipam", "mode": "hold" } }]);
    scene.network(network);
    let netns = scene.machine.netns("c3");
    let mut holder = scene.machine.wasm_cni(&["add", "n1", &scene.netns, "--timeout", "2"]);
    let holder = holder.args(super::scene::ALLOWED).env("CNI_PATH", super::scene::compiled());
    let mut holder = holder.stderr(Stdio::null()).spawn().unwrap();
    let lock = scene.machine.root().join("var/lib/cni/networks/n1/lock");
    let started = Instant::now();
    while !lock.exists() {
        assert!(started.elapsed().as_secs() < 20, "nobody holds it");
        thread::sleep(Duration::from_millis(5));
    }
    scene.network(json!([{ "type": "ptp", "ipam": { "type": "host-local", "subnet": "10.99.0.0/24" } }]));
    let added = scene.machine.add("n1", &netns);
    assert_eq!(added["ips"][0]["address"], "10.99.0.2/24");
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    assert_eq!(holder.wait().unwrap().code(), Some(1));
    scene.machine.del("n1", &netns);
}

#[test]
fn what_it_created_is_removed_when_it_panics() {
    says("half", ipam("create-panic"), &["plugin \"hostile_ipam\" crashed during ADD", "hostile says: created"]);
}

#[test]
fn overwritten_entries_are_restored() {
    says("half", ipam("put-much"), &["more effects than one attempt may have"]);
    let scene = Scene::new();
    let folder = scene.machine.root().join("var/lib/cni/networks/n1");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("note.0"), "of before").unwrap();
    scene.network(
        json!([{ "type": "hostile", "mode": "half", "ipam": { "type": "hostile_ipam", "mode": "put-panic" } }]),
    );
    scene.call("put-panic", &["add", "n1", &scene.netns]).says("put-panic", &["hostile says: put"]);
    assert_eq!(fs::read_to_string(folder.join("note.0")).unwrap(), "of before");
    assert!(!folder.join("note.1").exists());
}

#[test]
fn only_its_attachment_changes_a_lease() {
    let scene = Scene::new();
    let folder = scene.machine.root().join("var/lib/cni/networks/n1");
    fs::create_dir_all(&folder).unwrap();
    let lease = folder.join("10.99.0.9");
    fs::write(&lease, "another\r\neth0").unwrap();
    let ipam = |mode: &str, later: &str| json!({ "type": "hostile_ipam", "mode": mode, "later": later });
    scene.network(json!([{ "type": "hostile", "mode": "ipam-only", "ipam": ipam("others-leases", "") }]));
    let ended = scene.call("others' leases", &["add", "n1", &scene.netns]);
    ended.says("others' leases", &["\"10.99.0.9\": Code::Denied: refused"]);
    for (verb, mode) in [("check", "ipam-check"), ("del", "ipam-del")] {
        let ipam = ipam("ok", "others-leases");
        scene.network(json!([{ "type": "hostile", "on": verb, "mode": mode, "ipam": ipam }]));
        if verb == "check" {
            assert_eq!(scene.call("add", &["add", "n1", &scene.netns]).code, Some(0));
        }
        scene.call(verb, &[verb, "n1", &scene.netns]).says(verb, &["\"10.99.0.9\": Code::Denied: refused"]);
        assert_eq!(fs::read_to_string(&lease).unwrap(), "another\r\neth0", "{verb}");
    }
    // Who is not valid has no lease, whoever says so.
    scene.network(json!([{ "type": "hostile", "on": "gc", "mode": "nobody", "ipam": ipam("ok", "others-leases") }]));
    scene.call("gc", &["gc", "n1", "--keep", "another/eth0"]).says("gc", &["\"10.99.0.9\": Code::Denied: refused"]);
    assert!(lease.exists());
    scene.call("gc", &["gc", "n1", "--keep", "x/eth0"]);
    assert!(!lease.exists());
}

#[test]
pub(super) fn a_resolver_file_that_is_not_one_is_refused() {
    for (file, expected) in [
        ("/dev/zero", "not a regular file"),
        ("/etc", "not a regular file"),
        ("/proc/self/mem", "/proc/self/mem"),
        ("/nonexistent", "no such file or directory"),
    ] {
        let more = json!({ "ipam": { "type": "hostile_ipam", "mode": "resolver", "resolvConf": file } });
        says("half", more, &[expected]);
    }
}
