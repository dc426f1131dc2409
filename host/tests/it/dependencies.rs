//! What is linked: licences that may be, from the registry, one version of the
//! engine, and no compiler in the program that runs as root.

use std::{path::Path, process::Command};

use serde_json::Value;

/// As in deny.toml.
const LICENCES: &[&str] =
    &["Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "MIT", "Unicode-3.0", "Zlib"];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The packages that a workspace of ours needs on this platform.
fn packages(manifest: &str) -> Vec<Value> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(manifest);
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--offline", "--locked", "--format-version=1", "--filter-platform", &platform]);
    let output = cargo.arg("--manifest-path").arg(manifest).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Does an SPDX expression leave a choice that may be linked?
fn is_allowed(expression: &str) -> bool {
    // Old manifests have a slash for OR.
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "_WITH_");
    let mut words = text.split_whitespace().peekable();
    any(&mut words) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>) -> bool {
    let mut allowed = all(words);
    while words.next_if_eq(&"OR").is_some() {
        allowed |= all(words);
    }
    allowed
}

fn all(words: &mut Words<'_>) -> bool {
    let mut allowed = one(words);
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(words);
    }
    allowed
}

fn one(words: &mut Words<'_>) -> bool {
    match words.next() {
        Some("(") => any(words) && words.next() == Some(")"),
        Some(licence) => LICENCES.contains(&licence.replace("_WITH_", " WITH ").as_str()),
        None => false,
    }
}

#[test]
fn expressions_of_licences() {
    for allowed in
        ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND Zlib", "LGPL-2.1-or-later OR (MIT)"]
    {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in
        ["", "GPL-3.0", "MIT AND GPL-3.0", "GPL-3.0 OR (MIT AND AGPL-3.0)", "Apache-2.0 WITH x", "MIT MIT", "(MIT"]
    {
        assert!(!is_allowed(refused), "{refused}");
    }
}

#[test]
fn licences_and_sources() {
    for manifest in ["Cargo.toml", "host/compile/Cargo.toml"] {
        for package in packages(manifest) {
            let name = &package["name"];
            let licence = package["license"].as_str().unwrap_or_default();
            assert!(is_allowed(licence), "{name} of {manifest}: {licence:?}");
            let ours = package["source"].is_null() && package["license"] == "Apache-2.0";
            assert!(ours || package["source"] == REGISTRY, "{name} of {manifest} is from {}", package["source"]);
        }
    }
}

#[test]
fn one_engine_and_no_compiler_beside_it() {
    let versions = |manifest: &str, name: &str| -> Vec<String> {
        let packages = packages(manifest);
        let named = packages.iter().filter(|package| package["name"] == name);
        named.map(|package| package["version"].as_str().unwrap().to_owned()).collect()
    };
    let engine = versions("Cargo.toml", "wasmtime");
    assert_eq!(engine.len(), 1, "{engine:?}");
    assert_eq!(engine, versions("host/compile/Cargo.toml", "wasmtime"));
    for name in
        ["cranelift-codegen", "wasmtime-internal-cranelift", "wasmtime-internal-winch", "openssl", "openssl-sys"]
    {
        assert_eq!(versions("Cargo.toml", name), [""; 0], "{name}");
    }
}
