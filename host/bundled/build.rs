//! Builds the bundled plugins and compiles them to native code.
//!
//! Runs cargo for `wasm-cni-compile` and for the components, each with its own target
//! directory, because the outer one is locked.

#![expect(clippy::disallowed_methods, reason = "cargo tells a build script by variables what to build")]

mod guests;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::guests::{PLUGINS, cargo, run};

fn main() -> Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("no OUT_DIR")?);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    for path in ["Cargo.toml", "Cargo.lock", "wit", "guest-plugins/sdk", "host/engine", "host/compile/src"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    for path in ["host/compile/Cargo.toml", "host/compile/Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    // OUT_DIR is <target>/<profile>/build/<package>/out, or with --target
    // <target>/<triple>/<profile>/build/<package>/out.
    let profile = out.ancestors().nth(3).context("unexpected OUT_DIR")?;
    let mut target = profile.parent().context("unexpected OUT_DIR")?;
    if target.file_name() == env::var_os("TARGET").as_deref() {
        // The compiler's output is the same for all targets of an architecture.
        target = target.parent().context("unexpected OUT_DIR")?;
    }

    let compiler = build_compiler(&root, &target.join("compiler"))?;
    // The program looks for it next to itself.
    replace(&compiler, &profile.join("wasm-cni-compile"))?;

    let modules = guests::build(&root, &target.join("guests"), &guests::cargo_home()?)?;
    let mut table = String::from("&[\n");
    for name in PLUGINS {
        println!("cargo::rerun-if-changed={}", root.join("guest-plugins").join(name).display());
        let module = modules.join(guests::module(name));
        let component = out.join(format!("{name}.wasm"));
        let native = out.join(format!("{name}.cwasm"));
        run(Command::new(&compiler).arg(module).arg(&native).arg("--component").arg(&component))?;
        let bytes = fs::read(&component)?;
        table += &format!(
            "    Bundled {{ name: {name:?}, digest: \"{:x}\", size: {}, \
             native: &Page(*include_bytes!({native:?})).0 }},\n",
            Sha256::digest(&bytes),
            bytes.len(),
        );
    }
    table.push(']');
    fs::write(out.join("plugins.rs"), table)?;
    Ok(())
}

fn build_compiler(root: &Path, target: &Path) -> Result<PathBuf> {
    run(cargo()
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(root.join("host/compile/Cargo.toml"))
        .arg("--target-dir")
        .arg(target))?;
    Ok(target.join("release/wasm-cni-compile"))
}

/// Copies by rename: the old file may be running.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let temporary = to.with_extension("tmp");
    fs::copy(from, &temporary)?;
    fs::rename(&temporary, to).with_context(|| format!("cannot write {}", to.display()))
}
