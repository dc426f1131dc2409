//! DEL, CHECK, STATUS and GC that misbehave: they fail, and keep nobody else
//! from cleaning up.

use serde_json::{Value, json};

use super::scene::Scene;

const WAYS: [(&str, &str); 3] =
    [("panic", "it panicked"), ("loop", "it ran longer than 3 s"), ("alloc", "it wanted more than 64 MiB of memory")];

fn scene(verb: &str, mode: &str) -> Scene {
    let scene = Scene::new();
    let bridge: Value =
        json!({ "type": "bridge", "bridge": "half0", "ipam": { "type": "host-local", "subnet": "10.99.0.0/24" } });
    scene.network(json!([bridge, { "type": "hostile", "on": verb, "mode": mode }]));
    scene
}

#[test]
fn a_del_that_misbehaves_does_not_keep_the_others_from_theirs() {
    for (mode, expected) in WAYS {
        let scene = scene("del", mode);
        let what = format!("{mode} in DEL");
        let added = scene.call(&what, &["add", "n1", &scene.netns]);
        assert_eq!(added.code, Some(0), "{what}: {}", added.stderr);
        assert_eq!(scene.machine.leases("n1"), ["10.99.0.2"]);
        // As often as a runtime may try.
        for _ in 0..2 {
            let deleted = scene.call(&what, &["del", "n1", &scene.netns]);
            deleted.says(&what, &["plugin \"hostile\"", "during DEL: ", expected]);
            assert_eq!(scene.machine.devices("-n c1 "), ["lo"], "{what}");
            assert_eq!(scene.machine.leases("n1"), [""; 0], "{what}");
        }
    }
}

#[test]
fn a_check_that_misbehaves_changes_nothing() {
    for (mode, expected) in WAYS {
        let scene = scene("check", mode);
        let what = format!("{mode} in CHECK");
        assert_eq!(scene.call(&what, &["add", "n1", &scene.netns]).code, Some(0));
        let checked = scene.call(&what, &["check", "n1", &scene.netns]);
        checked.says(&what, &["plugin \"hostile\"", "during CHECK: ", expected]);
        assert_eq!(scene.machine.leases("n1"), ["10.99.0.2"], "{what}");
        assert_eq!(scene.call(&what, &["del", "n1", &scene.netns]).code, Some(0));
    }
}

#[test]
fn a_status_that_misbehaves_is_a_failure() {
    for (mode, expected) in WAYS {
        let scene = scene("status", mode);
        let what = format!("{mode} in STATUS");
        let status = scene.call(&what, &["status", "n1"]);
        status.says(&what, &["plugin \"hostile\"", "during STATUS: ", expected]);
        scene.assert_untouched(&what);
    }
}

#[test]
fn a_gc_that_misbehaves_does_not_keep_stale_attachments() {
    for (mode, expected) in WAYS {
        let scene = scene("gc", mode);
        let what = format!("{mode} in GC");
        assert_eq!(scene.call(&what, &["add", "n1", &scene.netns]).code, Some(0));
        let collected = scene.call(&what, &["gc", "n1", "--keep", "x/eth0"]);
        collected.says(&what, &["plugin \"hostile\"", "during GC: ", expected]);
        assert_eq!(scene.machine.leases("n1"), [""; 0], "{what}");
        assert_eq!(scene.machine.devices("-n c1 "), ["lo"], "{what}");
    }
}
