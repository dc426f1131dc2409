//! Names the commit of the build, and links the optimised program statically: loading
//! and relocating shared libraries is a third of the time of a `VERSION` call.
//!
//! rustc's `crt-static` does not work here: without `--target` it also applies to
//! procedural macros, which cannot be static. Instead, linker scripts that name the
//! static libraries hide the system's libraries of the same names. If one is missing
//! (Fedora has them in `glibc-static`), the program is linked dynamically.

#![expect(clippy::disallowed_methods, reason = "cargo tells a build script by variables what to build")]

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// The libraries that rustc links, and their static replacements.
const LIBRARIES: &[(&str, &str)] = &[
    ("c", "libc.a"),
    // This static library contains the unwinder of the shared libgcc.
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
    // Set by `packaging/program`.
    println!("cargo::rerun-if-env-changed=WASM_CNI_LINK_ARGS");
    for argument in env::var("WASM_CNI_LINK_ARGS").unwrap_or_default().split_whitespace() {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    link_statically()
}

fn link_statically() -> io::Result<()> {
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|v| v == value);
    if is("CARGO_CFG_TARGET_ENV", "musl") {
        // musl is static by default. Packed relocations take a twentieth of the space; the
        // system's C library may be too old to read them.
        println!("cargo::rustc-link-arg=-Wl,-z,pack-relative-relocs");
        if is("CARGO_CFG_TARGET_ARCH", "x86_64") {
            // `src/start.rs`.
            println!("cargo::rustc-link-arg-bins=-Wl,-e,wasm_cni_start");
        }
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
    // Also for tests and benchmarks, which use the same search path.
    println!("cargo::rustc-link-arg=-static-pie");
    Ok(())
}

/// The commit of the build, if this is a checkout or an archive from git.
fn commit() -> Option<String> {
    let git = Path::new("../.git");
    if !git.exists() {
        return archived();
    }
    // HEAD's log gets a line whenever HEAD changes.
    for file in ["HEAD", "logs/HEAD"].map(|file| git.join(file)).into_iter().filter(|file| file.exists()) {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}

/// The commit that git substitutes in archives (`.gitattributes`), for example in the
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

/// Asks the C compiler for the path of a library.
fn find(file: &str) -> Option<PathBuf> {
    let output = Command::new("cc").arg(format!("-print-file-name={file}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    // It prints the bare name if there is none.
    (path.is_absolute() && Path::exists(&path)).then_some(path)
}
