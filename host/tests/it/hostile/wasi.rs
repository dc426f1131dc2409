//! A component with a standard library, and so with WASI: there is nothing behind
//! it, and it ends like any other.

use std::{fs, path::PathBuf, process::Command, sync::OnceLock};

use serde_json::{Value, json};

use super::scene::{Ended, Scene};
use crate::machine::PROGRAM;

/// Whether there is a target with a standard library. That there is none is said.
pub(crate) fn installed() -> bool {
    let output = Command::new("rustc").args(["--print=target-libdir", "--target=wasm32-wasip2"]).output().unwrap();
    let there = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()).is_dir();
    if !there {
        eprintln!("skipped: {}: no Rust target wasm32-wasip2", std::thread::current().name().unwrap_or_default());
    }
    there
}

/// The folder with `hostile.wasm`, which is `hostile-wasi`, built once.
fn plugins() -> Option<PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        if !installed() {
            return None;
        }
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = PathBuf::from(PROGRAM).ancestors().nth(2).unwrap().join("guests");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--profile=guest", "--target=wasm32-wasip2", "-p", "hostile-wasi"]);
        cargo.arg("--target-dir").arg(&target).current_dir(root);
        cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS");
        assert!(cargo.status().unwrap().success());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hostile-wasi");
        fs::create_dir_all(&folder).unwrap();
        // In the name that has the grants of these tests.
        fs::copy(target.join("wasm32-wasip2/guest/hostile_wasi.wasm"), folder.join("hostile.wasm")).unwrap();
        Some(folder)
    };
    BUILT.get_or_init(build).clone()
}

/// ADD in this mode; nothing is left of it.
fn add(scene: &Scene, folder: &PathBuf, mode: &str) -> Ended {
    scene.network(json!([{ "type": "hostile", "mode": mode }]));
    let ended = scene.call_with(mode, &["add", "n1", &scene.netns], folder);
    if ended.code != Some(0) {
        scene.assert_untouched(mode);
    }
    ended
}

#[test]
fn stubs_reach_nothing_and_end_in_time() {
    let Some(folder) = plugins() else { return };
    let scene = Scene::new();
    let stopped = "plugin \"hostile\" was stopped during ADD";
    for (mode, expected) in [
        ("look", &["found: \n"][..]),
        ("clocks", &["odd: \n"]),
        ("flood", &[stopped, "it made more than 10000 host calls"]),
        ("long-line", &[stopped, "it "]),
        ("random", &["crashed during ADD: it wanted 1099511627776 random bytes at once, of at most 65536"]),
        ("sleep", &[stopped, "it ran longer than 3 s"]),
        ("naps", &[stopped, "it ran longer than 3 s"]),
        ("exit", &["plugin \"hostile\" crashed during ADD: it ended itself, by exit"]),
        ("abort", &["plugin \"hostile\" crashed during ADD"]),
        ("panic", &["plugin \"hostile\" crashed during ADD: it panicked", "panicked at ", "hostile says: boom"]),
    ] {
        add(&scene, &folder, mode).says(mode, expected);
    }
}

#[test]
fn output_becomes_log_lines() {
    let Some(folder) = plugins() else { return };
    let scene = Scene::new();
    let ended = add(&scene, &folder, "ok");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for line in ["hostile: a line\n", "and  [31manother\n", "a warning\n", "a line in two parts, without an end\n"] {
        assert!(ended.stderr.contains(line), "{line:?} is not in {}", ended.stderr);
    }
    // Its calls are on the trace too.
    let trace = scene.machine.folder().join("trace");
    let arguments = ["del", "n1", &scene.netns, "--trace", trace.to_str().unwrap()];
    assert_eq!(scene.call_with("del", &arguments, &folder).code, Some(0));
    scene.network(json!([{ "type": "hostile", "mode": "random" }]));
    let arguments = ["add", "n1", &scene.netns, "--trace", trace.to_str().unwrap()];
    assert_eq!(scene.call_with("add", &arguments, &folder).code, Some(1));
    let trace = fs::read_to_string(trace).unwrap();
    let call = trace.lines().find(|line| line.contains("wasi:random/random.get-random-bytes")).expect(&trace);
    assert!(call.contains("\"trap\""), "{call}");
}

#[test]
fn inspect_describes_the_stubs() {
    let Some(folder) = plugins() else { return };
    let scene = Scene::new();
    let mut command = scene.machine.wasm_cni(&["inspect", "hostile", "-o", "json"]);
    let output = command.env("CNI_PATH", &folder).output().unwrap();
    let inspected: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(inspected["runs"], true, "{inspected}");
    let says = |list: &str, words: &str| inspected[list].to_string().contains(words);
    assert!(says("imports", "wasi:filesystem/preopens@0.2.") && says("can", "write lines to the log"), "{inspected}");
    assert!(
        says("cannot", "WASI: no files, no environment, no sockets; what it prints goes to the log"),
        "{inspected}"
    );
}

#[test]
fn unknown_wasi_interfaces_are_not_offered() {
    let Some(folder) = plugins() else { return };
    let scene = Scene::new();
    let wasm = fs::read(folder.join("hostile.wasm")).unwrap();
    let other = scene.machine.folder().join("other");
    fs::create_dir(&other).unwrap();
    for (wanted, changed) in [
        ("wasi:cli/environment@0.2.", "wasi:cli/environmenx@0.2."),
        ("wasi:cli/environment@0.2.", "wasi:cli/environment@0.3."),
        ("get-environment", "set-environment"),
    ] {
        let replaced = replace(&wasm, wanted.as_bytes(), changed.as_bytes());
        fs::write(other.join("hostile.wasm"), replaced).unwrap();
        scene.network(json!([{ "type": "hostile", "mode": "ok" }]));
        let ended = scene.call_with(changed, &["add", "n1", &scene.netns], &other);
        ended.says(changed, &["plugin \"hostile\" asks for a capability that it is not offered", "wasi:cli/environ"]);
        scene.assert_untouched(changed);
    }
}

fn replace(bytes: &[u8], wanted: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() - wanted.len() {
        if bytes[at..].starts_with(wanted) {
            bytes[at..at + other.len()].copy_from_slice(other);
        }
    }
    bytes
}
