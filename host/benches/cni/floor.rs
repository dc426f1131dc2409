//! Compiles the floor's program for this run: without dependencies, static and optimised
//! independent of the benchmark's profile. Must not know: what it does.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::namespaces::DIRECTORY;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/floor.rs");

/// With the same C library as the program, according to its `--version`.
pub(crate) fn build(version: &str) -> Result<PathBuf> {
    if let Some(target) = version.split(", ").find(|part| part.ends_with("-musl")) {
        return compile(&["--target", target]);
    }
    // Falls back to a dynamic C library.
    compile(&["-C", "target-feature=+crt-static"]).or_else(|_| compile(&[]))
}

fn compile(flags: &[&str]) -> Result<PathBuf> {
    let program = Path::new(DIRECTORY).join("floor-program");
    let output = Command::new(rustc())
        .args(["--edition", "2024", "--crate-name", "floor", "-C", "opt-level=3", "-C", "panic=abort"])
        .args(["-C", "strip=symbols"])
        .env("TMPDIR", DIRECTORY)
        .args(flags)
        .arg("-o")
        .args([&program, Path::new(SOURCE)])
        .output()
        .context("this needs rustc")?;
    ensure!(output.status.success(), "rustc: {}", String::from_utf8_lossy(&output.stderr));
    Ok(program)
}

#[expect(clippy::disallowed_methods, reason = "cargo says by a variable which compiler it uses")]
pub(crate) fn rustc() -> std::ffi::OsString {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}
