//! Changes that functions of other packages describe: done once or not at all, looked at where they are done, and never for
//! the host's namespace.

use serde_json::json;

use super::scene::{Scene, add_to, refuses_under, says_under};
use crate::machine::has_link_kind;

/// Whatever there is to grant, but for links of the host.
const GRANTED: &str = "[plugins.hostile]\nlinks = [\"dummy\", \"macvlan\"]\noperations = [\
     \"link-add\", \"link-set\", \"link-del\", \"route-add\", \"route-set\", \"route-del\", \
     \"rule-add\", \"rule-del\", \"neighbour-add\", \"neighbour-del\"]\n";

const CRASHED: &str = "plugin \"hostile\" crashed during ADD: ";

#[test]
pub(super) fn a_change_is_done_once() {
    for mode in ["change-twice", "change-again"] {
        says_under(GRANTED, mode, &[CRASHED, "unknown handle"]);
    }
}

#[test]
pub(super) fn a_change_that_no_commit_sees_does_nothing() {
    let mode = "change-never";
    let scene = Scene::with_policy(GRANTED);
    scene.network(json!([{ "type": "hostile", "mode": mode }]));
    let ended = scene.call(mode, &["add", "n1", &scene.netns]);
    assert_eq!(ended.code, Some(0), "{mode}: {}", ended.stderr);
    assert!(ended.stdout.contains("eth0"), "{mode}: {}", ended.stdout);
    assert_eq!(scene.machine.devices("-n c1 "), ["lo"], "{mode}");
    assert_eq!(scene.call(mode, &["del", "n1", &scene.netns]).code, Some(0));
    scene.assert_untouched(mode);
}

#[test]
pub(super) fn changes_that_are_kept_end_with_the_handles() {
    says_under(GRANTED, "change-hoard", &["plugin \"hostile\" was stopped during ADD: it kept more than 1024 handles"]);
}

#[test]
pub(super) fn changes_without_end_end_with_the_memory() {
    let limit = "plugin \"hostile\" was stopped during ADD: it wanted more than 64 MiB of memory";
    says_under(GRANTED, "change-flood", &[limit]);
}

#[test]
pub(super) fn a_link_of_a_change_is_taken_back_after_a_panic() {
    let ended = add_to(&Scene::with_policy(GRANTED), "change-half", json!({}));
    match has_link_kind("dummy") {
        true => ended.says("change-half", &[CRASHED, "hostile says: half done"]),
        false => ended.says("change-half", &["operation not supported"]),
    }
}

#[test]
pub(super) fn links_namespaces_and_names_that_do_not_exist() {
    refuses_under(GRANTED, "bad-changes");
}

#[test]
pub(super) fn links_of_the_host_are_parents_only_by_a_grant() {
    refuses_under(GRANTED, "foreign-parents");
}

#[test]
pub(super) fn tables_of_the_host_are_out_of_reach_with_every_operation_granted() {
    refuses_under(GRANTED, "foreign-tables");
}

#[test]
pub(super) fn routes_rules_and_neighbours_without_sense() {
    refuses_under(GRANTED, "bad-tables");
}

#[test]
pub(super) fn without_operations_there_are_no_changes() {
    for mode in ["bad-tables", "bad-changes", "foreign-tables"] {
        refuses_under("[plugins.hostile]\nlinks = [\"dummy\", \"macvlan\"]\noperations = []\n", mode);
    }
}
