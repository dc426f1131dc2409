//! The direction of imports: no circle of modules in any crate, crates that depend
//! only on those below them, and files and crates that stay small.
//!
//! A module imports what a `use` of it names, and what its code names by a path that
//! begins with `crate`, `super` or `self`. A re-export is not an import, and leads to the
//! module that defines the item. A parent that calls its children by their bare names
//! (`child::run()`) does not import them.

mod graph;
mod paths;
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use self::graph::Graph;

/// The crates of the host and their layers: a crate depends only on lower ones.
/// The program hands the bundled plugins to the library, so they are above it.
const LAYERS: &[(&str, u32)] = &[
    ("wasm-cni-engine", 0),
    ("wasm-cni-kernel", 1),
    ("wasm-cni-spec", 1),
    ("wasm-cni-state", 2),
    ("wasm-cni-policy", 3),
    ("wasm-cni-context", 4),
    ("wasm-cni-namespaces", 5),
    ("wasm-cni-capabilities", 6),
    ("wasm-cni-wasi", 7),
    ("wasm-cni", 8),
    ("wasm-cni-bundled", 9),
    ("wasm-cni-cli", 10),
    ("wasm-cni-fuzz-targets", 11),
];

/// The only dependency of a plugin in this workspace.
const SDK: &str = "cni-plugin";

/// The components of several plugins, which depend on these.
const COMPONENTS: [&str; 3] = ["interface-plugins", "ipam-plugins", "veth-plugins"];

const MOST_LINES: usize = 400;
const MOST_LINES_OF_MEDIAN: usize = 160;
/// The share of one crate in the lines of the workspace, in percent.
const MOST_PERCENT: usize = 25;

/// The packages of the workspace.
fn packages() -> Vec<Value> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["metadata", "--no-deps", "--offline", "--locked", "--format-version=1", "--manifest-path"])
        .arg(manifest);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

/// The root files of a package's targets, except for its tests.
fn roots(package: &Value) -> Vec<PathBuf> {
    let targets = package["targets"].as_array().unwrap();
    let built = targets.iter().filter(|target| target["kind"] != serde_json::json!(["test"]));
    built.map(|target| text(target, "src_path").into()).collect()
}

