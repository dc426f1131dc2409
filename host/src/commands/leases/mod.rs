//! `leases`: the addresses that `host-local` has given, and removing those that
//! are nobody's any more.

mod ranges;
mod state;

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use wasm_cni::{Lease, Runtime};

use self::{
    ranges::Range,
    state::{Known, State},
};
use super::show::{age, seconds};
use crate::{
    args::{Format, Leases},
    env::Env,
    progress,
    table::{Cell, GOOD, NOTICE, Table, print, print_json},
};

/// A network's leases.
struct Pool {
    network: String,
    folder: PathBuf,
    ranges: Vec<Range>,
    leases: Vec<(Lease, State)>,
}

pub(crate) fn leases(leases: &Leases, env: &Env) -> Result<u8> {
    let runtime = env.runtime()?;
    let mut folders = folders(&runtime, env);
    if let Some(network) = &leases.network {
        folders.retain(|(name, _), _| name == network);
        if folders.is_empty() {
            bail!("no network {network:?} with addresses of host-local in {}", env.configurations().display());
        }
    }
    if leases.prune {
        return prune(leases, &folders, &runtime, env);
    }
    let pools = pools(folders, &runtime, env)?;
    match leases.output.output {
        Format::Json => print_json(&pools.iter().map(Pool::json).collect::<Value>()),
        Format::Table => print(&for_people(&pools)),
    }
}

/// How many there are that are nobody's any more.
pub(super) fn stale(runtime: &Runtime, env: &Env) -> Result<usize> {
    Ok(pools(folders(runtime, env), runtime, env)?.iter().map(Pool::stale).sum())
}

fn pools(folders: Folders, runtime: &Runtime, env: &Env) -> Result<Vec<Pool>> {
    let known = Known::of(runtime, &env.cache());
    let pool = |((network, folder), ranges): ((String, PathBuf), Vec<Range>)| {
        progress::show(&format!("reading the leases of {network} ..."));
        let leases = runtime.leases(&folder)?.into_iter();
        let leases = leases.map(|lease| (known.state(&network, &lease), lease)).map(|(state, lease)| (lease, state));
        Ok(Pool { leases: leases.collect(), network, folder, ranges })
    };
    folders.into_iter().map(pool).collect()
}

/// The folders of leases, by network and path, with the ranges that they are of.
type Folders = BTreeMap<(String, PathBuf), Vec<Range>>;

/// What the configurations name, and what else lies in the default folder.
fn folders(runtime: &Runtime, env: &Env) -> Folders {
    let mut folders = Folders::new();
    let surveyed = wasm_cni::survey_networks(&env.configurations()).unwrap_or_default();
    for network in surveyed.into_iter().filter_map(|file| file.network.ok()) {
        for plugin in &network.plugins {
            let Some(ipam) = plugin.object.get("ipam").and_then(Value::as_object) else { continue };
            if ipam.get("type").and_then(Value::as_str) == Some("host-local") {
                let data_dir = ipam.get("dataDir").and_then(Value::as_str).filter(|path| !path.is_empty());
                let folder = runtime.lease_folder(&network.name, data_dir);
                folders.entry((network.name.clone(), folder)).or_insert_with(|| ranges::of(ipam));
            }
        }
    }
    for network in runtime.networks_with_leases() {
        let folder = runtime.lease_folder(&network, None);
        folders.entry((network, folder)).or_default();
    }
    folders
}

impl Pool {
    fn count(&self, of: impl Fn(&State) -> bool) -> usize {
        self.leases.iter().filter(|(_, state)| of(state)).count()
    }

    fn stale(&self) -> usize {
        self.count(|state| matches!(state, State::Stale(_)))
    }

    /// What is left of a range.
    fn free(&self, range: &Range) -> u128 {
        let inside = self.leases.iter().filter(|(lease, _)| range.contains(lease.address));
        range.size().saturating_sub(inside.count() as u128)
    }

