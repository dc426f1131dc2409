//! `list`, `plugins` and `which`: what there is.

use std::{
    io::{self, Write as _},
    time::SystemTime,
};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use wasm_cni::{Cached, Location};

use super::install::folder::{COMPILER, PROGRAM};
use crate::{
    args::{Format, List, Output, Which},
    env::Env,
    table::{Cell, GOOD, NOTICE, Table, print, print_json, print_table},
};

pub(crate) fn list(list: &List, env: &Env) -> Result<u8> {
    let mut all = env.runtime()?.cached(list.container_id.as_deref());
    all.retain(|cached| list.network.as_ref().is_none_or(|network| *network == cached.network));
    if list.output.output == Format::Json {
        return print_json(&all.iter().map(attachment_json).collect::<Value>());
    }
    let mut table = Table::new(&["NETWORK", "CONTAINER", "INTERFACE", "ADDRESSES", "NAMESPACE", "STATE", "AGE"]);
    for cached in &all {
        let at = &cached.attachment;
        let state = match state(cached) {
            "alive" => Cell::new("alive", GOOD),
            "stale" => Cell::new("stale", NOTICE),
            other => other.into(),
        };
        let (addresses, age) = (addresses(cached).join(" "), age(cached.since));
        let names = [&cached.network, &at.container_id, &at.ifname, &addresses, &at.netns];
        let [network, id, ifname, addresses, netns] = names.map(|text| text.as_str().into());
        table.add([network, id, ifname, addresses, netns, state, age.into()]);
    }
    print_table(&table)
}

fn attachment_json(cached: &Cached) -> Value {
    let at = &cached.attachment;
    json!({
        "network": cached.network,
        "containerId": at.container_id,
        "ifName": at.ifname,
        "addresses": addresses(cached),
        "netns": at.netns,
        "alive": cached.is_alive(),
        "state": state(cached),
        "since": seconds(cached.since),
    })
}

/// As in JSON: since 1970.
pub(super) fn seconds(since: Option<SystemTime>) -> Option<u64> {
    Some(since?.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

fn state(cached: &Cached) -> &'static str {
    match cached.is_alive() {
        Some(true) => "alive",
        Some(false) => "stale",
        None => "unknown",
    }
}

/// Of whatever version the result is.
fn addresses(cached: &Cached) -> Vec<String> {
    let Some(result) = &cached.result else { return Vec::new() };
    let ips = result.get("ips").and_then(Value::as_array).into_iter().flatten().map(|ip| &ip["address"]);
    let legacy = ["ip4", "ip6"].into_iter().filter_map(|family| result.get(family)).map(|ip| &ip["ip"]);
    ips.chain(legacy).filter_map(Value::as_str).map(str::to_owned).collect()
}

/// For people.
pub(super) fn age(since: Option<SystemTime>) -> String {
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
    let mut all = env.runtime()?.plugins();
    // The program itself, as `install` puts it beside them.
    all.retain(|(kind, _)| kind != PROGRAM && kind != COMPILER);
    if output.output == Format::Json {
        let plugin = |(kind, locations): &(String, Vec<Location>)| json!({ "type": kind, "used": text(&locations[0]), "shadowed": locations[1..].iter().map(text).collect::<Vec<_>>() });
        return print_json(&all.iter().map(plugin).collect::<Value>());
    }
    let mut table = Table::new(&["TYPE", "USED", "SHADOWED"]);
    for (kind, locations) in &all {
        let shadowed: Vec<_> = locations[1..].iter().map(text).collect();
        table.add([kind.as_str().into(), text(&locations[0]).into(), shadowed.join("\n").into()]);
    }
    print_table(&table)
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

pub(crate) fn which(which: &Which, env: &Env) -> Result<u8> {
    let network = &which.network.network;
    let folder = env.configurations();
    let files = wasm_cni::survey_networks(&folder)?;
    let mut considered = Vec::new();
    let mut chosen = None;
    for file in &files {
        let (verdict, why) = match &file.network {
            Err(error) => ("skipped", error.to_string()),
            Ok(found) if found.name != *network => continue,
            Ok(_) if chosen.is_some() => ("shadowed", "a file before it has this name".to_owned()),
            Ok(found) => {
                chosen = Some(found);
                let why = "the first with this name, .conflist before .conf and .json, in order of the names";
                ("used", why.to_owned())
            }
        };
        considered.push((&file.path, verdict, why));
    }
    let mut lines: String =
        considered.iter().map(|(path, verdict, why)| format!("{}: {verdict}: {why}\n", path.display())).collect();
    let Some(chosen) = chosen else {
        let _ = io::stderr().write_all(lines.as_bytes());
        bail!("no net configuration with name {network:?} in {}", folder.display());
    };
    let runtime = env.runtime()?;
    let locate = |kind: &str| runtime.locate(kind).map(|location| text(&location));
    if which.output.output == Format::Json {
        let file = |(path, verdict, why): &(_, _, _)| json!({ "path": path, "verdict": verdict, "why": why });
        let plugin = |kind: &str| match locate(kind) {
            Ok(source) => json!({ "type": kind, "source": source }),
            Err(error) => json!({ "type": kind, "missing": error.to_string() }),
        };
        let plugins: Value = chosen.plugins.iter().map(|config| plugin(&config.kind)).collect();
        let files: Value = considered.iter().map(file).collect();
        return print_json(&json!({ "network": network, "files": files, "plugins": plugins }));
    }
    for plugin in &chosen.plugins {
        let source = locate(&plugin.kind).unwrap_or_else(|e| format!("missing: {e}"));
        lines += &format!("  {}: {source}\n", plugin.kind);
    }
    print(&lines)
}
