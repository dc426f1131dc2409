//! The value that a plugin keeps for its attachment: bounded, granted, and put back.

use serde_json::json;

use super::scene::{Scene, refuses, refuses_under, says_under};

const GRANTED: &str = "[plugins.hostile]\nmemo = true\n";

#[test]
pub(super) fn a_value_that_is_too_long_is_refused() {
    refuses_under(GRANTED, "memo-large");
}

#[test]
pub(super) fn without_a_grant_there_is_no_memo() {
    refuses("memo-any", json!({}));
}

#[test]
pub(super) fn values_without_end_end_and_are_removed() {
    says_under(GRANTED, "memo-flood", &["plugin \"hostile\" was stopped during ADD: it "]);
}

#[test]
pub(super) fn a_value_is_put_back_after_a_panic() {
    let scene = Scene::with_policy(GRANTED);
    let call = |mode: &str| {
        scene.network(json!([{ "type": "hostile", "mode": mode }]));
        scene.call(mode, &["add", "n1", &scene.netns])
    };
    let shows = |value: &str| call("memo-show").says("memo-show", &[value]);
    let crashed = |times: u32| {
        for _ in 0..times {
            call("memo-panic").says("memo-panic", &["plugin \"hostile\" crashed during ADD", "hostile says: put"]);
        }
    };
    // None was there.
    crashed(1);
    shows("memo: None");
    assert_eq!(call("memo-keep").code, Some(0));
    shows("memo: Some(\"eth0\")");
    crashed(2);
    shows("memo: Some(\"eth0\")");
    assert_eq!(scene.call("memo-keep", &["del", "n1", &scene.netns]).code, Some(0));
    shows("memo: None");
    scene.assert_untouched("memo");
}
