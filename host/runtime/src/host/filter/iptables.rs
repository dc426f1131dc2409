//! Masquerade by iptables(8): the chains, hashes and comments of the reference,
//! in one `iptables-restore` for each family, after one `iptables-save` where
//! it is not known which rules there are.

use std::{
    env::split_paths,
    ffi::OsStr,
    net::IpAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use nix::errno::Errno;
use wasm_cni_kernel::Family;

use super::{Owner, hashed};
use crate::{
    bindings::types,
    host::{refuse, space::Space},
    limits::Cancel,
    native::{ExecCall, ExecOutput, Processes},
    plugin::Inner,
    trace::Who,
};

/// What one run may take; it waits for others that change rules meanwhile.
const TIMEOUT: Duration = Duration::from_secs(20);
const POSTROUTING: &str = "POSTROUTING";
/// What the names of our chains start with.
const CHAIN_PREFIX: &str = "CNI-";
/// Octets of a chain's name (`XT_EXTENSION_MAXNAMELEN` less the NUL).
const CHAIN_LEN: usize = 28;

type Outcome = Result<(), types::Error>;

/// iptables in a namespace.
pub(crate) struct Iptables<'a> {
    runtime: &'a Inner,
    space: &'a Space,
    who: Who<'a>,
}

/// iptables or ip6tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    V4,
    V6,
}

const PROTOCOLS: [Protocol; 2] = [Protocol::V4, Protocol::V6];

impl Protocol {
    fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    fn program(self, suffix: &str) -> String {
        let name = if self == Self::V4 { "iptables" } else { "ip6tables" };
        format!("{name}{suffix}")
    }

    fn family(self) -> Family {
        if self == Self::V4 { Family::Ip } else { Family::Ip6 }
    }

    fn multicast(self) -> &'static str {
        if self == Self::V4 { "224.0.0.0/4" } else { "ff00::/8" }
    }

    /// The tables that the legacy variant has filled.
    fn legacy_tables(self) -> &'static str {
        if self == Self::V4 {
            "/proc/thread-self/net/ip_tables_names"
        } else {
            "/proc/thread-self/net/ip6_tables_names"
        }
    }
}

impl<'a> Iptables<'a> {
    /// `who` is whose doing it is.
    pub(crate) fn new(runtime: &'a Inner, space: &'a Space, who: Who<'a>) -> Self {
        Self { runtime, space, who }
    }

    pub(crate) fn is_installed(&self) -> bool {
        ["iptables", "iptables-restore"].iter().all(|program| self.find(program).is_some())
    }

    /// The reference's test of whether it is usable.
    pub(crate) fn probe(&self) -> Outcome {
        self.run("iptables", &["-t", "filter", "-S", "INPUT", "1"], String::new()).map(drop)
    }

    /// Makes the attachment's rules, or those of them that are missing.
    pub(crate) fn add(&self, owner: &Owner, addresses: &[IpNet]) -> Outcome {
        for protocol in PROTOCOLS {
            let addresses: Vec<_> = of_family(protocol, addresses).collect();
            if addresses.is_empty() {
                continue;
            }
            let chain = chain(owner);
            let saved = if self.may_have(protocol, |name| name == chain) { self.save(protocol)? } else { Vec::new() };
            self.restore(protocol, &additions(protocol, owner, &addresses, &saved))?;
        }
        Ok(())
    }

    /// Removes the attachment's rules. A chain is the container's: another
    /// interface's rules stay if `addresses` are known.
    pub(crate) fn remove(&self, owner: &Owner, addresses: &[IpNet]) -> Outcome {
        let chain = chain(owner);
        let remove = |protocol| {
            // It does all or nothing: if it fails, these were not the chain's rules, or not all
            // that jump to it.
            let expected = reversals(protocol, owner, addresses);
            if !expected.is_empty() && self.restore(protocol, &expected).is_ok() {
                return Ok(());
            }
            self.change(protocol, |saved| removals(&chain, addresses, saved))
        };
        self.where_there_may_be(|name| name == chain, remove)
    }

