//! The machine, what happens on it, and the look from outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    process::{Child, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    MOVES, inside,
    random::Random,
    theirs::{Links, files_of_ours, filters_of_ours, links, name, shown},
};
use crate::machine::{Machine, PROGRAM, installed, script, text};

/// Longest that the kernel takes to remove what goes with a namespace.
const PATIENCE: Duration = Duration::from_secs(20);

/// More links of others than this are swept away.
const MOST_OTHERS: usize = 60;

/// More points than an ADD or DEL has to be killed at.
const POINTS: usize = 40;

/// A device of the host, with its other end there, a parent for macvlans, a link that is the administrator's, and a container
/// of somebody else. Forwarding is on: an ADD switches it on, and nothing switches it off again.
const HOST: &str = "\
    sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0
    ip link add d0 address 02:00:00:00:aa:00 type veth peer name wire0; ip link set wire0 up
    ip link add up0 type veth peer name upwire0; ip link set up0 up; ip link set upwire0 up
    ip link add admin0 type bridge; ip addr add 192.0.2.1/24 dev admin0; ip link set admin0 up
    ip netns add c2; ip link add c2wire type veth peer name eth0 netns c2; ip -n c2 addr add 10.1.0.9/24 dev eth0
    ip -n c2 link set eth0 up; ip link set c2wire up; touch /run/plain";

/// The MAC of the device.
const DEVICE: &str = "02:00:00:00:aa:00";

pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) networks: Vec<&'static str>,
    pub(super) random: Random,
    pub(super) round: u64,
    /// Tools for packet filters that are there.
    pub(super) tools: Vec<&'static str>,
    /// The container's.
    pub(super) network: &'static str,
    /// Nobody does anything during calls any more.
    pub(super) alone: bool,
    /// How many links others have made.
    pub(super) made: usize,
    /// What has been done in this round, for the report.
    pub(super) done: Vec<String>,
    others: Links,
    shown: String,
    files: BTreeMap<String, Vec<u8>>,
    /// Indices of links of the machine that stay.
    furniture: BTreeSet<u64>,
}

impl World {
    pub(super) fn new(machine: Machine) -> Self {
        script(&machine, HOST);
        let tools = ["nft", "iptables", "ip6tables"].into_iter().filter(|tool| installed(&[tool])).collect();
        let mut others = links(&machine);
        others.retain(|_, link| name(link) != "d0");
        Self {
            furniture: others.keys().copied().collect(),
            shown: shown(&machine),
            machine,
            networks: Vec::new(),
            random: Random::of(0, 0),
            round: 0,
            tools,
            network: "",
            alone: false,
            made: 0,
            done: Vec::new(),
            others,
            files: BTreeMap::new(),
        }
    }

    /// A container, to be attached to this network: the path of its namespace.
    pub(super) fn begin(&mut self, network: &'static str) -> String {
        self.done.clear();
        self.network = network;
        self.alone = false;
        self.machine.netns("c1")
    }

    fn sh(&self, script: &str) -> Output {
        self.machine.command("sh").args(["-c", script]).output().unwrap()
    }

    /// What somebody does that changes nothing of others, and may fail.
    pub(super) fn act(&mut self, script: &str) {
        self.done.push(script.to_owned());
        let _ = self.sh(script);
        self.look();
    }

    /// `ip` in the container; `$ip` is the same.
    pub(super) fn inside(&mut self, what: &str) {
        self.act(&in_container(what));
    }

    /// What others do to what is theirs, which they know from then on.
    pub(super) fn act_of_theirs(&mut self, script: &str) {
        self.done.push(script.to_owned());
        let before: BTreeSet<u64> = links(&self.machine).into_keys().collect();
        let _ = self.sh(script);
        for (index, link) in links(&self.machine) {
            if !before.contains(&index) || self.others.contains_key(&index) {
                self.others.insert(index, link);
            }
        }
        self.shown = shown(&self.machine);
    }

    pub(super) fn learn_file(&mut self, file: &str) {
        let content = fs::read(self.machine.root().join(file)).unwrap();
        self.files.insert(file.to_owned(), content);
    }

    /// The host's end of a pair that is ours.
    pub(super) fn pair_of_ours(&self) -> Option<String> {
        let links = links(&self.machine);
        let mut ours = links.into_iter().filter(|(index, _)| !self.others.contains_key(index));
        ours.find_map(|(_, link)| Some(name(&link).to_owned()).filter(|name| name.starts_with("veth")))
    }

    pub(super) fn call(&mut self, arguments: &[&str]) -> Output {
        let meanwhile = self.meanwhile();
        self.done.push(format!("wasm-cni {}", arguments.join(" ")));
        let output = self.machine.wasm_cni(arguments).output().unwrap();
        assert!(output.status.code().is_some(), "{self:?}\n{}", text(&output));
        end(meanwhile);
        self.look();
        output
    }

    pub(super) fn delete(&mut self, network: &str, netns: &str) {
        let alone = std::mem::replace(&mut self.alone, true);
        let output = self.call(&["del", network, netns]);
        assert!(output.status.success(), "{self:?}\n{}", text(&output));
        self.alone = alone;
    }

