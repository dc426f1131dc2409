//! `gc` and `status`: commands on a whole network.

use std::io::{self, IsTerminal as _};

use anyhow::Result;
use serde_json::json;
use wasm_cni::Network;

use super::find_network;
use crate::{
    args::{Format, Gc},
    env::Env,
    table::{print, print_json},
};

pub(crate) fn gc(gc: &Gc, env: &Env) -> Result<u8> {
    let network = find_network(&gc.network.network, env)?;
    let runtime = env.runtime()?;
    let mut live = gc.keep.clone();
    if gc.keep_alive {
        let attachments = runtime.cached(None).into_iter().filter(|cached| cached.network == network.name);
        // An attachment without a known namespace may be alive.
        let alive = attachments.filter(|cached| cached.is_alive() != Some(false));
        live.extend(alive.map(|cached| cached.attachment.id()));
    }
    let names_some = gc.keep_alive || !gc.keep.is_empty();
    runtime.gc(&network, names_some.then_some(&live))?;
    Ok(0)
}

/// Silent on success, as `cnitool` is, unless somebody reads it on a terminal.
pub(crate) fn status(network: &str, output: Option<Format>, env: &Env) -> Result<u8> {
    let network = find_network(network, env)?;
    // Before the process confines itself: it cannot ask afterwards.
    let is_read = io::stdout().is_terminal();
    let outcome = env.runtime()?.status(&network);
    let Network { name, plugins, .. } = &network;
    match output {
        Some(Format::Json) => {
            let error = outcome.as_ref().err();
            print_json(&json!({
                "network": name,
                "ready": outcome.is_ok(),
                "code": error.map(|error| error.code),
                "error": error.map(ToString::to_string),
            }))?;
            return Ok(u8::from(outcome.is_err()));
        }
        Some(Format::Table) if is_read && outcome.is_ok() => {
            let kinds: Vec<_> = plugins.iter().map(|plugin| plugin.kind.as_str()).collect();
            print(&format!("network {name} is ready: {}\n", kinds.join(", ")))?;
        }
        _ => {}
    }
    outcome?;
    Ok(0)
}
