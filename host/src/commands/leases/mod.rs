//! `leases`: the addresses that `host-local` has leased, and removal of stale leases.

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
use wasm_cni::{Runtime, inspect::Lease};

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
    directory: PathBuf,
    ranges: Vec<Range>,
    leases: Vec<(Lease, State)>,
}

pub(crate) fn leases(leases: &Leases, env: &Env) -> Result<u8> {
    let runtime = env.runtime()?;
    let mut directories = directories(&runtime, env);
    if let Some(network) = &leases.network {
        directories.retain(|(name, _), _| name == network);
        if directories.is_empty() {
            bail!("no network {network:?} with addresses of host-local in {}", env.configurations().display());
        }
    }
    if leases.prune {
        return prune(leases, &directories, &runtime, env);
    }
    let pools = pools(directories, &runtime, env)?;
    match leases.output.output {
        Format::Json => print_json(&pools.iter().map(Pool::json).collect::<Value>()),
        Format::Table => print(&for_people(&pools)),
    }
}

/// The number of stale leases.
pub(super) fn stale(runtime: &Runtime, env: &Env) -> Result<usize> {
    Ok(pools(directories(runtime, env), runtime, env)?.iter().map(Pool::stale).sum())
}

fn pools(directories: Directories, runtime: &Runtime, env: &Env) -> Result<Vec<Pool>> {
    let known = Known::of(runtime, &env.cache());
    let pool = |((network, directory), ranges): ((String, PathBuf), Vec<Range>)| {
        progress::show(&format!("reading the leases of {network} ..."));
        let leases = runtime.leases(&directory)?.into_iter();
        let leases = leases.map(|lease| (known.state(&network, &lease), lease)).map(|(state, lease)| (lease, state));
        Ok(Pool { leases: leases.collect(), network, directory, ranges })
    };
    directories.into_iter().map(pool).collect()
}

/// The directories of leases, by network and path, with the ranges of each.
type Directories = BTreeMap<(String, PathBuf), Vec<Range>>;

/// The directories that configurations name, and the other ones in the default place.
fn directories(runtime: &Runtime, env: &Env) -> Directories {
    let mut directories = Directories::new();
    let surveyed = wasm_cni::config::survey(&env.configurations()).unwrap_or_default();
    for network in surveyed.into_iter().filter_map(|file| file.network.ok()) {
        for plugin in &network.plugins {
            let Some(ipam) = plugin.object.get("ipam").and_then(Value::as_object) else { continue };
            if ipam.get("type").and_then(Value::as_str) == Some("host-local") {
                let data_dir = ipam.get("dataDir").and_then(Value::as_str).filter(|path| !path.is_empty());
                let directory = runtime.lease_folder(&network.name, data_dir);
                directories.entry((network.name.clone(), directory)).or_insert_with(|| ranges::of(ipam));
            }
        }
    }
    for network in runtime.networks_with_leases() {
        let directory = runtime.lease_folder(&network, None);
        directories.entry((network, directory)).or_default();
    }
    directories
}

impl Pool {
    fn count(&self, of: impl Fn(&State) -> bool) -> usize {
        self.leases.iter().filter(|(_, state)| of(state)).count()
    }

    fn stale(&self) -> usize {
        self.count(|state| matches!(state, State::Stale(_)))
    }

    /// The free addresses of a range.
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
            "directory": self.directory,
            "ranges": self.ranges.iter().map(|range| json!({
                "subnet": range.subnet,
                "size": number(range.size()),
                "free": number(self.free(range)),
            })).collect::<Value>(),
            "used": self.leases.len() - self.stale(),
            "stale": self.stale(),
            "leases": self.leases.iter().map(lease).collect::<Value>(),
        })
    }
}

/// For people: a lease that another program wrote may hold anything.
fn one_line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(shown).collect()
}

/// A JSON number; beyond 2^53, where many programs lose digits, a string.
fn number(count: u128) -> Value {
    match u64::try_from(count) {
        Ok(count) if count <= 1 << 53 => count.into(),
        _ => count.to_string().into(),
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
        // Each range by itself: one that is used up is enough for an ADD to fail.
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
            let [network, address, id, ifname, age] = names.map(|text| one_line(text).into());
            leases.add([network, address, id, ifname, age, state]);
        }
    }
    let mut text = networks.render();
    if some {
        text += &format!("\n{}", leases.render());
    }
    text
}

fn prune(args: &Leases, directories: &Directories, runtime: &Runtime, env: &Env) -> Result<u8> {
    let mut removed = Vec::new();
    for (network, directory) in directories.keys() {
        progress::show(&format!("looking for stale leases of {network} ..."));
        // Attachments are looked up while the lock is held, so every later lease is
        // young.
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
            runtime.leases(directory)?.iter().for_each(|lease| {
                is_stale(lease);
            });
        } else {
            runtime.release(directory, is_stale)?;
        }
    }
    if args.output.output == Format::Json {
        let one = |(network, lease, why): &(&String, Lease, String)| json!({ "network": network, "address": lease.address, "containerId": lease.container_id, "ifName": lease.ifname, "why": why });
        print_json(&removed.iter().map(one).collect::<Value>())?;
    } else {
        let line = |(network, lease, why): &(&String, Lease, String)| {
            let Lease { address, container_id, ifname, .. } = lease;
            let [container_id, ifname, why] = [container_id, ifname, why].map(|text| one_line(text));
            format!("network {network}: remove {address}, container {container_id}, interface {ifname}: {why}\n")
        };
        print(&removed.iter().map(line).collect::<String>())?;
    }
    if args.dry_run {
        writeln!(io::stderr(), "nothing has been changed: --dry-run")?;
    }
    Ok(0)
}
