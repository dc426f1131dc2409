//! Running iptables(8) in a namespace: one `iptables-restore` for each family and change, after one `iptables-save` where
//! it is not known which rules there are.

use std::{
    env::split_paths,
    ffi::OsStr,
    net::IpAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::errno::Errno;
use wasm_cni_kernel::Family;
use wasm_cni_state::deadline::Deadline;

use crate::{
    bindings::types,
    context::Context,
    exec::{ExecCall, ExecOutput, Processes},
    failure::refuse,
    space::Space,
    trace::Who,
};

/// What one run may take, within the call's time; it waits for others that change rules meanwhile.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Of a change by iptables.
pub type Outcome = Result<(), types::Error>;

/// iptables in a namespace.
pub struct Iptables<'a> {
    context: &'a Context,
    space: &'a Space,
    who: Who<'a>,
    deadline: Option<&'a Deadline>,
}

/// iptables or ip6tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// iptables.
    V4,
    /// ip6tables.
    V6,
}

/// Both.
pub const PROTOCOLS: [Protocol; 2] = [Protocol::V4, Protocol::V6];

impl Protocol {
    /// The program for this address's family.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    fn program(self, suffix: &str) -> String {
        let name = if self == Self::V4 { "iptables" } else { "ip6tables" };
        format!("{name}{suffix}")
    }

    fn family(self) -> Family {
        if self == Self::V4 { Family::Ip } else { Family::Ip6 }
    }

    /// Multicast addresses of the family.
    pub fn multicast(self) -> &'static str {
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
    pub fn new(context: &'a Context, space: &'a Space, who: Who<'a>) -> Self {
        Self { context, space, who, deadline: None }
    }

    /// The same, within the time of a call.
    #[must_use]
    pub fn within(self, deadline: &'a Deadline) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Whether its programs are in PATH, those for IPv4 at least.
    pub fn is_installed(&self) -> bool {
        self.has_programs(Protocol::V4)
    }

    /// Whether the programs for this family are in PATH.
    pub fn has_programs(&self, protocol: Protocol) -> bool {
        ["", "-restore"].iter().all(|suffix| self.find(&protocol.program(suffix)).is_some())
    }

    /// The reference's test of whether it is usable.
    pub fn probe(&self) -> Outcome {
        self.run("iptables", &["-t", "filter", "-S", "INPUT", "1"], String::new()).map(drop)
    }

    /// Does it for each family that may have such a chain, even if it fails for one.
    pub fn where_there_may_be(&self, ours: impl Fn(&str) -> bool, f: impl Fn(Protocol) -> Outcome) -> Outcome {
        let there = PROTOCOLS.into_iter().filter(|protocol| self.may_have(*protocol, &ours));
        there.map(f).fold(Ok(()), Outcome::and)
    }

    /// Makes the changes that follow from the rules there are.
    pub fn change(&self, protocol: Protocol, changes: impl Fn(&[String]) -> Vec<String>) -> Outcome {
        let saved = self.save(protocol)?;
        self.restore(protocol, &changes(&saved))
    }

    /// Whether there may be such a chain, as the kernel has it: usually there is
    /// none, and no process is needed to find that nothing has to be done.
    pub fn may_have(&self, protocol: Protocol, ours: impl Fn(&str) -> bool) -> bool {
        let chains = self.space.nftables(|nft| nft.chains(protocol.family(), "nat"));
        let legacy = || {
            let read = || std::fs::read_to_string(protocol.legacy_tables()).unwrap_or_default();
            self.space.netns.run(read).is_ok_and(|tables| tables.lines().any(|table| table == "nat"))
        };
        chains.is_ok_and(|chains| chains.iter().any(|chain| ours(chain))) || legacy()
    }

    /// The rules of the table `nat`, as `-A CHAIN ...`.
    pub fn save(&self, protocol: Protocol) -> Result<Vec<String>, types::Error> {
        let saved = self.run(&protocol.program("-save"), &["-t", "nat"], String::new())?;
        Ok(saved.lines().filter(|line| line.starts_with("-A ") || line.starts_with(':')).map(str::to_owned).collect())
    }

    /// Makes changes, all or none.
    pub fn restore(&self, protocol: Protocol, lines: &[String]) -> Outcome {
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
            env: self.context.env.clone(),
            stdin: stdin.into_bytes(),
            timeout: self.deadline.map_or(TIMEOUT, |deadline| TIMEOUT.min(deadline.remaining())),
            cancel: self.deadline.map(|deadline| deadline.cancel.clone()).unwrap_or_default(),
        };
        let status = |output: &ExecOutput| output.status.clone();
        let run = || {
            let run = || Processes::run_with(&call, arguments);
            self.context.trace.process(self.who, &call.path, arguments, run, status)
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
        let path = self.context.env.iter().find(|(key, _)| key == OsStr::new("PATH")).map(|(_, value)| value)?;
        let is_program = |path: &PathBuf| {
            path.is_absolute() && path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        };
        split_paths(path).map(|folder: PathBuf| folder.join(Path::new(program))).find(is_program)
    }
}
