//! Time, memory, stack, calls, log: whatever is used up, the call ends with a
//! limit's name, and what it had made is gone.

use serde_json::json;

use super::scene::{add, says};

const ENDED_BY_TIME: &str = "plugin \"hostile\" was stopped during ADD: it ran longer than 3 s";

#[test]
fn a_panic_is_an_error_with_the_plugin_and_its_last_words() {
    says("panic", json!({}), &["plugin \"hostile\" crashed during ADD: it panicked", "hostile says: boom"]);
}

#[test]
pub(super) fn panic_messages_and_last_calls_are_cut_and_safe_for_a_terminal() {
    says("last-words", json!({}), &["plugin \"hostile\" crashed during ADD: it panicked"]);
    says("last-call", json!({}), &["plugin \"hostile\" crashed during ADD: it panicked", "hostile says: refused"]);
}

#[test]
fn a_loop_ends_with_its_time() {
    says("loop", json!({}), &[ENDED_BY_TIME]);
}

#[test]
fn memory_without_end_ends_with_the_limit() {
    for mode in ["alloc", "alloc-slow"] {
        says(mode, json!({}), &["plugin \"hostile\" was stopped during ADD: it wanted more than 64 MiB of memory"]);
    }
}

#[test]
fn recursion_without_end_ends_with_the_stack() {
    says("recurse", json!({}), &["plugin \"hostile\" crashed during ADD: it used memory that it does not have"]);
}

#[test]
pub(super) fn host_calls_without_end_end_with_a_limit() {
    says("call-flood", json!({}), &["plugin \"hostile\" was stopped during ADD: it made more than 10000 host calls"]);
    // Whichever comes first.
    says("read-flood", json!({}), &["plugin \"hostile\" was stopped during ADD: it "]);
}

#[test]
pub(super) fn operations_without_end_end_and_are_taken_back() {
    says(
        "commit-flood",
        json!({}),
        &["plugin \"hostile\" was stopped during ADD: it ", "more effects than one attempt"],
    );
}

#[test]
fn links_without_end_end_and_are_taken_back() {
    says("link-flood", json!({}), &["plugin \"hostile\" was stopped during ADD: it ", "more effects than one attempt"]);
}

#[test]
pub(super) fn the_log_is_cut() {
    let ended = add("log-flood", json!({}));
    ended.says("log-flood", &["plugin \"hostile\" was stopped during ADD: it made more than 10000 host calls"]);
}

#[test]
fn waiting_without_end_ends_with_its_time() {
    says("wait-long", json!({}), &[ENDED_BY_TIME]);
}

#[test]
pub(super) fn delegation_without_end_ends() {
    says("delegate-self", json!({ "ipam": { "type": "hostile" } }), &["delegates more than"]);
    let many = json!({ "ipam": { "type": "hostile_ipam", "mode": "ok" } });
    says("delegate-flood", many, &["plugin \"hostile\" was stopped during ADD: it "]);
}

#[test]
fn delegates_share_the_limits_of_their_caller() {
    // What is logged is bounded, for all of them.
    let log = json!({ "ipam": { "type": "hostile_ipam", "mode": "log-some" } });
    let ended = add("delegate-flood", log);
    ended.says("delegate-flood", &["plugin \"hostile\" was stopped during ADD: it "]);
    let logged = ended.stderr.matches("flood ").count() * "flood ".len();
    assert!((60 << 10..=66 << 10).contains(&logged), "{logged} bytes");
    // So is what is asked: its caller has no calls left either.
    let calls = json!({ "ipam": { "type": "hostile_ipam", "mode": "log-flood" } });
    says("delegate-flood", calls, &["plugin \"hostile\" was stopped during ADD: it made more than 10000 host calls"]);
}

#[test]
fn a_partial_attachment_is_undone_whatever_ends_it() {
    for filters in [false, true] {
        let more = || json!({ "filters": filters });
        says("half", more(), &["plugin \"hostile\" crashed during ADD: it panicked", "hostile says: half done"]);
        says("half-loop", more(), &[ENDED_BY_TIME]);
        says("half-fail", more(), &["hostile gives up half done"]);
    }
}