/// The lines of a file before its tests.
fn lines(path: &Path) -> usize {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let is_start = |pair: &&[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
    lines.windows(2).position(|pair| is_start(&pair)).unwrap_or(lines.len())
}

#[test]
fn no_crate_has_a_circle_of_imports() {
    let mut found = Vec::new();
    for package in packages() {
        for root in roots(&package) {
            let circles = Graph::new(&source::of_crate(&root)).circles();
            found.extend(
                circles.into_iter().map(|circle| format!("{} ({}), {circle}", text(&package, "name"), root.display())),
            );
        }
    }
    assert!(found.is_empty(), "circles of imports:\n{}", found.join("\n"));
}

#[test]
fn crates_depend_only_on_those_below_them() {
    let layer = |name: &str| LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer);
    let packages = packages();
    let ours: BTreeSet<_> = packages.iter().map(|package| text(package, "name")).collect();
    let mut wrong = Vec::new();
    for package in &packages {
        let name = text(package, "name");
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        for dependency in dependencies.filter(|dependency| dependency["kind"] != "dev") {
            let dependency = text(dependency, "name");
            let allowed = match (layer(name), layer(dependency)) {
                (Some(name), Some(dependency)) => dependency < name,
                (None, None) => {
                    let is_in_component = COMPONENTS.contains(&name) && !COMPONENTS.contains(&dependency);
                    dependency == SDK || !ours.contains(dependency) || is_in_component
                }
                // Plugins and tools do not depend on the host's crates, or the other way round.
                (None, Some(_)) => false,
                (Some(_), None) => !ours.contains(dependency),
            };
            if !allowed {
                wrong.push(format!("{name} depends on {dependency}, which LAYERS does not have below it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_and_crates_stay_small() {
    let mut crates = BTreeMap::new();
    let mut all = BTreeMap::new();
    for package in packages() {
        let modules = roots(&package).into_iter().flat_map(|root| source::of_crate(&root));
        let files: BTreeSet<_> = modules.map(|module| fs::canonicalize(module.file).unwrap()).collect();
        let files: BTreeMap<_, _> = files.into_iter().map(|file| (file.clone(), lines(&file))).collect();
        crates.insert(text(&package, "name").to_owned(), files.values().sum::<usize>());
        all.extend(files);
    }
    let total: usize = crates.values().sum();
    let mut wrong: Vec<_> = crates
        .iter()
        .filter(|(_, lines)| **lines * 100 >= total * MOST_PERCENT)
        .map(|(name, lines)| format!("{name} has {lines} of {total} lines, {} %", lines * 100 / total))
        .collect();
    let long = all.iter().filter(|(_, lines)| **lines > MOST_LINES);
    wrong.extend(long.map(|(file, lines)| format!("{} has {lines} lines", file.display())));
    let mut sorted: Vec<_> = all.values().copied().collect();
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2];
    if median > MOST_LINES_OF_MEDIAN {
        wrong.push(format!("the median file has {median} lines"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The graph of a crate with these files; the first one is its root.
fn graph(files: &[(&str, &str)]) -> Graph {
    let read = |path: &Path| Some(files.iter().find(|(name, _)| Path::new(name) == path)?.1.to_owned());
    Graph::new(&source::read(Path::new(files[0].0), &read))
}

#[test]
fn a_circle_through_super_and_through_self_is_found() {
    let circle = graph(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "use super::b::Thing;\npub struct Other;"),
        ("src/b.rs", "pub struct Thing(crate::a::Other);"),
    ]);
    assert_eq!(circle.circles(), ["2 modules: a, b\n  a -> b (`super::b::Thing`)\n  b -> a (`crate::a::Other`)"]);
    let nested = graph(&[
        ("src/lib.rs", "mod a;"),
        ("src/a/mod.rs", "mod inner; use self::inner::f; pub fn g() {}"),
        ("src/a/inner.rs", "pub fn f() { super::g(); }"),
    ]);
    assert_eq!(nested.pairs(), [("a", "a::inner"), ("a::inner", "a")]);
}

#[test]
fn a_reexport_leads_to_the_module_that_defines_the_item() {
    let circle = graph(&[
        ("src/lib.rs", "mod a; mod b; pub use a::{Thing as Renamed, inner}; pub(crate) use b::*;"),
        ("src/a.rs", "pub mod inner { pub struct Deep; } pub struct Thing; fn f() { crate::Other::new(); }"),
        ("src/b.rs", "use crate::Renamed; pub struct Other; fn f() { let _ = vec![crate::inner::Deep]; }"),
    ]);
    assert_eq!(circle.pairs(), [("a", "b"), ("b", "a")]);
    let line = graph(&[
        ("src/lib.rs", "mod a; mod b; pub use b::Other; pub const LIMIT: u8 = 1;"),
        ("src/a.rs", "use crate::{LIMIT, b};"),
        ("src/b.rs", "pub struct Other;"),
    ]);
    assert_eq!(line.pairs(), [("a", "crate"), ("a", "b")]);
    assert_eq!(line.circles(), [""; 0]);
}

#[test]
fn tests_other_crates_and_bare_names_of_children_are_not_imports() {
    let graph = graph(&[
        ("src/main.rs", "mod a; mod b; use std::fs; fn main() { a::run(); fs::exists(\"a\"); }"),
        (
            "src/a.rs",
            "pub fn run() {} #[cfg(test)] mod tests { use crate::b::Thing; } #[cfg(test)] use super::b; \
                      impl X { #[cfg(test)] fn f() { crate::b::g(); } }",
        ),
        ("src/b.rs", "use super::a::run; macro_rules! m { () => { crate::main() } }"),
    ]);
    assert_eq!(graph.pairs(), [("b", "a")]);
}
