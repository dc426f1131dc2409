//! What the others do between calls.

use std::{fs, path::Path};

use super::world::World;

/// Rules of other tools, and their own chains in tables that are ours; `{n}` is a number.
const RULES: &[(&str, &str)] = &[
    (
        "nft",
        "nft add table inet other; nft add chain inet other c '{ type filter hook forward priority 0; }'; \
         nft add rule inet other c ip saddr 198.51.100.{n} accept comment x",
    ),
    (
        "nft",
        "nft add table inet cni_plugins_masquerade; nft add chain inet cni_plugins_masquerade theirs; \
         nft add rule inet cni_plugins_masquerade theirs ip saddr 198.51.100.{n} accept",
    ),
    (
        "nft",
        "nft add table bridge nat; nft add chain bridge nat theirs; nft add rule bridge nat theirs ether type ip accept",
    ),
    (
        "iptables",
        "iptables -w -t nat -N THEIRS{n}; iptables -w -t nat -A POSTROUTING -s 198.51.100.{n} -j THEIRS{n}; \
         iptables -w -t nat -A POSTROUTING -s 10.2.0.{n} -m comment --comment theirs -j RETURN",
    ),
    ("ip6tables", "ip6tables -w -t nat -A POSTROUTING -s 2001:db8::{n} -m comment --comment theirs -j RETURN"),
];

/// Files below the root that are others'. Leases of a network go with its GC: see [`World::collect`].
const FILES: &[&str] = &[
    "run/wasm-cni/theirs",
    "run/wasm-cni/journal/theirs",
    "run/wasm-cni/attachments/theirs",
    "run/cni/theirs",
    "var/lib/cni/theirs",
    "var/lib/cni/results/theirs",
    "var/lib/cni/results/elsewhere-c9-eth0",
    "var/lib/cni/networks/elsewhere/10.9.0.2",
    "var/lib/cni/networks/bridges/10.1.0.77",
    "var/lib/cni/networks/pairs/10.2.0.77",
    "var/lib/cni/networks/macvlans/10.3.0.77",
];

/// Somebody in the container.
pub(super) fn in_container(world: &mut World) {
    let what = world.of_container();
    world.inside(what);
}

/// Something else where the container's namespace is.
pub(super) fn over_its_path(world: &mut World) {
    let over = ["/run/netns/c2", "/run/plain"];
    let over = world.random.one(&over);
    world.act(&format!("mount --bind {over} /run/netns/c1"));
}

/// An administrator, or another tool, on the host.
pub(super) fn on_host(world: &mut World) {
    let what = world.random.below(8);
    let number = world.random.below(200) + 1;
    match what {
        0 => {
            let rules: Vec<_> = RULES.iter().filter(|(tool, _)| world.tools.contains(tool)).collect();
            if let Some((_, rule)) = rules.get(number % rules.len().max(1)) {
                world.act_of_theirs(&rule.replace("{n}", &number.to_string()));
            }
        }
        1 => {
            let file = FILES[number % FILES.len()];
            let path = world.machine.root().join(file);
            write(world, &path);
            world.done.push(format!("echo > {file}"));
            world.learn_file(file);
        }
        2 => {
            let route = format!(
                "ip route add 198.18.{number}.0/24 via 192.0.2.9 dev admin0; \
                 ip rule add from 198.18.{number}.0/24 table 100"
            );
            world.act_of_theirs(&route);
        }
        3 => match world.pair_of_ours() {
            Some(pair) => world.act(&format!("ip link set {pair} down; ip link set {pair} name renamed0")),
            None => link(world, None),
        },
        // The name of one that was ours, for one that is not.
        4 => {
            let pair = world.pair_of_ours();
            if let Some(pair) = &pair {
                world.act(&format!("ip link del {pair}"));
            }
            link(world, pair);
        }
        // A port of theirs at the bridge that containers share.
        5 => {
            link(world, None);
            let port = format!("other{}", world.made);
            world.act_of_theirs(&format!("ip link set {port} master br0; ip link set {port} up"));
        }
        _ => link(world, None),
    }
}

fn link(world: &mut World, name: Option<String>) {
    world.made += 1;
    let number = world.made;
    let name = name.unwrap_or_else(|| format!("other{number}"));
    let kind = match world.random.happens(50) {
        true => "bridge".to_owned(),
        false => format!("veth peer name rehto{number}"),
    };
    world.act_of_theirs(&format!("ip link add {name} type {kind}"));
}

fn write(world: &World, path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let text = match path.to_string_lossy() {
        name if name.contains("/networks/") => "c9\r\neth0".to_owned(),
        name if name.contains("elsewhere") => {
            serde_json::json!({ "kind": "cniCacheV1", "containerId": "c9", "config": "e30=", "ifName": "eth0",
                "networkName": "elsewhere", "netns": "/run/netns/c9", "result": {} })
            .to_string()
        }
        _ => format!("theirs, of round {}\n", world.round),
    };
    fs::write(path, text).unwrap();
}