    /// GC, which may or may not keep the leases of a network that nobody has.
    pub(super) fn collect(&mut self, network: &str) {
        let is_lease = |file: &str| file.contains(&format!("networks/{network}/"));
        let (leases, files): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.files).into_iter().partition(|(file, _)| is_lease(file));
        self.files = files;
        drop(self.call(&["gc", network]));
        for lease in leases.into_keys() {
            let _ = fs::remove_file(self.machine.root().join(lease));
        }
    }

    /// A call that is killed, at some moment or at a point that is counted.
    pub(super) fn call_and_kill(&mut self, arguments: &[&str]) {
        let mut command = self.machine.command("sh");
        let all = arguments.join(" ");
        if self.random.happens(50) {
            let fault = format!("kill:{}", self.random.below(POINTS) + 1);
            self.done.push(format!("WASM_CNI_FAULT={fault} wasm-cni {all}"));
            command.args(["-c", "exec \"$@\"", "sh"]).env("WASM_CNI_FAULT", fault);
        } else {
            let time = Duration::from_micros(self.random.below(60_000) as u64);
            self.done.push(format!("wasm-cni {all} killed after {time:?}"));
            // The program itself, and not whatever brings it into the namespaces.
            command.args(["-c", "\"$@\" & sleep $0; kill -KILL $!; wait", &time.as_secs_f32().to_string()]);
        }
        command.arg(PROGRAM).args(arguments);
        let meanwhile = self.meanwhile();
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        end(meanwhile);
        self.look();
    }

    pub(super) fn of_container(&mut self) -> &'static str {
        inside::act(&mut self.random, self.network == MOVES)
    }

    /// Somebody in the container acts during the call.
    fn meanwhile(&mut self) -> Option<Child> {
        if self.alone || !self.random.happens(30) {
            return None;
        }
        let what = in_container(self.of_container());
        let time = Duration::from_micros(self.random.below(60_000) as u64);
        self.done.push(format!("meanwhile, after {time:?}: {what}"));
        let mut command = self.machine.command("sh");
        command.args(["-c", &format!("sleep {}; {what}", time.as_secs_f32())]);
        Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Whether all that is not ours is as it was.
    fn look(&self) {
        let now = links(&self.machine);
        for (index, link) in &self.others {
            assert_eq!(now.get(index), Some(link), "link {index} is another's\n{self:?}");
        }
        assert_eq!(shown(&self.machine), self.shown, "of others\n{self:?}");
        for (file, content) in &self.files {
            let found = fs::read(self.machine.root().join(file)).ok();
            assert_eq!(found.as_ref(), Some(content), "{file} is another's\n{self:?}");
        }
    }

    /// The container ends; nothing of it is left.
    pub(super) fn end(&mut self) {
        self.act("ip netns del c1");
        self.act("ip netns del inner");
        let ours = |links: &Links| -> Vec<String> {
            let ours = links.iter().filter(|(index, _)| !self.others.contains_key(index));
            ours.map(|(_, link)| name(link).to_owned()).filter(|name| !["lo", "br0", "d0"].contains(&&**name)).collect()
        };
        let deadline = Instant::now() + PATIENCE;
        let links = loop {
            let links = links(&self.machine);
            if ours(&links).is_empty() || Instant::now() > deadline {
                break links;
            }
            thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(ours(&links), [""; 0], "links that are left\n{self:?}");
        let device = self.machine.ip("link show d0");
        let (address, mtu, alias) = (&device[0]["address"], &device[0]["mtu"], &device[0]["ifalias"]);
        assert!(address == DEVICE && mtu == 1500 && alias.is_null(), "the device is not home: {device}\n{self:?}");
        assert!(device[0]["altnames"].is_null() && device[0]["link"] == "wire0", "{device}\n{self:?}");
        assert_eq!(filters_of_ours(&self.machine), "", "filters that are left\n{self:?}");
        for state in ["run/wasm-cni/journal", "run/wasm-cni/attachments", "var/lib/cni/results", "var/lib/cni/networks"]
        {
            assert_eq!(files_of_ours(&self.machine, state, &self.files), [""; 0], "{state}\n{self:?}");
        }
        if self.others.len() > MOST_OTHERS {
            self.sweep();
        }
    }

    /// The administrator takes away the links of others.
    fn sweep(&mut self) {
        let others = self.others.iter().filter(|(index, _)| !self.furniture.contains(index));
        let script: String = others.map(|(_, link)| format!("ip link del {}; ", name(link))).collect();
        let _ = self.sh(&script);
        self.others.retain(|index, _| self.furniture.contains(index));
        self.shown = shown(&self.machine);
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in round {}, after:\n  {}", self.round, self.done.join("\n  "))
    }
}

fn in_container(what: &str) -> String {
    format!("ip -n c1 {}", what.replace("$ip", "ip -n c1"))
}

fn end(meanwhile: Option<Child>) {
    if let Some(mut child) = meanwhile {
        child.wait().unwrap();
    }
}