    fn json(&self) -> Value {
        let lease = |(lease, state): &(Lease, State)| {
            let (state, why) = words(state);
            json!({
                "address": lease.address,
                "containerId": lease.container_id,
                "ifName": lease.ifname,
                "since": seconds(lease.since),
                "state": state,
                "why": why,
            })
        };
        json!({
            "network": self.network,
            "folder": self.folder,
            // More than a JSON number holds everywhere.
            "ranges": self.ranges.iter().map(|range| json!({
                "subnet": range.subnet,
                "size": range.size().to_string(),
                "free": self.free(range).to_string(),
            })).collect::<Value>(),
            "used": self.leases.len() - self.stale(),
            "stale": self.stale(),
            "leases": self.leases.iter().map(lease).collect::<Value>(),
        })
    }
}

fn words(state: &State) -> (&'static str, Option<&str>) {
    match state {
        State::Alive => ("alive", None),
        State::Stale(why) => ("stale", Some(why)),
        State::Unknown(why) => ("unknown", Some(why)),
    }
}

fn for_people(pools: &[Pool]) -> String {
    let mut networks = Table::new(&["NETWORK", "SUBNETS", "USED", "STALE", "FREE"]);
    let mut leases = Table::new(&["NETWORK", "ADDRESS", "CONTAINER", "INTERFACE", "AGE", "STATE"]);
    let mut some = false;
    for pool in pools {
        let (used, stale) = (pool.leases.len() - pool.stale(), pool.stale());
        let stale = Cell::new(stale.to_string(), if stale > 0 { NOTICE } else { Default::default() });
        // It is in one of them that an ADD finds nothing.
        let each = |text: &dyn Fn(&Range) -> String| match pool.ranges.is_empty() {
            true => "-".to_owned(),
            false => pool.ranges.iter().map(text).collect::<Vec<_>>().join(" "),
        };
        let (subnets, free) = (each(&|range| range.subnet.to_string()), each(&|range| pool.free(range).to_string()));
        networks.add([pool.network.as_str().into(), subnets.into(), used.to_string().into(), stale, free.into()]);
        for (lease, state) in &pool.leases {
            some = true;
            let state = match words(state) {
                (word, None) => Cell::new(word, GOOD),
                (word @ "stale", Some(why)) => Cell::new(format!("{word}: {why}"), NOTICE),
                (word, Some(why)) => format!("{word}: {why}").into(),
            };
            let Lease { address, container_id, ifname, since, .. } = lease;
            let names = [&pool.network, &address.to_string(), container_id, ifname, &age(*since)];
            let [network, address, id, ifname, age] = names.map(|text| text.as_str().into());
            leases.add([network, address, id, ifname, age, state]);
        }
    }
    let mut text = networks.render();
    if some {
        text += &format!("\n{}", leases.render());
    }
    text
}

fn prune(args: &Leases, folders: &Folders, runtime: &Runtime, env: &Env) -> Result<u8> {
    let mut removed = Vec::new();
    for (network, folder) in folders.keys() {
        progress::show(&format!("looking for stale leases of {network} ..."));
        // What is known is looked up with the lock held: what has been given since
        // is young.
        let known = OnceCell::new();
        let mut is_stale = |lease: &Lease| {
            let known = known.get_or_init(|| Known::of(runtime, &env.cache()));
            match known.state(network, lease) {
                State::Stale(why) => {
                    removed.push((network, lease.clone(), why));
                    true
                }
                _ => false,
            }
        };
        if args.dry_run {
            runtime.leases(folder)?.iter().for_each(|lease| {
                is_stale(lease);
            });
        } else {
            runtime.release(folder, is_stale)?;
        }
    }
    if args.output.output == Format::Json {
        let one = |(network, lease, why): &(&String, Lease, String)| json!({ "network": network, "address": lease.address, "containerId": lease.container_id, "ifName": lease.ifname, "why": why });
        print_json(&removed.iter().map(one).collect::<Value>())?;
    } else {
        let line = |(network, lease, why): &(&String, Lease, String)| {
            let Lease { address, container_id, ifname, .. } = lease;
            format!("network {network}: remove {address}, container {container_id}, interface {ifname}: {why}\n")
        };
        print(&removed.iter().map(line).collect::<String>())?;
    }
    if args.dry_run {
        writeln!(io::stderr(), "nothing has been changed: --dry-run")?;
    }
    Ok(0)
}
