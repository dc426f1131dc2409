//! Twin machines: the same call goes through the reference in one and through
//! the program in the other; what they say and what the kernel has then is
//! compared. Names, MACs and indices at random become words first.

use std::{
    ffi::OsString,
    fs,
    os::unix::{ffi::OsStringExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::corpus::Case;
use crate::machine::{Machine, feed};

/// How long the kernels may take to agree: duplicate address detection is the
/// slowest of what they do on their own, two seconds and more.
const SETTLE: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum By {
    Reference,
    Ours,
}

/// A machine and the plugins that may be called in it.
pub(crate) struct Twin {
    pub(crate) machine: Machine,
    reference: PathBuf,
}

/// What a plugin said, and its exit status.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.status == Some(0)
    }

    /// The text of an error.
    pub(crate) fn msg(&self) -> String {
        assert!(!self.succeeded(), "{self:?}");
        self.json()["msg"].as_str().unwrap().to_owned()
    }
}

impl Twin {
    /// With one network namespace, `c1`.
    pub(crate) fn new(reference: &Path) -> Self {
        let machine = Machine::new();
        machine.netns("c1");
        Self { machine, reference: reference.to_owned() }
    }

    /// `$FOLDER` is the machine's folder, in configurations and scripts.
    pub(crate) fn fill_in(&self, text: &str) -> String {
        text.replace("$FOLDER", self.machine.folder().to_str().unwrap())
    }

