//! Builds the bundled plugins and compiles them to native code.
//!
//! Runs cargo for `wasm-cni-compile` and for the components, each with its own target
//! directory, because the outer one is locked.

#![expect(clippy::disallowed_methods, reason = "cargo tells a build script by variables what to build")]

mod guests;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

use crate::guests::{COMPONENTS, cargo, run};

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
    let mut statics = String::new();
    let mut entries = BTreeMap::new();
    for (index, component) in COMPONENTS.into_iter().enumerate() {
        let (code, digest, size) = compile(&compiler, &modules, &out, component)?;
        // Once, however many plugins are in it.
        statics += &format!("static CODE_{index}: &[u8] = &Page(*include_bytes!({code:?})).0;\n");
        rerun_if_changed(&root, component);
        for name in guests::plugins(&root, component)? {
            rerun_if_changed(&root, &name);
            let source = root.join("guest-plugins").join(&name);
            let entry = format!(
                "    Bundled {{ name: {name:?}, digest: {digest:?}, size: {size}, native: CODE_{index}, grants: {}, \
                 bare_netns_errors: {} }},\n",
                grants(&source.join("policy.toml"), &name)?,
                has_bare_netns_errors(&source.join("Cargo.toml"))?,
            );
            entries.insert(name, entry);
        }
    }
    let entries = entries.into_values().collect::<String>();
    let table = format!(
        "{statics}/// Every bundled plugin, ordered by name.\npub static PLUGINS: &[Bundled] = &[\n{entries}];\n"
    );
    fs::write(out.join("plugins.rs"), table)?;
    Ok(())
}

fn rerun_if_changed(root: &Path, plugin: &str) {
    println!("cargo::rerun-if-changed={}", root.join("guest-plugins").join(plugin).display());
}

/// The file of a component's native code, and the component's digest and size.
fn compile(compiler: &Path, modules: &Path, out: &Path, name: &str) -> Result<(PathBuf, String, usize)> {
    let (component, native) = (out.join(format!("{name}.wasm")), out.join(format!("{name}.cwasm")));
    let module = modules.join(guests::module(name));
    run(Command::new(compiler).arg(module).arg(&native).arg("--component").arg(&component))?;
    let bytes = fs::read(&component)?;
    Ok((native, format!("{:x}", Sha256::digest(&bytes)), bytes.len()))
}

/// A plugin's table of its policy, as a constant. That its keys and values are right is tested where they are read.
fn grants(path: &Path, name: &str) -> Result<String> {
    let table = toml_table(path)?;
    let plugins = table.get("plugins").and_then(Value::as_table);
    let grants = plugins.and_then(|plugins| plugins.get(name)).and_then(Value::as_table);
    let mut all = String::from("&[");
    for (key, value) in grants.with_context(|| format!("{} has no [plugins.{name}]", path.display()))? {
        let value = match value {
            Value::Boolean(flag) => format!("Grant::Flag({flag})"),
            Value::Array(texts) => {
                let texts: Option<Vec<_>> = texts.iter().map(Value::as_str).collect();
                format!("Grant::Texts(&{:?})", texts.with_context(|| format!("{key}: not a list of texts"))?)
            }
            _ => bail!("{}: {key}: neither a flag nor a list", path.display()),
        };
        all += &format!("({key:?}, {value}), ");
    }
    Ok(all + "]")
}

/// `[package.metadata.wasm-cni]` of a plugin's manifest.
fn has_bare_netns_errors(manifest: &Path) -> Result<bool> {
    let table = toml_table(manifest)?;
    let mut value = table.get("package");
    for key in ["metadata", "wasm-cni", "bare-netns-errors"] {
        value = value.and_then(|value| value.get(key));
    }
    Ok(value.and_then(Value::as_bool).unwrap_or_default())
}

fn toml_table(path: &Path) -> Result<Table> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| path.display().to_string())
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
