//! `list` and `plugins`: attachments, and where plugins are found.

use std::time::SystemTime;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use wasm_cni::inspect::{Cached, Location};

use super::{
    install::directory::{COMPILER, PROGRAM},
    places,
};
use crate::{
    args::{Format, List, Output},
    env::Env,
    table::{Cell, GOOD, NOTICE, Table, print_json, print_table},
};

pub(crate) fn list(list: &List, env: &Env) -> Result<u8> {
    let mut all = env.runtime()?.cached(list.container_id.as_deref());
    if let Some(network) = &list.network {
        all.retain(|cached| *network == cached.network);
        if all.is_empty() && !is_configured(network, env) {
            bail!("no network {network:?} in the result cache or in {}", env.configurations().display());
        }
    }
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
        let netns = at.netns.display().to_string();
        let names = [&cached.network, &at.container_id, &at.ifname, &addresses, &netns];
        let [network, id, ifname, addresses, netns] = names.map(|text| text.as_str().into());
        table.add([network, id, ifname, addresses, netns, state, age.into()]);
    }
    print_table(&table)
}

fn is_configured(name: &str, env: &Env) -> bool {
    let files = wasm_cni::config::survey(&env.configurations()).unwrap_or_default();
    files.iter().any(|file| file.network.as_ref().is_ok_and(|network| network.name == name))
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

/// As in JSON: seconds since 1970.
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

/// The addresses of a result of any version.
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
    // `install` puts the program itself beside them.
    all.retain(|(kind, _)| kind != PROGRAM && kind != COMPILER);
    if output.output == Format::Json {
        let plugin = |(kind, locations): &(String, Vec<Location>)| json!({ "type": kind, "used": places::json(&locations[0]), "shadowed": locations[1..].iter().map(places::json).collect::<Vec<_>>() });
        return print_json(&all.iter().map(plugin).collect::<Value>());
    }
    let mut table = Table::new(&["TYPE", "USED", "SHADOWED"]);
    for (kind, locations) in &all {
        let shadowed: Vec<_> = locations[1..].iter().map(places::text).collect();
        table.add([kind.as_str().into(), places::text(&locations[0]).into(), shadowed.join("\n").into()]);
    }
    print_table(&table)
}