    /// Removes the rules of the network's attachments other than `live`.
    pub(crate) fn retain(&self, network: &str, live: &[Owner]) -> Outcome {
        let live: Vec<String> = live.iter().map(chain).collect();
        let stale = |saved: &[String]| -> Vec<String> {
            let ours = format!("--comment {}", quoted(&format!("name: \"{network}\" id: \"")));
            // Up to where the id begins.
            let ours = ours.trim_end_matches('"');
            let mut chains: Vec<&str> = saved
                .iter()
                .filter(|line| line.contains(ours))
                .filter_map(|line| line.split(' ').find(|word| word.starts_with(CHAIN_PREFIX)))
                .filter(|chain| !live.iter().any(|live| live == chain))
                .collect();
            chains.sort_unstable();
            chains.dedup();
            chains.iter().flat_map(|chain| removals(chain, &[], saved)).collect()
        };
        self.where_there_may_be(|name| name.starts_with(CHAIN_PREFIX), |protocol| self.change(protocol, stale))
    }

    /// Whether there may be rules of ours, or of the reference's.
    pub(crate) fn has_rules(&self) -> bool {
        PROTOCOLS.iter().any(|protocol| self.may_have(*protocol, |name| name.starts_with(CHAIN_PREFIX)))
    }

    /// Does it for each family that may have such a chain, even if it fails for one.
    fn where_there_may_be(&self, ours: impl Fn(&str) -> bool, f: impl Fn(Protocol) -> Outcome) -> Outcome {
        let there = PROTOCOLS.into_iter().filter(|protocol| self.may_have(*protocol, &ours));
        there.map(f).fold(Ok(()), Outcome::and)
    }

    /// Makes the changes that follow from the rules there are.
    fn change(&self, protocol: Protocol, changes: impl Fn(&[String]) -> Vec<String>) -> Outcome {
        let saved = self.save(protocol)?;
        self.restore(protocol, &changes(&saved))
    }

    /// Whether there may be such a chain, as the kernel has it: usually there is
    /// none, and no process is needed to find that nothing has to be done.
    fn may_have(&self, protocol: Protocol, ours: impl Fn(&str) -> bool) -> bool {
        let chains = self.space.nftables(|nft| nft.chains(protocol.family(), "nat"));
        let legacy = || {
            let read = || std::fs::read_to_string(protocol.legacy_tables()).unwrap_or_default();
            self.space.netns.run(read).is_ok_and(|tables| tables.lines().any(|table| table == "nat"))
        };
        chains.is_ok_and(|chains| chains.iter().any(|chain| ours(chain))) || legacy()
    }

    /// The rules of the table `nat`, as `-A CHAIN ...`.
    fn save(&self, protocol: Protocol) -> Result<Vec<String>, types::Error> {
        let saved = self.run(&protocol.program("-save"), &["-t", "nat"], String::new())?;
        Ok(saved.lines().filter(|line| line.starts_with("-A ") || line.starts_with(':')).map(str::to_owned).collect())
    }

    /// Makes changes, all or none.
    fn restore(&self, protocol: Protocol, lines: &[String]) -> Outcome {
        if lines.is_empty() {
            return Ok(());
        }
        let input = format!("*nat\n{}\nCOMMIT\n", lines.join("\n"));
        self.run(&protocol.program("-restore"), &["--noflush", "--wait"], input).map(drop)
    }

