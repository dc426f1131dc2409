//! Names the commit that is built, and links the optimised program statically:
//! loading and relocating shared libraries is a third of what a call of `VERSION`
//! costs.
//!
//! rustc's `crt-static` is not for this: without `--target` it applies to
//! procedural macros too, which cannot be static. So the libraries that rustc
//! asks for are put in front of the system's under the same names, as linker
//! scripts that name the static ones. Where one is missing (Fedora has them in
//! `glibc-static`) the program is linked as usual.

#![expect(clippy::disallowed_methods, reason = "cargo tells a build script by variables what to build")]

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// What rustc asks for, and the static library to give it.
const LIBRARIES: &[(&str, &str)] = &[
    ("c", "libc.a"),
    // The shared libgcc holds the unwinder; of the static ones it is this one.
    ("gcc_s", "libgcc_eh.a"),
    ("m", "libm.a"),
    ("dl", "libdl.a"),
    ("rt", "librt.a"),
    ("util", "libutil.a"),
    ("pthread", "libpthread.a"),
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=WASM_CNI_COMMIT={}", commit().as_deref().unwrap_or("no commit"));
    println!("cargo::rustc-env=WASM_CNI_TARGET={}", env::var("TARGET").unwrap_or_default());
    println!("cargo::rustc-env=WASM_CNI_PROFILE={}", env::var("PROFILE").unwrap_or_default());
    println!("cargo::rustc-env=WASM_CNI_RUSTC={}", rustc().as_deref().unwrap_or("unknown"));
    // As `packaging/program` wants it linked.
    println!("cargo::rerun-if-env-changed=WASM_CNI_LINK_ARGS");
    for argument in env::var("WASM_CNI_LINK_ARGS").unwrap_or_default().split_whitespace() {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    link_statically()
}

fn link_statically() -> io::Result<()> {
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|v| v == value);
    if is("CARGO_CFG_TARGET_ENV", "musl") {
        // It is static as it is. The addresses that its start has to adjust fit in a
        // twentieth of the room; of a C library from the system that may be too old to
        // read.
        println!("cargo::rustc-link-arg=-Wl,-z,pack-relative-relocs");
        return Ok(());
    }
    let here = env::var_os("HOST") == env::var_os("TARGET");
    if !here || !is("CARGO_CFG_TARGET_ENV", "gnu") || !is("PROFILE", "release") {
        return Ok(());
    }
    let Some(libraries) = LIBRARIES.iter().map(|(_, file)| find(file)).collect::<Option<Vec<_>>>() else {
        return Ok(());
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    for ((name, _), path) in LIBRARIES.iter().zip(libraries) {
        fs::write(out.join(format!("lib{name}.a")), format!("INPUT({})\n", path.display()))?;
    }
    println!("cargo::rustc-link-search=native={}", out.display());
    // For tests and benchmarks too: the directory is in front for all of them.
    println!("cargo::rustc-link-arg=-static-pie");
    Ok(())
}

/// The commit that is built, if this is a checkout, or an archive that git made.
fn commit() -> Option<String> {
    let git = Path::new("../.git");
    if !git.exists() {
        return archived();
    }
    // HEAD's log grows by a line whenever HEAD comes to stand for another commit.
    for file in ["HEAD", "logs/HEAD"].map(|file| git.join(file)).into_iter().filter(|file| file.exists()) {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}

/// What git has put in place of a word of its own (`.gitattributes`), as in the
/// tarball of a release.
fn archived() -> Option<String> {
    const FILE: &str = "commit.txt";
    println!("cargo::rerun-if-changed={FILE}");
    let commit = fs::read_to_string(FILE).ok()?;
    let commit = commit.trim();
    commit.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| commit.get(..12).map(str::to_owned))?
}

/// `1.95.0 (59807616e 2026-04-14)`.
fn rustc() -> Option<String> {
    let output = Command::new(env::var_os("RUSTC")?).arg("--version").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    Some(version.trim().strip_prefix("rustc ")?.to_owned())
}

/// Where the C compiler has a library.
fn find(file: &str) -> Option<PathBuf> {
    let output = Command::new("cc").arg(format!("-print-file-name={file}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    // It answers with the bare name if there is none.
    (path.is_absolute() && Path::exists(&path)).then_some(path)
}
