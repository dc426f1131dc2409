//! `recover`: undoing what interrupted calls left behind.

use anyhow::Result;
use serde_json::{Value, json};
use wasm_cni::inspect::Recovered;

use crate::{
    args::{Format, Recover},
    env::Env,
    table::{print, print_json},
};

/// Returns 1 if something could not be undone.
pub(crate) fn recover(recover: &Recover, env: &Env) -> Result<u8> {
    let all = env.runtime()?.recover(recover.dry_run)?;
    if recover.output.output == Format::Json {
        print_json(&all.iter().map(json).collect::<Value>())?;
    } else if !all.is_empty() {
        print(&all.iter().map(|one| text(one, recover.dry_run)).collect::<String>())?;
    }
    Ok(u8::from(all.iter().any(|one| !one.failures.is_empty())))
}

fn json(one: &Recovered) -> Value {
    json!({
        "network": one.network,
        "containerId": one.container_id,
        "ifName": one.ifname,
        "effects": one.effects,
        "failures": one.failures,
    })
}

fn text(one: &Recovered, dry_run: bool) -> String {
    let Recovered { network, container_id, ifname, .. } = one;
    let verb = if dry_run { "would undo" } else { "undid" };
    let mut text = format!("network {network}, container {container_id}, interface {ifname}: {verb}\n");
    // In the order in which effects are undone.
    one.effects.iter().rev().for_each(|effect| text += &format!("  {effect}\n"));
    one.failures.iter().for_each(|failure| text += &format!("  FAILED: {failure}\n"));
    text
}
