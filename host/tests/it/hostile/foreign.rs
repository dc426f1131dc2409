//! What is the host's or another container's: out of reach, or taken back.

use serde_json::json;

use super::scene::{Scene, refuses};
use crate::machine::{installed, script};

#[test]
pub(super) fn links_that_are_neither_bridges_nor_ports_stay_unchanged() {
    refuses("foreign-links", json!({}));
}

#[test]
fn its_own_links_get_only_routes_to_assigned_addresses() {
    refuses("foreign-routes", json!({}));
}

#[test]
fn sysctls_that_forwarding_does_not_need_are_refused() {
    refuses("foreign-sysctls", json!({}));
}

#[test]
fn forwarding_stays_on_and_other_links_stay_unchanged() {
    refuses("foreign-forwarding", json!({}));
}

#[test]
fn a_star_of_a_grant_reaches_neither_all_nor_default() {
    refuses("foreign-stars", json!({}));
}

/// CVE-2020-10749: the container would give the host addresses and a default route.
#[test]
fn links_on_the_host_do_not_listen_to_routers_whoever_asks() {
    let scene = Scene::new();
    scene.network(json!([{ "type": "hostile", "mode": "listen" }]));
    let added = scene.call("listen", &["add", "n1", &scene.netns]);
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    assert!(added.stderr.contains("net/ipv6/conf/listen0/accept_ra stays 0"), "{}", added.stderr);
    for name in ["listen0", "listen1", "listen2", "listen3", "listen5"] {
        assert_eq!(scene.machine.sysctl(None, &format!("net/ipv6/conf/{name}/accept_ra")), "0", "{name}");
    }
    assert!(scene.machine.ip("link show listen0")[0]["flags"].as_array().unwrap().contains(&json!("UP")));
}

#[test]
fn other_ports_and_their_shared_bridge_stay_unchanged() {
    refuses("foreign-ports", json!({}));
    // Nor with a gateway that follows from the address alone.
    refuses("foreign-ports", json!({ "ipam": { "type": "hostile_ipam", "mode": "ok" } }));
}

#[test]
fn a_vlan_interface_of_a_bridge_is_protected_like_the_bridge() {
    let scene = Scene::new();
    let pairs = "ip link add outside.7 type veth peer name port7; ip link set port7 master outside
        ip link add outside.8 type veth peer name port8; ip link set outside.7 up; ip link set outside.8 up";
    script(&scene.machine, pairs);
    let links = || ["outside.7", "outside.8"].map(|name| scene.machine.ip(&format!("addr show {name}")));
    let before = links();
    let ipam = json!({ "type": "host-local", "subnet": "10.99.0.0/24" });
    scene.network(json!([{ "type": "hostile", "mode": "foreign-vlan", "ipam": ipam }]));
    let ended = scene.call("foreign-vlan", &["add", "n1", &scene.netns]);
    ended.says("foreign-vlan", &["outside.8: add the gateway: Code::Denied: ", "outside.7: down: Code::Denied: "]);
    assert_eq!(links(), before);
}

#[test]
fn its_own_links_get_only_assigned_addresses() {
    refuses("foreign-reach", json!({}));
}

#[test]
pub(super) fn filters_for_other_containers_are_refused() {
    refuses("foreign-filters", json!({}));
}

#[test]
fn addresses_that_were_given_back_are_nobody_s() {
    refuses("given-back", json!({}));
}

#[test]
fn without_addresses_from_ipam_there_are_no_filters() {
    refuses("foreign-filters", json!({ "ipam": { "type": "hostile_ipam", "mode": "none" } }));
}

/// A GC's list of who is valid is the caller's.
#[test]
fn a_gc_keeps_attachments_that_the_caller_keeps() {
    let scene = Scene::new();
    let ipam = || json!({ "type": "host-local", "subnet": "10.99.0.0/24" });
    let bridge = json!({
        "type": "bridge", "bridge": "half0", "isGateway": true, "ipam": ipam(),
        "ipMasq": true, "ipMasqBackend": "nftables", "macspoofchk": true,
    });
    let bridge = move || bridge.clone();
    scene.network(json!([bridge()]));
    let added = scene.call("add", &["add", "n1", &scene.netns]);
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    let cached = std::fs::read_dir(scene.machine.root().join("var/lib/cni/results")).unwrap();
    let cached: Vec<_> = cached.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let id = cached[0].strip_prefix("n1-").and_then(|name| name.strip_suffix("-eth0")).unwrap();
    // The port goes, so that only the list keeps its spoof check.
    let state = |what: &str| {
        let rules = scene.machine.command("nft").args(["list", "ruleset"]).output().unwrap();
        let rules = crate::machine::text(&rules);
        assert_eq!(scene.machine.leases("n1"), ["10.99.0.2"], "{what}");
        assert!(rules.contains("masquerade") && rules.contains("spoof") || !installed(&["nft"]), "{what}: {rules}");
    };
    state("after ADD");
    script(&scene.machine, "for v in $(ip -br link show master half0 | grep -o '^[^@ ]*'); do ip link del $v; done");
    for hostile in [
        json!({ "type": "hostile", "on": "gc", "mode": "nobody", "ipam": ipam() }),
        json!({ "type": "hostile", "on": "gc", "mode": "nobody",
                "ipam": { "type": "hostile_ipam", "later": "others-leases" } }),
    ] {
        scene.network(json!([hostile]));
        scene.call("gc", &["gc", "n1", "--keep", &format!("{id}/eth0")]);
        state("after GC");
    }
    scene.network(json!([bridge()]));
    assert_eq!(scene.call("del", &["del", "n1", &scene.netns]).code, Some(0));
    assert_eq!(scene.machine.leases("n1"), [""; 0]);
}

#[test]
pub(super) fn only_a_gc_removes_state_of_other_attachments() {
    refuses("wrong-verb", json!({}));
}

#[test]
fn without_a_grant_there_is_no_host_namespace() {
    let scene = Scene::new();
    scene.network(json!([{ "type": "hostile", "mode": "half" }]));
    let mut command = scene.machine.wasm_cni(&["add", "n1", &scene.netns]);
    let output = command.env("CNI_PATH", super::scene::compiled()).output().unwrap();
    let out = crate::machine::text(&output);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(!out.contains("half done"), "{out}");
    scene.assert_untouched("half without a grant");
}
