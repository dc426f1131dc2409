//! A randomised adversary: somebody in the container and others on the host do what they like with links, names, aliases,
//! routes, packet filters, files and the namespace's path, between and during ADD, CHECK, DEL, GC, kills and recovery of every
//! main plugin. From outside it is looked, after each step, whether all that is not ours is as it was, and, after each round,
//! whether anything of ours is left and the device is home.
//!
//! It runs for some seconds; `WASM_CNI_ADVERSARY=3600` runs it for an hour. It prints its seed, and a failure the round:
//! `WASM_CNI_ADVERSARY_SEED` repeats a run, `WASM_CNI_ADVERSARY_ROUND` starts with this round of it. What a kill finds depends
//! on the machine's speed, unless it is one at a point that is counted.

mod acts;
mod inside;
mod random;
mod theirs;
mod world;

use std::{
    process::Stdio,
    time::{Duration, Instant, SystemTime},
};

use serde_json::json;

use self::{random::Random, world::World};
use crate::machine::{Machine, bridge, installed, script, variable};

const SECONDS: u64 = 15;

/// Networks whose device is not made for the container, and would go with its namespace.
const MOVES: &str = "moves";

/// A network for each main plugin that this kernel and these programs allow.
fn networks(machine: &Machine) -> Vec<&'static str> {
    let ipam = |net: u8| {
        let subnets = [format!("10.{net}.0.0/24"), format!("fd00:{net}::/64")];
        json!({ "type": "host-local", "ranges": subnets.map(|subnet| [json!({ "subnet": subnet })]) })
    };
    let mut on_bridge = bridge(&["10.1.0.0/24", "fd00:10::/64"]);
    let mut pair = json!({ "type": "ptp", "ipam": ipam(2) });
    if installed(&["nft"]) {
        on_bridge["ipMasq"] = json!(true);
        on_bridge["ipMasqBackend"] = json!("nftables");
        on_bridge["macspoofchk"] = json!(true);
    }
    if installed(&["iptables", "ip6tables"]) {
        pair["ipMasq"] = json!(true);
        pair["ipMasqBackend"] = json!("iptables");
    }
    machine.network("bridges", on_bridge);
    machine.network("pairs", pair);
    machine.network(MOVES, json!({ "type": "host-device", "device": "d0" }));
    let mut networks = vec!["bridges", "pairs", MOVES];
    for (kind, network, plugin) in [
        ("macvlan", "macvlans", json!({ "type": "macvlan", "master": "up0", "ipam": ipam(3) })),
        ("dummy", "dummies", json!({ "type": "dummy", "ipam": ipam(4) })),
    ] {
        let probe = ["link", "add", "link", "up0", "name", "probe0", "type", kind];
        let probe = machine.command("ip").args(probe).stderr(Stdio::null()).status().unwrap();
        if probe.success() {
            script(machine, "ip link del probe0");
            machine.network(network, plugin);
            networks.push(network);
        } else {
            eprintln!("skipped: this kernel has no links of kind {kind}");
        }
    }
    networks
}

/// One container from its beginning to its end.
fn round(world: &mut World) {
    let network = world.networks[world.random.below(world.networks.len())];
    let netns = world.begin(network);
    if world.random.happens(30) {
        world.inside("link add eth0 type bridge");
    }
    let added = match world.random.happens(40) {
        true => {
            world.call_and_kill(&["add", network, &netns]);
            false
        }
        false => world.call(&["add", network, &netns]).status.success(),
    };
    for _ in 0..world.random.below(4) {
        match world.random.below(10) {
            0..6 => acts::in_container(world),
            _ => acts::on_host(world),
        }
    }
    match world.random.below(7) {
        0 => drop(world.call(&["check", network, &netns])),
        1 => drop(world.call(&["recover"])),
        2 => world.call_and_kill(&["del", network, &netns]),
        3 => world.collect(network),
        // A device that is virtual would go with it.
        4 if network != MOVES => world.act("ip netns del c1"),
        // Of an attachment that there never was, nothing tells it from the other's.
        5 if added => {
            acts::over_its_path(world);
            match network == MOVES {
                // It says where the device is.
                true => drop(world.call(&["del", network, &netns])),
                false => world.delete(network, &netns),
            }
            world.act("umount /run/netns/c1");
        }
        _ => {}
    }
    // It may be held up by what happens meanwhile, and then not any more.
    drop(world.call(&["del", network, &netns]));
    world.alone = true;
    world.delete(network, &netns);
    world.delete(network, &netns);
    let recovered = world.call(&["recover"]);
    assert!(recovered.status.success(), "{world:?}\n{}", crate::machine::text(&recovered));
    world.end();
}

fn number(name: &str) -> Option<u64> {
    variable(name)?.to_str()?.parse().ok()
}

#[test]
fn nothing_of_others_changes_and_nothing_of_ours_is_left() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number("WASM_CNI_ADVERSARY_SEED").unwrap_or(now.as_secs() ^ u64::from(now.subsec_nanos()) << 20);
    let time = Duration::from_secs(number("WASM_CNI_ADVERSARY").unwrap_or(SECONDS));
    let first = number("WASM_CNI_ADVERSARY_ROUND").unwrap_or(0);
    eprintln!("WASM_CNI_ADVERSARY_SEED={seed}");
    let mut world = World::new(Machine::new());
    world.networks = networks(&world.machine);
    let started = Instant::now();
    let mut rounds = 0;
    // One round at least, however slow the machine is.
    while rounds == 0 || started.elapsed() < time {
        world.random = Random::of(seed, first + rounds);
        world.round = first + rounds;
        round(&mut world);
        rounds += 1;
    }
    eprintln!("{rounds} rounds");
}
