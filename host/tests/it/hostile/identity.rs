//! One component under several names: which plugin it is, and with which grants, is the host's word.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::hello_plugin::repository;

use super::scene::{Ended, Scene, compiled, each_refused, says};

/// A folder with `hostile` under this name and its own.
fn installed_as(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile-as").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    for name in [name, "hostile"] {
        let file = folder.join(format!("{name}.cwasm"));
        // By rename: another test may read it.
        let temporary = folder.join(format!("{name}.{}", std::process::id()));
        fs::copy(compiled().join("hostile.cwasm"), &temporary).unwrap();
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644)).unwrap();
        fs::rename(&temporary, &file).unwrap();
    }
    folder
}

fn add(scene: &Scene, plugin: Value, folder: &PathBuf) -> Ended {
    let what = plugin["mode"].as_str().unwrap().to_owned();
    scene.network(json!([plugin]));
    let ended = scene.call_with(&what, &["add", "n1", &scene.netns], folder);
    scene.assert_untouched(&what);
    ended
}

#[test]
pub(super) fn the_host_says_what_type_it_is() {
    let folder = installed_as("renamed");
    let scene = Scene::with_policy("[plugins.renamed]\nnamespaces = [\"sandbox\"]\n");
    for name in ["renamed", "hostile"] {
        let ended = add(&scene, json!({ "type": name, "mode": "identity" }), &folder);
        ended.says(name, &[&format!("called as {name}\n")]);
    }
    // The configuration of a delegate is that of the plugin which delegates.
    let ipam = json!({ "ipam": { "type": "hostile_ipam", "mode": "identity" } });
    says("ipam-only", ipam, &["called as hostile_ipam\n"]);
}

#[test]
pub(super) fn each_name_has_the_grants_of_its_own_table() {
    let folder = installed_as("other");
    let policy = "[plugins.other]\nnamespaces = [\"sandbox\"]\n[plugins.hostile]\nmemo = true\n";
    let scene = Scene::with_policy(policy);
    let other = add(&scene, json!({ "type": "other", "mode": "memo-any" }), &folder);
    other.says("other", &["plugin \"other\" has no grant to keep a value"]);
    each_refused("memo-any", &other);
    let granted = add(&scene, json!({ "type": "hostile", "mode": "memo-show" }), &folder);
    granted.says("hostile", &["memo: None"]);
}

#[test]
pub(super) fn with_the_grants_of_loopback_no_other_import_is_of_use() {
    let folder = installed_as("narrow");
    let grants = fs::read_to_string(repository().join("guest-plugins/loopback/policy.toml")).unwrap();
    let scene = Scene::with_policy(&grants.replace("[plugins.loopback]", "[plugins.narrow]"));
    let ipam = json!({ "type": "host-local", "subnet": "10.99.0.0/24" });
    let ended = add(&scene, json!({ "type": "narrow", "mode": "ungranted", "ipam": ipam }), &folder);
    each_refused("ungranted", &ended);
    for what in ["dummy: ", "add a rule: ", "masquerade: ", "a device: ", "put a memo: ", "delegate GC: "] {
        assert!(ended.stderr.contains(what), "{what:?} is not in {}", ended.stderr);
    }
}
