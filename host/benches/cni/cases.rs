//! The cases: the configuration of each, and the calls for each subject. Must not
//! know: time.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    namespaces,
    process::{Call, installed},
    subject::{Subject, Who},
};

/// The default directory of leases.
const LEASES: &str = "/var/lib/cni/networks";

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    kind: Kind,
    /// It gets `times / one_of` of the other cases' rounds: slow cases get fewer.
    times: u32,
    one_of: u32,
}

/// The factor for cases whose DEL is compared with the floor's: waiting for RCU takes a
/// random 12 to 25 ms.
const WAITS: u32 = 4;

impl Case {
    /// Its number of rounds.
    pub(crate) fn rounds(&self, of: u32) -> u32 {
        (of * self.times).div_ceil(self.one_of)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Version,
    Loopback,
    Bridge,
    /// With `ipMasq` and this backend.
    Masquerade(&'static str),
    Ptp,
    HostDevice,
    Chain,
    /// A separate bridge, for counting instead of timing.
    Counted,
    /// `host-local` alone, with this many existing leases.
    Leases(u32),
}

/// All cases of single calls.
pub(crate) fn cases(most_leases: u32) -> Vec<Case> {
    let case = |name, title, kind| Case { name, title, kind, times: 1, one_of: 1 };
    let mut cases = vec![
        case("version", "VERSION", Kind::Version),
        case("loopback", "loopback", Kind::Loopback),
        Case { times: WAITS, ..case("bridge", "bridge + host-local", Kind::Bridge) },
        case("nftables", "bridge + host-local + ipMasq, nftables", Kind::Masquerade("nftables")),
        case("iptables", "bridge + host-local + ipMasq, iptables", Kind::Masquerade("iptables")),
        Case { times: WAITS, ..case("ptp", "ptp + host-local", Kind::Ptp) },
        case("host-device", "host-device + host-local", Kind::HostDevice),
        case("chain", "three plugins in one process, or native", Kind::Chain),
    ];
    let leases = [
        ("leases-0", "host-local, no leases", 0, 1),
        ("leases-1000", "host-local, 1 000 leases", 1_000, 2),
        ("leases-8000", "host-local, 8 000 leases", 8_000, 4),
        ("leases-60000", "host-local, 60 000 leases", 60_000, 10),
    ];
    for (name, title, count, one_of) in leases {
        if count <= most_leases {
            cases.push(Case { one_of, ..case(name, title, Kind::Leases(count)) });
        }
    }
    cases
}

/// The case whose calls are counted.
pub(crate) fn counted() -> Case {
    Case { name: "resources", title: "bridge + host-local", kind: Kind::Counted, times: 1, one_of: 1 }
}

/// A call in a round.
pub(crate) struct Step {
    pub(crate) verb: &'static str,
    pub(crate) call: Call,
    /// The configuration that gets the result of the call before.
    pub(crate) checks: Option<Value>,
    /// Why the call counts even if it ends with an error.
    pub(crate) may_fail: Option<&'static str>,
}

impl Case {
    /// Something that a subject needs and that is missing or broken.
    pub(crate) fn lacks(&self, who: Who) -> Option<String> {
        let (program, question): (_, &[&str]) = match (self.kind, who) {
            // Ours needs only the kernel for this, and no program.
            (Kind::Masquerade("nftables"), Who::WasmCni) if installed("nft").is_none() => return None,
            (Kind::Masquerade("nftables"), _) => ("nft", &["list", "tables"]),
            (Kind::Masquerade(_), _) => ("iptables", &["-t", "nat", "-S"]),
            _ => return None,
        };
        let Some(path) = installed(program) else { return Some(format!("no `{program}` in the path")) };
        match Command::new(path).args(question).output() {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Some(format!("{program}: {error}")),
        }
    }

    pub(crate) fn is_for(&self, who: Who) -> bool {
        who != Who::Floor || matches!(self.kind, Kind::Bridge | Kind::Ptp | Kind::Counted)
    }

    /// Prepares and returns the calls of one round. The last call restores the state
    /// before the first.
    pub(crate) fn steps(&self, subject: &Subject) -> Result<Vec<Step>> {
        if subject.who == Who::Floor {
            return match self.kind {
                Kind::Ptp => Ok(floor(subject, 202, None)),
                Kind::Counted => floor_on_bridge(subject, 201),
                _ => floor_on_bridge(subject, 200),
            };
        }
        let plain = |plugin: &str, verbs: &[&'static str]| {
            verbs.iter().map(|&verb| step(verb, subject.plugin(plugin, verb, self.name))).collect()
        };
        let both = ["ADD", "DEL"];
        let config = self.config(subject);
        fs::write(subject.config(self.name), config.to_string())?;
        Ok(match self.kind {
            Kind::Version => plain("bridge", &["VERSION"]),
            Kind::Loopback => plain("loopback", &both),
            Kind::Counted => plain("bridge", &both),
            Kind::Masquerade(backend) => {
                let mut steps: Vec<_> = plain("bridge", &both);
                if backend == "nftables" && subject.who == Who::Reference && installed("iptables").is_some() {
                    steps[1].may_fail =
                        Some("DEL ends with an error after all work is done: it also misses chains of iptables");
                }
                steps
            }
            Kind::Ptp => plain("ptp", &both),
            Kind::Bridge => {
                let mut steps: Vec<_> = plain("bridge", &both);
                let call = subject.plugin("bridge", "CHECK", "check");
                steps.insert(1, Step { checks: Some(config), ..step("CHECK", call) });
                steps
            }
            Kind::HostDevice => {
                namespaces::device(&format!("dev{}", subject.who.number()))?;
                plain("host-device", &both)
            }
            Kind::Chain => {
                let network = self.network(subject);
                fs::write(subject.networks().join(&network).with_extension("conflist"), config.to_string())?;
                let call = |verb, command| step(verb, subject.command(command, &network));
                vec![call("ADD", "add"), call("DEL", "del")]
            }
            Kind::Leases(count) => {
                fill(&self.directory(subject), count)?;
                plain("host-local", &both)
            }
        })
    }

    /// Removes large files.
    pub(crate) fn clean(&self, subject: &Subject) {
        if matches!(self.kind, Kind::Leases(_)) {
            let _ = fs::remove_dir_all(self.directory(subject));
        }
    }

    fn directory(&self, subject: &Subject) -> PathBuf {
        Path::new(LEASES).join(self.network(subject))
    }

    fn network(&self, subject: &Subject) -> String {
        format!("{}-{}", self.name, subject.who.name())
    }

    fn config(&self, subject: &Subject) -> Value {
        let (number, network) = (subject.who.number(), self.network(subject));
        let plugin = match self.kind {
            Kind::Version | Kind::Loopback => json!({ "type": "loopback" }),
            Kind::Bridge => bridge(&format!("br{number}"), &subnet(0, number)),
            Kind::Counted => bridge(&format!("brr{number}"), &subnet(6, number)),
            Kind::Masquerade(backend) => {
                let letter = &backend[..1];
                let subnet = subnet(if backend == "nftables" { 1 } else { 2 }, number);
                let mut plugin = bridge(&format!("br{letter}{number}"), &subnet);
                plugin["ipMasq"] = true.into();
                plugin["ipMasqBackend"] = backend.into();
                plugin
            }
            Kind::Ptp => json!({ "type": "ptp", "ipam": host_local(&subnet(3, number)) }),
            Kind::HostDevice => {
                let ipam = host_local(&subnet(4, number));
                json!({ "type": "host-device", "device": format!("dev{number}"), "ipam": ipam })
            }
            Kind::Chain => {
                let bridge = bridge(&format!("brc{number}"), &subnet(5, number));
                let loopback = || json!({ "type": "loopback" });
                json!({ "plugins": [loopback(), bridge, loopback()] })
            }
            Kind::Leases(_) => json!({ "type": "host-local", "ipam": host_local("10.240.0.0/12") }),
        };
        named(plugin, &network)
    }
}

/// A plugin's configuration for a bridge with a gateway.
pub(crate) fn bridge(name: &str, subnet: &str) -> Value {
    json!({ "type": "bridge", "bridge": name, "isGateway": true, "ipam": host_local(subnet) })
}

/// A plugin's configuration, or a list.
pub(crate) fn named(mut plugin: Value, network: &str) -> Value {
    plugin["cniVersion"] = "1.1.0".into();
    plugin["name"] = network.into();
    plugin
}

fn host_local(subnet: &str) -> Value {
    json!({ "type": "host-local", "ranges": [[{ "subnet": subnet }]], "routes": [{ "dst": "0.0.0.0/0" }] })
}

fn subnet(case: u8, who: u8) -> String {
    format!("10.{}.0.0/16", case * 4 + who)
}

fn step(verb: &'static str, call: Call) -> Step {
    Step { verb, call, checks: None, may_fail: None }
}

/// Creates the bridge, which other subjects create with their first call.
fn floor_on_bridge(subject: &Subject, subnet: u8) -> Result<Vec<Step>> {
    let index = namespaces::bridge(&format!("brf{subnet}"), &format!("10.{subnet}.0.1/16"))?;
    Ok(floor(subject, subnet, Some(index)))
}

fn floor(subject: &Subject, subnet: u8, bridge: Option<u32>) -> Vec<Step> {
    let bridge = bridge.map_or("-".to_owned(), |index| index.to_string());
    let (address, gateway) = (format!("10.{subnet}.0.2/16"), format!("10.{subnet}.0.1"));
    let add = ["add".into(), bridge.into(), subject.netns.clone().into()];
    let rest = ["floor0".into(), "eth0".into(), address.into(), gateway.into()];
    let add = subject.floor_call(add.into_iter().chain(rest).collect());
    let del = subject.floor_call(vec!["del".into(), "floor0".into()]);
    vec![step("ADD", add), step("DEL", del)]
}

/// Writes consecutive leases and the last reserved address, like the reference.
fn fill(directory: &Path, count: u32) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    // The first address of the range is the gateway's.
    let address = |i: u32| std::net::Ipv4Addr::from_bits(0x0af0_0002 + i);
    for i in 0..count {
        fs::write(directory.join(address(i).to_string()), format!("container-{i}\r\neth0"))?;
    }
    if let Some(last) = count.checked_sub(1) {
        fs::write(directory.join("last_reserved_ip.0"), address(last).to_string())?;
    }
    Ok(())
}