    /// A shell script inside the machine.
    pub(crate) fn script(&self, script: &str) {
        let output = self.machine.command("sh").args(["-euc", &self.fill_in(script)]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A call of a plugin for the container `c1`, unless `env` says otherwise.
    pub(crate) fn call(&self, by: By, plugin: &str, command: &str, env: &[(&str, &str)], config: &str) -> Reply {
        let mut call = match by {
            By::Reference => self.machine.command(self.reference.join(plugin)),
            By::Ours => self.ours(plugin),
        };
        call.env("CNI_COMMAND", command).env("CNI_CONTAINERID", "c1").env("CNI_IFNAME", "eth0");
        call.env("CNI_NETNS", "/run/netns/c1").env("CNI_PATH", &self.reference);
        for (key, value) in env {
            call.env(key, self.fill_in(value));
        }
        let Output { status, stdout, .. } = feed(call, &self.fill_in(config));
        Reply { status: status.code(), stdout: String::from_utf8(stdout).unwrap() }
    }

    /// The program under a plugin's name, with its state where the reference has it.
    fn ours(&self, plugin: &str) -> Command {
        let link = self.machine.folder().join(plugin);
        if !link.exists() {
            std::os::unix::fs::symlink(crate::machine::PROGRAM, &link).unwrap();
        }
        let mut command = self.machine.command(link);
        command.env("WASM_CNI_ROOT", "/");
        command
    }

    pub(crate) fn run(&self, by: By, command: &str, case: &Case) -> Reply {
        self.call(by, case.plugin, command, &case.env, &case.config)
    }

    /// The configuration with the result that ADD gave.
    pub(crate) fn check(&self, by: By, case: &Case, result: &Reply) -> Reply {
        let mut config: Value = serde_json::from_str(&self.fill_in(&case.config)).unwrap();
        config["prevResult"] = result.json();
        self.call(by, case.plugin, "CHECK", &case.env, &config.to_string())
    }

    /// What the plugins have kept: path, mode and content of every file.
    pub(crate) fn data(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let folder = self.machine.folder().join("data");
        walk(&folder, &folder, &mut lines);
        lines.sort();
        lines
    }

    /// The leases: names of files.
    pub(crate) fn leases(&self) -> Vec<String> {
        let name = |line: String| line.split(' ').next().unwrap().to_owned();
        let bookkeeping = ["lock", "last_reserved_ip.0", "last_reserved_ip.1"];
        let paths = self.data().into_iter().filter(|line| !line.contains(" directory ")).map(name);
        let names = paths.map(|path| path.rsplit('/').next().unwrap().to_owned());
        names.filter(|name| !bookkeeping.contains(&name.as_str())).collect()
    }

    /// Links, addresses and routes of both namespaces: a line for each attribute.
    fn network(&self, words: &Words) -> Vec<String> {
        let mut lines = Vec::new();
        for (of, namespace) in [("", "host"), ("-n c1 ", "c1")] {
            let mut links = self.machine.ip(&format!("{of}addr show"));
            for link in links.as_array_mut().unwrap() {
                let name = format!("{namespace} {}", link["ifname"].as_str().unwrap());
                flatten(&name, link, &mut lines);
            }
            let v4 = self.machine.ip(&format!("{of}-4 route show table all"));
            let v6 = self.machine.ip(&format!("{of}-6 route show table all"));
            // Of two routes for one destination in IPv4 the first one counts.
            for (i, route) in v4.as_array().unwrap().iter().enumerate() {
                lines.push(format!("{namespace} route {i:02} {route}"));
            }
            lines.extend(v6.as_array().unwrap().iter().map(|route| format!("{namespace} route {route}")));
        }
        let mut lines: Vec<_> = lines.iter().map(|line| words.apply(line)).collect();
        lines.extend(self.filters().iter().map(|line| words.apply(line)));
        lines.sort();
        lines
    }

    /// Packet filters, neighbours that are not learnt, and routing rules.
    fn filters(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (of, namespace) in [("", "host"), ("-n c1 ", "c1")] {
            for what in ["-4 rule", "-6 rule", "neigh show nud permanent"] {
                lines.push(format!("{namespace} {what} {}", self.machine.ip(&format!("{of}{what}"))));
            }
        }
        for (program, arguments) in [("nft", &["list", "ruleset"][..]), ("iptables-save", &[]), ("ip6tables-save", &[])]
        {
            // Listing makes no tables.
            let Ok(output) = self.machine.command(program).args(arguments).output() else { continue };
            let text = String::from_utf8(output.stdout).unwrap();
            // Counters and dates.
            let lasting = |line: &&str| !line.starts_with('#');
            let uncounted = |line: &str| line.split(" [").next().unwrap_or_default().to_owned();
            let printed: Vec<_> = text.lines().filter(lasting).map(uncounted).collect();
            // The order of rules matters, but in what order chains were made does
            // not; and what is iptables' nft prints as it can.
            let printed = printed.join("\n");
            let tables = printed.split("\ntable ").map(|table| table.trim_start_matches("table "));
            let ours = tables.filter(|table| !["ip ", "ip6 "].iter().any(|family| table.starts_with(family)));
            lines.extend(ours.map(|table| format!("{program}: {table}")));
        }
        lines
    }

    /// The filter rules of attachments, without the tables and chains that stay.
    pub(crate) fn rules(&self) -> Vec<String> {
        let script = "nft list ruleset | grep -E 'comment \"(macspoofchk|[0-9a-f]{16}-)' || true; \
                      nft list ruleset | grep 'chain cni-br-iface' || true; \
                      iptables-save -t nat | grep CNI- || true; ip6tables-save -t nat | grep CNI- || true";
        let output = self.machine.command("sh").args(["-c", script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// The sysctls of both namespaces. Not how a MAC came to be: see `deviations`.
    fn settings(&self, words: &Words) -> Vec<String> {
        const SHOW: &str = "cd /proc/sys/net && grep -rs '' ipv4/conf ipv6/conf ipv4/ip_forward; true";
        let mut lines = Vec::new();
        for (namespace, arguments) in
            [("host", ["sh", "-c", SHOW].as_slice()), ("c1", &["ip", "netns", "exec", "c1", "sh", "-c", SHOW])]
        {
            let output = self.machine.command(arguments[0]).args(&arguments[1..]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && text.contains("ip_forward"), "{text}");
            lines.extend(text.lines().map(|line| words.apply(&format!("{namespace} {line}"))));
        }
        lines.sort();
        lines
    }

    fn settings_and_data(&self, words: &Words) -> Vec<String> {
        let data = self.data().into_iter().map(|line| format!("data {line}"));
        self.settings(words).into_iter().chain(data).collect()
    }

    /// What a failed ADD must not add to: devices, their addresses, leases.
    pub(crate) fn inventory(&self) -> Vec<String> {
        let of_plugins = |line: &String| line.contains(".ifname = ") || line.contains(".local = ");
        let network = self.network(&self.words("")).into_iter().filter(of_plugins);
        network.chain(self.leases()).filter(|line| !line.contains("<link-local>")).collect()
    }

    /// The words for what this machine has at random. What `keep` mentions was
    /// asked for, and is none of it.
    pub(crate) fn words(&self, keep: &str) -> Words {
        let mut macs = Vec::new();
        for of in ["", "-n c1 "] {
            for link in self.machine.ip(&format!("{of}link show")).as_array().unwrap() {
                // Of a bridge that the reference makes it is that of a port: see `deviations`.
                let word = if of.is_empty() { "<the host's>" } else { "<the container's>" };
                macs.push((link["address"].as_str().unwrap().to_owned(), word));
            }
        }
        Words { macs, keep: keep.to_lowercase(), folder: self.machine.folder().to_str().unwrap().to_owned() }
    }
}

/// Compares the states of two machines, once their kernels have come to rest.
pub(crate) fn compare_states(twins: &[Twin; 2], keep: &str) -> Result<(), String> {
    let end = Instant::now() + SETTLE;
    loop {
        let words = twins.each_ref().map(|twin| twin.words(keep));
        let [expected, got] = [0, 1].map(|i| twins[i].network(&words[i]));
        let rest = expected == got && !expected.iter().any(|line| line.contains(".tentative = "));
        if rest || Instant::now() > end {
            let [more_expected, more_got] = [0, 1].map(|i| twins[i].settings_and_data(&words[i]));
            let difference = difference(&expected, &got) + &difference(&more_expected, &more_got);
            return if difference.is_empty() { Ok(()) } else { Err(difference) };
        }
        thread::sleep(Duration::from_millis(400));
    }
}

/// The lines that only one of them has.
pub(crate) fn difference(expected: &[String], got: &[String]) -> String {
    let only = |some: &[String], others: &[String], mark: &str| -> String {
        some.iter().filter(|line| !others.contains(line)).map(|line| format!("  {mark} {line}\n")).collect()
    };
    format!("{}{}", only(expected, got, "reference:"), only(got, expected, "ours:     "))
}

fn walk(root: &Path, folder: &Path, lines: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
        let name = path.strip_prefix(root).unwrap().display();
        if path.is_dir() {
            lines.push(format!("{name} directory {mode:o}"));
            walk(root, &path, lines);
        } else {
            let content = OsString::from_vec(fs::read(&path).unwrap());
            lines.push(format!("{name} {mode:o} {content:?}"));
        }
    }
}

/// A line for each leaf, without what is an index, a timer, or a bridge's MAC in
/// another notation; and without the length of the queue, which the reference's
/// library sets to 0 at the host's end of a pair by accident: there is no queue,
/// and the kernel corrects the length when someone adds one.
fn flatten(name: &str, value: &Value, lines: &mut Vec<String>) {
    const LEFT_OUT: [&str; 11] = [
        "ifindex",
        "link_index",
        "link_netnsid",
        "bridge_id",
        "root_id",
        "designated_bridge",
        "designated_root",
        "topology_change",
        "topology_change_detected",
        "txqlen",
        // Ours does not have a new bridge ask for duplicates: see `deviations`.
        "nodad",
    ];
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(key, _)| !LEFT_OUT.contains(&key.as_str()) && !key.ends_with("_timer"));
            kept.for_each(|(key, value)| flatten(&format!("{name}.{key}"), value, lines));
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let items = items.iter().enumerate();
            items.for_each(|(i, value)| flatten(&format!("{name}[{i}]"), value, lines));
        }
        // Which of the two an end without a carrier is depends on another link, whose index its peer's happens to be.
        _ if value == "LOWERLAYERDOWN" => lines.push(format!("{name} = \"DOWN\"")),
        _ => lines.push(format!("{name} = {value}")),
    }
}

/// Words for what is at random.
pub(crate) struct Words {
    macs: Vec<(String, &'static str)>,
    keep: String,
    folder: String,
}

impl Words {
    pub(crate) fn apply(&self, text: &str) -> String {
        let text = text.replace(&self.folder, "$FOLDER");
        let mut words = String::new();
        let mut rest = text.as_str();
        while let Some(next) = rest.chars().next() {
            let (length, word) = self.word(rest).unwrap_or((next.len_utf8(), ""));
            words += if word.is_empty() { &rest[..length] } else { word };
            rest = &rest[length..];
        }
        // A bridge of the reference has no MAC without ports.
        words.replace(".address = \"00:00:00:00:00:00\"", ".address = \"<the host's>\"")
    }

    /// The word for what `text` starts with, and its length.
    fn word(&self, text: &str) -> Option<(usize, &str)> {
        let hex = |text: &str| text.bytes().take_while(u8::is_ascii_hexdigit).count();
        if let Some(rest) = text.strip_prefix("veth") {
            return (hex(rest) == 8).then_some((12, "<veth>"));
        }
        if let Some(rest) = text.strip_prefix("fe80::") {
            let length = rest.bytes().take_while(|byte| byte.is_ascii_hexdigit() || *byte == b':').count();
            return (length > 0).then_some((6 + length, "<link-local>"));
        }
        let mac =
            text.get(..17).filter(|mac| mac.split(':').count() == 6 && mac.split(':').all(|part| hex(part) == 2))?;
        let fixed = self.keep.contains(mac) || ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"].contains(&mac);
        let word = self.macs.iter().find(|(known, _)| known == mac).map_or("<mac>", |(_, word)| *word);
        Some((17, if fixed { "" } else { word }))
    }
}
