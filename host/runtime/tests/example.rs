//! `examples/embed`, run as its documentation says, in private namespaces.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where cargo puts the examples of this package.
fn example() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.ancestors().nth(2).unwrap().join("examples/embed")
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn embed(arguments: &str) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    let networks = folder.path().join("net.d");
    fs::create_dir(&networks).unwrap();
    let network = |name: &str, subnet: &str| {
        let text = format!(
            r#"{{"cniVersion":"1.1.0","name":"{name}","plugins":[{{"type":"bridge","bridge":"{name}","isGateway":true,
            "ipam":{{"type":"host-local","subnet":"{subnet}"}}}}]}}"#
        );
        fs::write(networks.join(format!("{name}.conflist")), text).unwrap();
    };
    network("one", "10.1.0.0/24");
    network("two", "10.2.0.0/24");
    fs::write(networks.join("broken.conflist"), "{").unwrap();
    let script = format!(
        "{} {} {arguments}; echo status $?; ip -brief link; ls \"$EMBED_ROOT\"",
        example().display(),
        networks.display()
    );
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c", &script])
        .env("EMBED_ROOT", folder.path().join("root"))
        .output()
        .unwrap();
    // The folder of a network stays with its lock and its last address if two
    // containers have used it.
    let mut left = Vec::new();
    files(&folder.path().join("root"), &mut left);
    left.retain(|path| !path.ends_with("lock") && !path.ends_with("last_reserved_ip.0"));
    assert!(left.is_empty(), "{left:?} is left");
    output
}

#[test]
fn two_containers_on_two_networks_and_nothing_left() {
    let output = embed("2 ip -brief -4 address show scope global");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.contains("status 0\n"), "{out}{err}");
    for address in ["10.1.0.2/24", "10.1.0.3/24", "10.2.0.2/24", "10.2.0.3/24"] {
        assert!(out.contains(address), "{address} is not in {out}{err}");
    }
    assert!(err.contains("skipping") && err.contains("broken.conflist"), "{err}");
    let after = out.split("status 0").nth(1).unwrap();
    assert_eq!(after.lines().filter(|line| line.contains("UP") || line.contains("DOWN")).count(), 1, "{after}");
}

/// A bridge changes its MAC with its first ports, until one of those who come at the
/// same time has given it one. No one run shows it.
#[test]
fn who_comes_too_late_for_a_new_bridge_uses_it_as_it_is() {
    for _ in 0..10 {
        let output = embed("8 true");
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(out.contains("status 0\n"), "{out}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_commands_status_is_the_runtimes() {
    let output = embed("1 false");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains("status 1\n"), "{out}{}", String::from_utf8_lossy(&output.stderr));
}
