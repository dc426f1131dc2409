//! `examples/hello-plugin` as somebody new would try it: by its README, step by
//! step, in a copy of this repository.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    console::{follow, printed},
    hostile::wasi::installed,
    machine::installed as programs,
};

pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A copy in which the example can be written to. It is always the same, so that
/// what was built of it once need not be built again.
fn checkout() -> PathBuf {
    let checkout = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("checkout");
    let target = checkout.join("../hello-plugin-target");
    fs::create_dir_all(&target).unwrap();
    let _ = fs::remove_dir_all(&checkout);
    fs::create_dir_all(checkout.join("examples")).unwrap();
    for entry in ["Cargo.toml", "Cargo.lock", "guest-plugins", "host", "wit"] {
        symlink(repository().join(entry), checkout.join(entry)).unwrap();
    }
    let example = checkout.join("examples/hello-plugin");
    copy(&repository().join("examples/hello-plugin"), &example);
    symlink(target.canonicalize().unwrap(), example.join("target")).unwrap();
    for left in ["plugins", "root"] {
        let _ = fs::remove_dir_all(target.join(left));
    }
    checkout
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            _ if entry.file_name() == "target" => {}
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn its_readme_is_followed_to_the_letter() {
    if !installed() || !programs(&["ip"]) {
        return;
    }
    let mut shell = Command::new("sh");
    shell.current_dir(checkout());
    #[expect(clippy::disallowed_methods, reason = "to keep the test's own variables from the commands")]
    let all = std::env::vars_os();
    let ours = |name: &str| name.starts_with("CARGO") || name.starts_with("CNI_") || name.starts_with("WASM_CNI");
    for (name, _) in all.filter(|(name, _)| name.to_str().is_some_and(ours)) {
        let kept = ["CARGO_HOME", "CARGO_NET_OFFLINE"].contains(&name.to_str().unwrap_or_default());
        if !kept {
            shell.env_remove(name);
        }
    }
    let document = fs::read_to_string(repository().join("examples/hello-plugin/README.md")).unwrap();
    let ran = follow("README.md of hello-plugin", &document, shell);
    let refused = printed(&ran, "-- true");
    assert!(refused.contains("it needs the container's namespace and has no grant for it"), "{refused}");
    let link = printed(&ran, "ip link show eth0");
    assert!(link.contains("mtu 1400") && link.contains("alias says hello"), "{link}");
    assert!(link.contains("plugin=hello-plugin: hello, eth0"), "what it prints is on its log: {link}");
    assert!(printed(&ran, "wasm-cni plugins").contains("hello-plugin.cwasm"), "{}", printed(&ran, "wasm-cni plugins"));
}

#[test]
fn its_dependencies_are_those_of_the_bundled_plugins() {
    let packages = |path: &str| -> BTreeSet<(String, String)> {
        let lock = fs::read_to_string(repository().join(path)).unwrap();
        let line =
            |package: &str, key: &str| package.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
        let packages = lock.split("[[package]]").filter(|package| package.contains("\nsource = "));
        packages.map(|package| (line(package, "name = ").unwrap(), line(package, "version = ").unwrap())).collect()
    };
    let (ours, its) = (packages("Cargo.lock"), packages("examples/hello-plugin/Cargo.lock"));
    let others: Vec<_> = its.difference(&ours).collect();
    assert!(others.is_empty(), "{others:?} are not in Cargo.lock");
}
