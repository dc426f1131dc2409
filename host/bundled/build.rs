//! Builds the bundled plugins and compiles them to native code.
//!
//! Two cargo runs inside this one, each with a target directory of its own
//! (the outer one is locked): `wasm-cni-compile`, and the components.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

const WASM: &str = "wasm32-unknown-unknown";

/// The bundled plugins, ordered by name.
const PLUGINS: &[&str] = &["bridge", "host-device", "host-local", "loopback", "ptp", "static"];

fn main() -> Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("no OUT_DIR")?);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    for path in ["Cargo.toml", "Cargo.lock", "wit", "guest-plugins/sdk", "host/engine", "host/compile/src"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    for path in ["host/compile/Cargo.toml", "host/compile/Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    let profile = out.ancestors().nth(3).context("unexpected OUT_DIR")?;
    let target = profile.parent().context("unexpected OUT_DIR")?;

    let compiler = build_compiler(&root, &target.join("compiler"))?;
    // Beside the program that will look for it there.
    replace(&compiler, &profile.join("wasm-cni-compile"))?;

    let modules = build_guests(&root, &target.join("guests"))?;
    let mut table = String::from("&[\n");
    for name in PLUGINS {
        println!("cargo::rerun-if-changed={}", root.join("guest-plugins").join(name).display());
        let module = modules.join(format!("{}.wasm", name.replace('-', "_")));
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

fn build_guests(root: &Path, target: &Path) -> Result<PathBuf> {
    ensure_wasm_target()?;
    let mut command = cargo();
    command.args(["build", "--profile=guest", "--target", WASM]);
    command.arg("--manifest-path").arg(root.join("Cargo.toml"));
    command.arg("--target-dir").arg(target);
    for name in PLUGINS {
        command.args(["--package", name]);
    }
    // The same bytes wherever the sources and the registry lie.
    let mut flags = format!("--remap-path-prefix={}=/wasm-cni", root.display());
    if let Some(home) = env::var_os("CARGO_HOME") {
        flags += &format!("\x1f--remap-path-prefix={}=/cargo", home.display());
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", flags);
    run(&mut command)?;
    Ok(target.join(WASM).join("guest"))
}

/// `rust-toolchain.toml` names the target, so rustup has normally installed it;
/// not where automatic installation is switched off.
fn ensure_wasm_target() -> Result<()> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print=target-libdir", "--target", WASM]).output()?;
    let directory = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    if directory.is_dir() {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", WASM]);
    // A mirror's first answer may be that it has yet to fetch the file.
    let added = run(&mut rustup).or_else(|_| run(&mut rustup));
    added.with_context(|| format!("the Rust target {WASM} is missing: rustup target add {WASM}"))?;
    ensure!(directory.is_dir(), "rustup installed {WASM}, but not at {}", directory.display());
    Ok(())
}

/// The cargo that runs this script, without what the outer run set for it:
/// flags and wrappers of the host's build are not for these.
fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let keep = ["CARGO_HOME", "CARGO_MAKEFLAGS", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"].contains(&text)
            || ["CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_"].iter().any(|p| text.starts_with(p));
        let ours = ["CARGO", "RUST"].iter().any(|p| text.starts_with(p))
            || ["TARGET", "HOST", "PROFILE", "OPT_LEVEL", "DEBUG"].contains(&text);
        if ours && !keep {
            command.env_remove(name);
        }
    }
    command
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Copies by rename: the old file may be running.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let temporary = to.with_extension("tmp");
    fs::copy(from, &temporary)?;
    fs::rename(&temporary, to).with_context(|| format!("cannot write {}", to.display()))
}
