//! A randomised adversary: a process in the container and one on the host do what they like with links, names and aliases
//! during ADD, CHECK, DEL, GC, kills and recovery. After each round it is looked at from outside: nothing of the host that we
//! did not make has changed, nothing that we made is left, and the device is home.
//!
//! It runs for some seconds; `WASM_CNI_ADVERSARY=3600` runs it for an hour. It prints its seed, which
//! `WASM_CNI_ADVERSARY_SEED` repeats as far as the times of kills allow.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Output, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde_json::{Value, json};

use crate::machine::{Machine, bridge, text, variable};

const SECONDS: u64 = 15;

/// Longest that the kernel takes to remove what goes with a namespace.
const PATIENCE: Duration = Duration::from_secs(20);

/// A device of the host, with its other end there, and another link that is the administrator's.
const HOST: &str = "ip link add d0 address 02:00:00:00:aa:00 type veth peer name wire0; ip link set wire0 up; \
     ip link add admin0 type bridge; ip addr add 192.0.2.1/24 dev admin0";

/// xorshift64*, so that a seed repeats a run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % bound
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn happens(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// A machine with networks, and what is on it that is not ours.
struct World {
    machine: Machine,
    random: Random,
    /// Links of the host that the adversary has made: index and kind by name.
    others: BTreeMap<String, (Value, Value)>,
    /// What has been done in this round, for the report.
    done: Vec<String>,
}

/// What a container does in its own namespace.
const INSIDE: &[&str] = &[
    "link set eth0 down; ip -n c1 link set eth0 name kept",
    "link set eth0 alias d0",
    "link set eth0 alias admin0",
    "link property add dev eth0 altname wire0",
    "link set eth0 address 02:00:00:00:bb:01",
    "link set eth0 down; ip -n c1 link set eth0 name kept; ip -n c1 link add eth0 type bridge",
    "link set eth0 down; ip -n c1 link set eth0 name kept; ip -n c1 link add eth0 type veth peer name evil1; \
     ip -n c1 link set eth0 alias eno2",
    "link set eth0 mtu 1300",
    "addr flush dev eth0",
    "route flush table main",
    "link add own0 type veth peer name own1",
];

impl World {
    fn new(seed: u64) -> Self {
        let machine = Machine::new();
        machine.network("net0", bridge(&["10.1.0.0/24", "fd00:10::/64"]));
        let ipam = json!({ "type": "host-local", "ranges": [[{ "subnet": "10.2.0.0/24" }]] });
        machine.network("net1", json!({ "type": "ptp", "ipam": ipam }));
        machine.network("net2", json!({ "type": "host-device", "device": "d0" }));
        let world = Self { machine, random: Random(seed | 1), others: BTreeMap::new(), done: Vec::new() };
        let output = world.sh(HOST);
        assert!(output.status.success(), "{}", text(&output));
        world
    }

    fn sh(&self, script: &str) -> Output {
        self.machine.command("sh").args(["-c", script]).output().unwrap()
    }

    /// What somebody else does, which may fail.
    fn act(&mut self, script: &str) {
        self.done.push(script.to_owned());
        let _ = self.sh(script);
    }

    fn call(&mut self, arguments: &[&str]) -> Output {
        self.done.push(format!("wasm-cni {}", arguments.join(" ")));
        self.machine.wasm_cni(arguments).output().unwrap()
    }

    /// The same, killed at some moment or other.
    fn call_and_kill(&mut self, arguments: &[&str]) {
        let time = Duration::from_micros(self.random.below(60_000) as u64);
        self.done.push(format!("wasm-cni {} killed after {time:?}", arguments.join(" ")));
        // The program itself, and not whatever brings it into the namespaces.
        let mut command = self.machine.command("sh");
        command.args(["-c", "\"$@\" & sleep $0; kill -KILL $!; wait", &time.as_secs_f32().to_string()]);
        command.arg(crate::machine::PROGRAM).args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    }

    /// The links of the host: index and kind by name.
    fn links(&self) -> BTreeMap<String, (Value, Value)> {
        let links = self.machine.ip("link show");
        let link = |link: &Value| {
            let name = link["ifname"].as_str().unwrap().to_owned();
            (name, (link["ifindex"].clone(), link["linkinfo"]["info_kind"].clone()))
        };
        links.as_array().unwrap().iter().map(link).collect()
    }

    /// An administrator, or another tool, on the host.
    fn act_on_host(&mut self) {
        let pair = self.links().into_keys().find(|name| name.starts_with("veth") && !self.others.contains_key(name));
        let name = match (pair, self.random.below(3)) {
            (Some(pair), 0) => {
                self.act(&format!("ip link set {pair} down; ip link set {pair} name renamed0"));
                return;
            }
            // The name of one that was ours, for one that is not.
            (Some(pair), 1) => {
                self.act(&format!("ip link del {pair}"));
                pair
            }
            _ => format!("other{}", self.others.len()),
        };
        let kind = self.random.one(&["bridge", "veth peer name x$$"]);
        self.act(&format!("ip link add {name} type {kind}"));
        if let Some(made) = self.links().get(&name) {
            self.others.insert(name, made.clone());
        }
    }

    fn act_in_container(&mut self) {
        let what = self.random.one(INSIDE);
        self.act(&format!("ip -n c1 {what}"));
    }

    fn round(&mut self) {
        self.done.clear();
        let network = self.random.one(&["net0", "net1", "net2"]);
        let netns = self.machine.netns("c1");
        let target = [network, &netns];
        if self.random.happens(30) {
            self.act("ip -n c1 link add eth0 type bridge");
        }
        match self.random.happens(40) {
            true => self.call_and_kill(&["add", target[0], target[1]]),
            false => drop(self.call(&["add", target[0], target[1]])),
        }
        for _ in 0..self.random.below(4) {
            match self.random.happens(70) {
                true => self.act_in_container(),
                false => self.act_on_host(),
            }
        }
        match self.random.below(6) {
            0 => drop(self.call(&["check", target[0], target[1]])),
            1 => drop(self.call(&["recover"])),
            2 => self.call_and_kill(&["del", target[0], target[1]]),
            3 => drop(self.call(&["gc", target[0]])),
            4 if network != "net2" => self.act("ip netns del c1"),
            _ => {}
        }
        for _ in 0..2 {
            let output = self.call(&["del", target[0], target[1]]);
            assert!(output.status.success(), "{self:?}\n{}", text(&output));
        }
        let output = self.call(&["recover"]);
        assert!(output.status.success(), "{self:?}\n{}", text(&output));
        self.act("ip netns del c1");
        self.look();
    }

    /// From outside.
    fn look(&mut self) {
        let ours = |name: &str| name.starts_with("veth") || name == "renamed0";
        let deadline = Instant::now() + PATIENCE;
        let links = loop {
            let links = self.links();
            let is_left = |(name, link): (&String, &_)| ours(name) && self.others.get(name) != Some(link);
            if !links.iter().any(is_left) || Instant::now() > deadline {
                break links;
            }
            thread::sleep(Duration::from_millis(20));
        };
        for (name, link) in &self.others {
            assert_eq!(links.get(name), Some(link), "{name} is another's\n{self:?}");
        }
        for (name, link) in links.iter().filter(|(name, _)| ours(name)) {
            assert_eq!(self.others.get(name), Some(link), "{name} is left\n{self:?}");
        }
        assert!(links.contains_key("admin0") && links.contains_key("wire0"), "{links:?}\n{self:?}");
        let d0 = links.contains_key("d0").then(|| self.machine.ip("link show d0"));
        assert!(d0.is_some_and(|d0| d0[0]["address"] == "02:00:00:00:aa:00"), "the device is not home\n{self:?}");
        let address = self.machine.ip("addr show admin0")[0]["addr_info"].to_string();
        assert!(address.contains("192.0.2.1"), "{address}\n{self:?}");
        for network in ["net0", "net1"] {
            assert_eq!(self.machine.leases(network), [""; 0], "{network}\n{self:?}");
        }
        for state in ["run/wasm-cni/journal", "var/lib/cni/results"] {
            assert_eq!(files(self.machine.root().join(state)), [""; 0], "{state}\n{self:?}");
        }
        if self.others.len() > 40 {
            for (name, _) in std::mem::take(&mut self.others) {
                let _ = self.sh(&format!("ip link del {name}"));
            }
        }
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "after:\n  {}", self.done.join("\n  "))
    }
}

/// The names of the files in a directory, but for its lock.
fn files(directory: PathBuf) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.contains("lock")).collect()
}

fn number(name: &str) -> Option<u64> {
    variable(name)?.to_str()?.parse().ok()
}

#[test]
fn nothing_of_others_changes_and_nothing_of_ours_is_left() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number("WASM_CNI_ADVERSARY_SEED").unwrap_or(now.as_secs() ^ u64::from(now.subsec_nanos()) << 20);
    let time = Duration::from_secs(number("WASM_CNI_ADVERSARY").unwrap_or(SECONDS));
    eprintln!("WASM_CNI_ADVERSARY_SEED={seed}");
    let mut world = World::new(seed);
    let started = Instant::now();
    let mut rounds = 0;
    // One round at least, however slow the machine is.
    while rounds == 0 || started.elapsed() < time {
        world.round();
        rounds += 1;
    }
    eprintln!("{rounds} rounds");
}
