//! `gc` and `status`: commands on a whole network.

use std::io::{self, IsTerminal as _};

use anyhow::Result;
use serde_json::json;
use wasm_cni::{Network, settings::LogLine};

use super::{find_attached, find_network, is_path};
use crate::{
    args::{Format, Gc},
    env::{Env, print_log},
    table::{print, print_json},
};

/// With `strict`, a network that is not configured is an error, as `cnitool` has it.
pub(crate) fn gc(gc: &Gc, strict: bool, env: &Env) -> Result<u8> {
    let runtime = env.runtime()?;
    let name = &gc.network.network;
    let network = match find_attached(name, env, &runtime, |_| true) {
        Ok(network) => network,
        Err(error) if strict || is_path(name) => return Err(error),
        // Of a network that is not configured any more, and has no attachments, there is nothing to collect.
        Err(error) => {
            print_log(&LogLine::warning("", name, "", &format!("{}; nothing is attached to it", crate::chain(&error))));
            return Ok(0);
        }
    };
    let mut live = gc.keep.clone();
    if gc.keep_alive {
        let attachments = runtime.cached_of(&network.name)?.into_iter();
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
