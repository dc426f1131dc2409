//! A `validate` that does more than to judge: it reaches nothing, ends in time, and says no more than a mistake can.

use serde_json::json;

use super::scene::{Ended, Scene};

/// `validate` of a network of `hostile` in this mode; nothing has changed.
fn validate(mode: &str) -> Ended {
    // All that a policy could give it for an ADD.
    let scene = Scene::with_policy("[plugins.hostile]\nmemo = true\n");
    scene.network(
        json!([{ "type": "hostile", "mode": mode, "ipam": { "type": "host-local", "subnet": "10.99.0.0/24" } }]),
    );
    let ended = scene.call(mode, &["validate"]);
    scene.assert_untouched(mode);
    assert!(!scene.machine.root().join("var/lib/cni/networks/n1").exists(), "{mode} left a folder of leases behind");
    ended
}

/// It found mistakes: how many, and each a line that a terminal can show.
fn mistakes(mode: &str, ended: &Ended) -> Vec<String> {
    assert_eq!(ended.code, Some(1), "{mode}: {}{}", ended.stdout, ended.stderr);
    let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    for text in [&ended.stdout, &ended.stderr] {
        assert!(!text.contains(obeyed), "{mode}: control characters in {text:?}");
        assert!(text.len() < 128 << 10, "{mode}: {} bytes", text.len());
    }
    ended.stdout.lines().map(str::to_owned).collect()
}

#[test]
pub(super) fn nothing_can_be_reached() {
    let ended = validate("reach");
    let out = mistakes("reach", &ended).join("\n");
    assert!(!out.contains("not refused"), "{out}");
    for call in [
        "delegate add",
        "delegate del",
        "delegate status",
        "delegate gc",
        "put a memo",
        "get a memo",
        "look for a device",
    ] {
        assert!(out.contains(call), "{call:?} is not in\n{out}");
    }
}

#[test]
pub(super) fn mistakes_without_end_are_refused() {
    let ended = validate("many-mistakes");
    let out = mistakes("many-mistakes", &ended);
    assert!(!out.is_empty() && out.len() < 100, "{} lines", out.len());
}

#[test]
pub(super) fn one_that_does_not_end_is_stopped() {
    for (mode, words) in [("loop", "took too long"), ("panic", "hostile says: boom"), ("alloc", "memory")] {
        let out = mistakes(mode, &validate(mode)).join("\n");
        assert!(out.contains(words) && out.contains("hostile"), "{mode}: {words:?} is not in\n{out}");
    }
}
