//! `inspect`: what a plugin is, what it imports, and what its grants let it do.

use anyhow::Result;
use serde_json::{Value, json};
use wasm_cni::inspect::{Inspected, Interface as WitInterface, Location};

use super::places;
use crate::{
    args::{Format, Inspect},
    env::Env,
    table::{print, print_json},
};

/// Returns 1 if the plugin will not run.
pub(crate) fn inspect(inspect: &Inspect, env: &Env) -> Result<u8> {
    let inspected = env.runtime()?.inspect(&inspect.plugin)?;
    match inspect.output.output {
        Format::Json => print_json(&as_json(&inspected))?,
        Format::Table => print(&for_people(&inspected))?,
    };
    Ok(u8::from(inspected.refused.is_some()))
}

fn as_json(plugin: &Inspected) -> Value {
    let interface = |interface: &WitInterface| json!({ "name": interface.name, "functions": interface.functions, "offered": interface.offered });
    json!({
        "type": plugin.kind,
        "source": places::json(&plugin.location),
        "size": plugin.size,
        "sha256": plugin.digest,
        "sharedWith": plugin.shared_with,
        "world": plugin.world,
        "imports": plugin.imports.iter().map(interface).collect::<Vec<_>>(),
        "exports": plugin.exports.iter().map(interface).collect::<Vec<_>>(),
        "runs": plugin.refused.is_none(),
        "refused": plugin.refused,
        "can": plugin.can,
        "cannot": plugin.cannot,
    })
}

fn for_people(plugin: &Inspected) -> String {
    let source = match &plugin.location {
        Location::Bundled { .. } => "bundled".to_owned(),
        location => places::text(location),
    };
    let mut out = format!("{}: {source}\n", plugin.kind);
    out += &format!("  size    {} bytes\n  sha256  {}\n", plugin.size, plugin.digest);
    if !plugin.shared_with.is_empty() {
        out += &format!("  shared  with {}, each with its own grants\n", plugin.shared_with.join(", "));
    }
    if let Some(world) = plugin.world {
        out += &format!("  world   {world}\n");
    }
    let mut section = |title: &str, lines: &mut dyn Iterator<Item = String>| {
        let lines: Vec<_> = lines.collect();
        if !lines.is_empty() {
            out += &format!("{title}:\n");
            lines.iter().for_each(|line| out += &format!("  {line}\n"));
        }
    };
    let functions = |interface: &WitInterface| format!("{}: {}", interface.name, interface.functions.join(", "));
    section("exports", &mut plugin.exports.iter().map(functions));
    section("imports", &mut plugin.imports.iter().map(functions));
    section("will not run", &mut plugin.refused.iter().cloned());
    section("can", &mut plugin.can.iter().cloned());
    section("cannot", &mut plugin.cannot.iter().cloned());
    out
}
