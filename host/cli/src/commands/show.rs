//! `list`, `plugins` and `which`: what there is.

use std::{
    io::{self, Write as _},
    time::SystemTime,
};

use anyhow::{Result, bail};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};
use wasm_cni::{Cached, Location};

use crate::{
    args::{Format, List, Output},
    env::Env,
};

pub(crate) fn list(list: &List, env: &Env) -> Result<u8> {
    let mut all = env.runtime()?.cached(list.container_id.as_deref());
    all.retain(|cached| list.network.as_ref().is_none_or(|network| *network == cached.network));
    if list.output.output == Format::Json {
        return print_json(&all.iter().map(attachment_json).collect());
    }
    let mut table = table(&["NETWORK", "CONTAINER", "INTERFACE", "ADDRESSES", "NAMESPACE", "STATE", "AGE"]);
    for cached in &all {
        let at = &cached.attachment;
        let state = match cached.is_alive() {
            Some(true) => "alive",
            Some(false) => "stale",
            None => "unknown",
        };
        let (addresses, age) = (addresses(cached).join(" "), age(cached.since));
        table.add_row([&cached.network, &at.container_id, &at.ifname, &addresses, &at.netns, state, &age]);
    }
    print_table(table)
}

fn attachment_json(cached: &Cached) -> Value {
    let at = &cached.attachment;
    let since = cached.since.and_then(|since| since.duration_since(SystemTime::UNIX_EPOCH).ok());
    json!({
        "network": cached.network,
        "containerId": at.container_id,
        "ifName": at.ifname,
        "addresses": addresses(cached),
        "netns": at.netns,
        "alive": cached.is_alive(),
        "since": since.map(|since| since.as_secs()),
    })
}

/// Of whatever version the result is.
fn addresses(cached: &Cached) -> Vec<String> {
    let Some(result) = &cached.result else { return Vec::new() };
    let ips = result.get("ips").and_then(Value::as_array).into_iter().flatten().map(|ip| &ip["address"]);
    let legacy = ["ip4", "ip6"].into_iter().filter_map(|family| result.get(family)).map(|ip| &ip["ip"]);
    ips.chain(legacy).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn age(since: Option<SystemTime>) -> String {
    let Some(seconds) = since.and_then(|since| since.elapsed().ok()).map(|age| age.as_secs()) else {
        return "-".to_owned();
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

pub(crate) fn plugins(output: &Output, env: &Env) -> Result<u8> {
    let all = env.runtime()?.plugins();
    if output.output == Format::Json {
        let plugin = |(kind, locations): &(String, Vec<Location>)| json!({ "type": kind, "used": text(&locations[0]), "shadowed": locations[1..].iter().map(text).collect::<Vec<_>>() });
        return print_json(&all.iter().map(plugin).collect());
    }
    let mut table = table(&["TYPE", "USED", "SHADOWED"]);
    for (kind, locations) in &all {
        let shadowed: Vec<_> = locations[1..].iter().map(text).collect();
        table.add_row([kind, &text(&locations[0]), &shadowed.join("\n")]);
    }
    print_table(table)
}

pub(super) fn text(location: &Location) -> String {
    match location {
        Location::Bundled { digest, .. } => format!("bundled (sha256:{})", &digest[..12]),
        Location::Component(path) => format!("component {}", path.display()),
        Location::Compiled(path) => format!("compiled {}", path.display()),
        Location::Native(path) => format!("native {}", path.display()),
        _ => "elsewhere".to_owned(),
    }
}

pub(crate) fn which(network: &str, env: &Env) -> Result<u8> {
    let folder = env.configurations();
    let files = wasm_cni::survey_networks(&folder)?;
    let mut lines = String::new();
    let mut chosen = None;
    for file in &files {
        let why = match &file.network {
            Err(error) => format!("skipped: {error}"),
            Ok(found) if found.name != network => continue,
            Ok(_) if chosen.is_some() => "shadowed: a file before it has this name".to_owned(),
            Ok(found) => {
                chosen = Some(found);
                "used: the first with this name, .conflist before .conf and .json, in order of the names".to_owned()
            }
        };
        lines += &format!("{}: {why}\n", file.path.display());
    }
    let Some(chosen) = chosen else {
        let _ = io::stderr().write_all(lines.as_bytes());
        bail!("no net configuration with name {network:?} in {}", folder.display());
    };
    let runtime = env.runtime()?;
    for plugin in &chosen.plugins {
        let source = runtime.locate(&plugin.kind).map_or_else(|e| format!("missing: {e}"), |l| text(&l));
        lines += &format!("  {}: {source}\n", plugin.kind);
    }
    print(&lines)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    table
}

fn print_table(mut table: Table) -> Result<u8> {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    print(&table.to_string())
}

pub(super) fn print_json(list: &Vec<Value>) -> Result<u8> {
    print(&format!("{}\n", serde_json::to_string_pretty(list)?))
}

pub(super) fn print(text: &str) -> Result<u8> {
    // Trailing blanks are the table's, not what somebody wants to copy.
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    io::stdout().write_all((lines.join("\n") + "\n").as_bytes())?;
    Ok(0)
}