    fn run(&self, program: &str, arguments: &[&str], stdin: String) -> Result<String, types::Error> {
        let what = [&[program], arguments].concat().join(" ");
        let failed = |errno: i32, msg: String| {
            let errno = errno.unsigned_abs();
            types::Error { code: types::Code::Other, errno, what: what.clone(), msg }
        };
        let Some(path) = self.find(program) else {
            let text = format!("exec: {program:?}: executable file not found in $PATH");
            return Err(refuse(types::Code::Unsupported, what, text));
        };
        let call = ExecCall {
            kind: program.to_owned(),
            path,
            env: self.runtime.env.clone(),
            stdin: stdin.into_bytes(),
            timeout: TIMEOUT,
            cancel: Cancel::default(),
        };
        let status = |output: &ExecOutput| output.status.clone();
        let run = || {
            let run = || Processes::run_with(&call, arguments);
            self.runtime.trace.process(self.who, &call.path, arguments, run, status)
        };
        let run = self.space.netns.run(run).map_err(|e| failed(e.errno(), e.reason()))?;
        let output = run.map_err(|e| failed(e.raw_os_error().unwrap_or(Errno::EIO as i32), e.to_string()))?;
        match output.status {
            Ok(()) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            Err(status) => {
                let text = String::from_utf8_lossy(&output.stderr);
                Err(failed(0, format!("running [{what}]: {status}: {}", text.trim())))
            }
        }
    }

    /// Where it is in PATH.
    fn find(&self, program: &str) -> Option<PathBuf> {
        let path = self.runtime.env.iter().find(|(key, _)| key == OsStr::new("PATH")).map(|(_, value)| value)?;
        let is_program = |path: &PathBuf| {
            path.is_absolute() && path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        };
        split_paths(path).map(|folder: PathBuf| folder.join(Path::new(program))).find(is_program)
    }
}

fn chain(owner: &Owner) -> String {
    hashed(CHAIN_PREFIX, &format!("{}{}", owner.network, owner.container_id), CHAIN_LEN)
}

/// What `iptables-restore` is to do for the rules that are not among `saved`.
fn additions(protocol: Protocol, owner: &Owner, addresses: &[IpNet], saved: &[String]) -> Vec<String> {
    let chain = chain(owner);
    let comment = quoted(&format!("name: {:?} id: {:?}", owner.network, owner.container_id));
    let comment = format!("-m comment --comment {comment}");
    let mut lines = Vec::new();
    if !saved.iter().any(|line| line.starts_with(&format!(":{chain} "))) {
        lines.push(format!(":{chain} - [0:0]"));
    }
    let mut add = |rule: String| {
        if !saved.contains(&rule) && !lines.contains(&rule) {
            lines.push(rule);
        }
    };
    for address in addresses {
        let host = IpNet::from(address.addr());
        add(format!("-A {chain} -d {} {comment} -j ACCEPT", address.trunc()));
        add(format!("-A {chain} ! -d {} {comment} -j MASQUERADE", protocol.multicast()));
        add(format!("-A {POSTROUTING} -s {host} {comment} -j {chain}"));
    }
    lines
}

/// What `iptables-restore` is to do if the chain and its jumps are as [`additions`] for
/// these addresses left them; nothing if none is of this family.
fn reversals(protocol: Protocol, owner: &Owner, addresses: &[IpNet]) -> Vec<String> {
    let addresses: Vec<_> = of_family(protocol, addresses).collect();
    if addresses.is_empty() {
        return Vec::new();
    }
    removals(&chain(owner), &[], &additions(protocol, owner, &addresses, &[]))
}

fn of_family(protocol: Protocol, addresses: &[IpNet]) -> impl Iterator<Item = IpNet> {
    addresses.iter().copied().filter(move |address| Protocol::of(address.addr()) == protocol)
}

