//! Builds the bundled plugins: the same bytes in whichever directories the sources, the
//! registry, the toolchain and the build are. A test uses this file to build them a
//! second time (`host/tests/it/reproducible.rs`).

#![expect(clippy::disallowed_methods, reason = "cargo tells a build script by variables what to build")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

const WASM: &str = "wasm32-unknown-unknown";

/// The components. One holds several plugins of a world, or is a plugin. In one, the plugins have the same code for the most
/// part once; but a call of any of them loads and links what all of them import.
pub(crate) const COMPONENTS: [&str; 4] = ["interface-plugins", "ipam-plugins", "loopback", "veth-plugins"];

/// The plugins in a component: the table in its source, or itself.
pub(crate) fn plugins(root: &Path, component: &str) -> Result<Vec<String>> {
    let path = root.join("guest-plugins").join(component).join("src/lib.rs");
    let source = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let names = source.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" =>"));
    let names: Vec<_> = names.map(|(name, _)| name.to_owned()).collect();
    Ok(if names.is_empty() { vec![component.to_owned()] } else { names })
}

/// The name of a component's file in the directory that [`build`] returns.
pub(crate) fn module(component: &str) -> String {
    format!("{}.wasm", component.replace('-', "_"))
}

/// Builds them from the sources at `root`, in the directory `target`; `home` is cargo's.
pub(crate) fn build(root: &Path, target: &Path, home: &Path) -> Result<PathBuf> {
    ensure_wasm_target()?;
    let mut command = cargo();
    command.args(["build", "--locked", "--profile=guest", "--target", WASM]);
    command.arg("--manifest-path").arg(root.join("Cargo.toml"));
    command.arg("--target-dir").arg(target);
    for component in COMPONENTS {
        command.args(["--package", component]);
    }
    command.env("CARGO_HOME", home);
    command.env("CARGO_ENCODED_RUSTFLAGS", flags(root, target, home)?);
    run(&mut command)?;
    Ok(target.join(WASM).join("guest"))
}

/// The directory of cargo's registry. cargo does not tell a build script, but rustup
/// does, if it is installed.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    home.or_else(|| Some(env::home_dir()?.join(".cargo"))).context("neither CARGO_HOME nor a home directory")
}

/// Replaces the paths of files, which panics and `file!` put into the bytes.
fn flags(root: &Path, target: &Path, home: &Path) -> Result<String> {
    let mut names = vec![
        (root.to_owned(), "/wasm-cni".to_owned()),
        (target.to_owned(), "/target".to_owned()),
        (home.to_owned(), "/cargo".to_owned()),
        // With the component rust-src, the standard library's files have these paths.
        (PathBuf::from(rustc(&["--print=sysroot"])?).join("lib/rustlib/src/rust"), format!("/rustc/{}", commit()?)),
    ];
    // A directory for each index or mirror of the registry.
    for index in fs::read_dir(home.join("registry/src")).into_iter().flatten() {
        names.push((index?.path(), "/registry".to_owned()));
    }
    // The last match counts, and one path may contain the other.
    names.sort();
    let flags: Vec<_> =
        names.iter().map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())).collect();
    Ok(flags.join("\x1f"))
}

/// The compiler's.
fn commit() -> Result<String> {
    let version = rustc(&["-vV"])?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
    Ok(commit.context("rustc has no commit")?.to_owned())
}

fn rustc(arguments: &[&str]) -> Result<String> {
    let program = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(program).args(arguments).output().context("cannot run rustc")?;
    ensure!(output.status.success(), "rustc {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Installs the target. `rust-toolchain.toml` names it, so rustup has normally done
/// this, unless automatic installation is disabled.
fn ensure_wasm_target() -> Result<()> {
    let directory = PathBuf::from(rustc(&["--print=target-libdir", "--target", WASM])?);
    if directory.is_dir() {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", WASM]);
    // A mirror may have to fetch the file first, and fail once.
    let added = run(&mut rustup).or_else(|_| run(&mut rustup));
    added.with_context(|| format!("the Rust target {WASM} is missing: rustup target add {WASM}"))?;
    ensure!(directory.is_dir(), "rustup installed {WASM}, but not at {}", directory.display());
    Ok(())
}

/// The cargo that runs this script, without the variables of the outer run: flags and
/// wrappers of the host's build must not apply.
pub(crate) fn cargo() -> Command {
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

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
