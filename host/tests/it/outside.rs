//! Plugins from outside: compiled by `wasm-cni-compile` when they are needed,
//! into a cache that others cannot write to.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command, sync::OnceLock};

use serde_json::json;

use crate::machine::{Machine, text};

/// The folder with `hostile.wasm`, `hostile_ipam.wasm` and `hostile_script.wasm`, built once.
pub(crate) fn plugins() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
            // Where the bundled plugins are built too.
            let target = PathBuf::from(crate::machine::PROGRAM).ancestors().nth(2).unwrap().join("guests");
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--quiet", "--profile=guest", "--target=wasm32-unknown-unknown"]);
            cargo.args(["-p", "hostile", "-p", "hostile-ipam", "-p", "hostile-script"]);
            cargo.arg("--target-dir").arg(&target).current_dir(root);
            cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS");
            assert!(cargo.status().unwrap().success());
            target.join("wasm32-unknown-unknown/guest")
        })
        .clone()
}

/// `hostile.wasm`, that imports `wasm-cni:net/nat@0.1.0` in place of an interface that
/// there is.
pub(crate) fn importing_what_there_is_not() -> Vec<u8> {
    let wasm = fs::read(plugins().join("hostile.wasm")).unwrap();
    let (wanted, other) = (b"wasm-cni:net/net@0.1.0", b"wasm-cni:net/nat@0.1.0");
    let mut changed = wasm.clone();
    for at in 0..wasm.len() - wanted.len() {
        if wasm[at..].starts_with(wanted) {
            changed[at..at + other.len()].copy_from_slice(other);
        }
    }
    changed
}

#[test]
fn compiled_once_and_again_if_the_cache_cannot_be_trusted() {
    let machine = Machine::new();
    let network = machine.network("n1", json!({ "type": "hostile", "mode": "ok" }));
    let netns = machine.netns("c1");
    let add = || {
        let mut command = machine.wasm_cni(&["add", &network, &netns, "--allow-host", "hostile"]);
        let output = command.env("CNI_PATH", plugins()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    };
    add();
    let cache = machine.root().join("var/cache/wasm-cni");
    let folder = fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let written = || fs::metadata(&file).unwrap().modified().unwrap();
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));

    let first = written();
    add();
    assert_eq!(written(), first, "the cache is used");
    // Somebody else could have written to it.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    add();
    assert_ne!(written(), first);
    assert_eq!(mode(&file), 0o600);
    // It is not native code at all.
    fs::write(&file, "nonsense").unwrap();
    add();
    assert!(fs::metadata(&file).unwrap().len() > 1000);
}

#[test]
fn native_code_needs_no_compiler_but_a_trusted_file() {
    let machine = Machine::new();
    let network = machine.network("n1", json!({ "type": "hostile", "mode": "ok" }));
    let netns = machine.netns("c1");
    let folder = machine.folder().join("plugins");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("hostile.cwasm");
    let compiler = PathBuf::from(crate::machine::PROGRAM).with_file_name("wasm-cni-compile");
    let compiled = Command::new(compiler).arg(plugins().join("hostile.wasm")).arg(&file).status().unwrap();
    assert!(compiled.success());
    let add = || {
        let mut command = machine.wasm_cni(&["add", &network, &netns, "--allow-host", "hostile"]);
        command.env("CNI_PATH", &folder).env("WASM_CNI_COMPILER", "/nonexistent").output().unwrap()
    };
    assert!(add().status.success(), "{}", text(&add()));
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(text(&add()).contains("native code is loaded if only its owner"), "{}", text(&add()));
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&file, "nonsense").unwrap();
    assert!(text(&add()).contains("native code is loaded if only its owner"), "{}", text(&add()));
}

#[test]
fn a_file_that_is_not_a_component_is_refused() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let unloadable = "cannot load plugin";
    for (name, bytes, expected) in [
        ("text", &b"hello"[..], unloadable),
        ("empty", b"", unloadable),
        ("module", b"\0asm\x01\0\0\0", "exports neither wasm-cni:plugin/plugin@0.1.0 nor"),
    ] {
        fs::write(machine.folder().join(format!("{name}.wasm")), bytes).unwrap();
        let network = machine.network("n1", json!({ "type": name }));
        let mut command = machine.wasm_cni(&["add", &network, &netns, "--allow-host", "hostile"]);
        let output = command.env("CNI_PATH", machine.folder()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let out = text(&output);
        assert!(out.contains(expected), "{out}");
    }
}

#[test]
fn a_capability_that_is_not_offered_is_named() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    fs::write(machine.folder().join("other.wasm"), importing_what_there_is_not()).unwrap();
    let network = machine.network("n1", json!({ "type": "other", "mode": "ok" }));
    let output = machine
        .wasm_cni(&["add", &network, &netns, "--allow-host", "hostile"])
        .env("CNI_PATH", machine.folder())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let out = text(&output);
    assert!(out.contains("plugin \"other\"") && out.contains("wasm-cni:net/nat@0.1.0"), "{out}");
}

#[test]
fn without_the_compiler_the_error_says_what_is_missing() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let network = machine.network("n1", json!({ "type": "hostile", "mode": "ok" }));
    let mut command = machine.wasm_cni(&["add", &network, &netns, "--allow-host", "hostile"]);
    let command = command.env("CNI_PATH", plugins()).env("WASM_CNI_COMPILER", "/nonexistent/compiler");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("cannot run /nonexistent/compiler"), "{}", text(&output));
}