/// What `iptables-restore` is to do to be rid of a chain and what jumps to it:
/// of the jumps only those for `addresses`, if they are known, and then of the
/// chain only if no jump is left.
fn removals(chain: &str, addresses: &[IpNet], saved: &[String]) -> Vec<String> {
    let jumps: Vec<&String> = saved
        .iter()
        .filter(|line| line.starts_with(&format!("-A {POSTROUTING} ")) && line.ends_with(&format!(" -j {chain}")))
        .collect();
    // Older versions of the reference had the whole network there.
    let sources: Vec<String> = addresses
        .iter()
        .flat_map(|address| [IpNet::from(address.addr()), address.trunc()])
        .map(|source| format!(" -s {source} "))
        .collect();
    let is_ours = |jump: &&&String| sources.is_empty() || sources.iter().any(|source| jump.contains(source));
    let ours: Vec<_> = jumps.iter().filter(is_ours).collect();
    let mut lines: Vec<String> = ours.iter().map(|jump| jump.replacen("-A", "-D", 1)).collect();
    if ours.len() == jumps.len() && saved.iter().any(|line| line.starts_with(&format!(":{chain} "))) {
        lines.extend([format!("-F {chain}"), format!("-X {chain}")]);
    }
    lines
}

/// As `iptables-save` prints an argument with spaces.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(ifname: &str) -> Owner {
        Owner { network: "n1".to_owned(), container_id: "c1".to_owned(), ifname: ifname.to_owned() }
    }

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// What `iptables-save` prints once `lines` are done.
    fn saved(lines: &[String]) -> Vec<String> {
        lines.to_vec()
    }

    #[test]
    fn an_attachment_has_a_chain_and_three_rules_for_an_address() {
        let lines = additions(Protocol::V4, &owner("eth0"), &nets(&["10.1.0.2/24"]), &[]);
        let chain = chain(&owner("eth0"));
        let comment = r#"-m comment --comment "name: \"n1\" id: \"c1\"""#;
        assert_eq!(
            lines,
            [
                format!(":{chain} - [0:0]"),
                format!("-A {chain} -d 10.1.0.0/24 {comment} -j ACCEPT"),
                format!("-A {chain} ! -d 224.0.0.0/4 {comment} -j MASQUERADE"),
                format!("-A POSTROUTING -s 10.1.0.2/32 {comment} -j {chain}"),
            ]
        );
        assert!(additions(Protocol::V4, &owner("eth0"), &nets(&["10.1.0.2/24"]), &saved(&lines)).is_empty());
    }

    #[test]
    fn what_an_add_has_made_is_undone_without_a_look_at_it() {
        let addresses = nets(&["10.1.0.2/24", "10.2.0.2/24", "fd00::2/64"]);
        let chain = chain(&owner("eth0"));
        let comment = r#"-m comment --comment "name: \"n1\" id: \"c1\"""#;
        assert_eq!(
            reversals(Protocol::V4, &owner("eth0"), &addresses),
            [
                format!("-D POSTROUTING -s 10.1.0.2/32 {comment} -j {chain}"),
                format!("-D POSTROUTING -s 10.2.0.2/32 {comment} -j {chain}"),
                format!("-F {chain}"),
                format!("-X {chain}"),
            ]
        );
        assert_eq!(reversals(Protocol::V6, &owner("eth0"), &addresses).len(), 3);
        assert!(reversals(Protocol::V6, &owner("eth0"), &addresses[..2]).is_empty());
    }

    #[test]
    fn of_two_interfaces_only_the_one_that_goes_loses_its_rules() {
        let both = additions(Protocol::V4, &owner("eth0"), &nets(&["10.1.0.2/24", "10.1.0.3/24"]), &[]);
        let chain = chain(&owner("eth0"));
        let first = removals(&chain, &nets(&["10.1.0.2/24"]), &saved(&both));
        assert_eq!(first.len(), 1, "{first:?}");
        assert!(first[0].starts_with("-D POSTROUTING -s 10.1.0.2/32 "));
        let last = removals(&chain, &nets(&["10.1.0.2/24", "10.1.0.3/24"]), &saved(&both));
        assert_eq!(last[2..], [format!("-F {chain}"), format!("-X {chain}")]);
        let unknown = removals(&chain, &[], &saved(&both));
        assert_eq!(unknown, last);
    }

    #[test]
    fn nothing_is_done_where_nothing_is() {
        assert!(removals("CNI-x", &[], &[]).is_empty());
    }
}
