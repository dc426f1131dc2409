//! What is the host's or another container's: out of reach, or taken back.

use serde_json::json;

use super::scene::{Scene, refuses, says};

#[test]
fn links_that_are_neither_bridges_nor_ports_stay_as_they_are() {
    refuses("foreign-links", json!({}));
}

#[test]
fn routes_by_them_too() {
    refuses("foreign-routes", json!({}));
}

#[test]
fn and_sysctls_that_forwarding_does_not_need() {
    refuses("foreign-sysctls", json!({}));
}

#[test]
fn what_is_done_to_bridges_and_ports_is_taken_back() {
    says("ports", json!({}), &["hostile has had the ports"]);
}

#[test]
fn and_filters_for_what_is_others() {
    says("foreign-filters", json!({}), &["hostile has had its filters"]);
}

#[test]
fn only_a_gc_removes_what_is_others() {
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
