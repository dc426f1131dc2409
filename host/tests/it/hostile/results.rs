//! Results that no one should believe are not passed on, nor kept.

use serde_json::json;

use super::scene::{Scene, add, says};

const INVALID: &str = "plugin \"hostile\" returned an invalid result of ADD";

#[test]
fn malformed_results_are_refused() {
    says("nonsense", json!({}), &[INVALID]);
}

#[test]
fn a_huge_result_ends_with_a_limit() {
    says("huge-result", json!({}), &["plugin \"hostile\""]);
}

#[test]
fn control_characters_paths_and_unknown_indices_are_refused() {
    let lies = [
        "name", "path", "mac", "sandbox", "socket", "pci", "long", "many", "prefix4", "prefix6", "index", "route",
        "dns", "search",
    ];
    for lie in lies {
        add(&format!("lie-{lie}"), json!({})).says(lie, &[INVALID]);
    }
}

#[test]
fn malformed_results_of_an_ipam_plugin_are_refused() {
    for mode in ["wrong-family", "no-interface"] {
        let more = json!({ "ipam": { "type": "hostile_ipam", "mode": mode } });
        says("half", more, &["plugin \"hostile_ipam\" returned an invalid result of ADD"]);
    }
}

#[test]
fn a_forged_prev_result_gives_no_power() {
    // A caller's `prevResult` names the other container's end of its pair.
    let scene = Scene::new();
    let other = scene.machine.ip("link show other0");
    let mac = other[0]["address"].as_str().unwrap();
    for interfaces in [
        json!([{ "name": "uplink" }, { "name": "lo" }, { "name": "outside" }]),
        json!([{ "name": "other0", "mac": "02:00:00:00:00:01" }]),
        json!([{ "name": "other0", "mac": mac, "sandbox": "/run/netns/c2" }]),
        json!([{ "name": "../other0\n", "mac": mac }]),
    ] {
        let config = json!({
            "cniVersion": "1.1.0", "name": "n1", "type": "bridge", "bridge": "outside",
            "prevResult": { "cniVersion": "1.1.0", "interfaces": interfaces },
        });
        let env = [
            ("CNI_COMMAND", "DEL"),
            ("CNI_CONTAINERID", "c1"),
            ("CNI_NETNS", scene.netns.as_str()),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", "/nonexistent"),
        ];
        scene.machine.plugin("bridge", &env, &config.to_string());
        scene.assert_untouched("a lie in prevResult");
    }
}
