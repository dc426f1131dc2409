//! A machine for a test: user, network and mount namespaces of its own with a
//! private /run, and a folder for configurations and state. All of it goes with
//! the test's process, however that ends.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_wasm-cni");

pub(crate) struct Machine {
    /// Lives as long as its standard input is open.
    holder: Child,
    folder: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c"])
            .arg("mount -t tmpfs tmpfs /run && ip link set lo up && echo ready && exec cat >/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("these tests need `unshare` (util-linux)");
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "these tests need user namespaces and `ip` (iproute2)");
        let machine = Self { holder, folder: tempfile::tempdir().unwrap() };
        fs::create_dir(machine.conf_dir()).unwrap();
        machine
    }

    /// A command inside the machine.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(in_path("nsenter"));
        command.args(["--user", "--net", "--mount", "--preserve-credentials", "--target"]);
        command.arg(self.holder.id().to_string()).arg("--").arg(program);
        for variable in ["CNI_PATH", "CNI_ARGS", "CAP_ARGS", "CNI_IFNAME", "WASM_CNI_HOST_NETNS"] {
            command.env_remove(variable);
        }
        command.env("NETCONFPATH", self.conf_dir()).env("WASM_CNI_ROOT", self.root());
        command
    }

    /// The program under test, inside the machine.
    pub(crate) fn wasm_cni(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(PROGRAM);
        command.args(arguments);
        command
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn conf_dir(&self) -> PathBuf {
        self.folder.path().join("net.d")
    }

    /// Where the program keeps its state.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The leases of a network: file names.
    pub(crate) fn leases(&self, network: &str) -> Vec<String> {
        let folder = self.root().join("var/lib/cni/networks").join(network);
        let names = fs::read_dir(folder).map(|entries| {
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name != "lock" && !name.starts_with("last_reserved_ip"))
        });
        let mut names: Vec<_> = names.into_iter().flatten().collect();
        names.sort();
        names
    }

    /// Writes `NAME.conflist` with one plugin.
    pub(crate) fn network(&self, name: &str, plugin: Value) -> String {
        self.network_version(name, "1.1.0", plugin)
    }

    pub(crate) fn network_version(&self, name: &str, version: &str, plugin: Value) -> String {
        let list = json!({ "cniVersion": version, "name": name, "plugins": [plugin] });
        fs::write(self.conf_dir().join(format!("{name}.conflist")), list.to_string()).unwrap();
        name.to_owned()
    }

    /// Makes a namespace with a name. Gives its path.
    pub(crate) fn netns(&self, name: &str) -> String {
        let output = self.command("ip").args(["netns", "add", name]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        format!("/run/netns/{name}")
    }

    /// `ip -json -details ARGUMENTS` of the machine, or of a namespace with `-n`.
    pub(crate) fn ip(&self, arguments: &str) -> Value {
        let output = self.command("ip").args(["-json", "-details"]).args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| json!([]))
    }

    /// The names of the devices, of the machine or of a namespace (`-n NAME `).
    pub(crate) fn devices(&self, of: &str) -> Vec<String> {
        let links = self.ip(&format!("{of}link show"));
        links.as_array().unwrap().iter().map(|link| link["ifname"].as_str().unwrap().to_owned()).collect()
    }

    /// A sysctl of the machine or, with `-n NAME `, of a namespace.
    pub(crate) fn sysctl(&self, netns: Option<&str>, key: &str) -> String {
        let path = format!("/proc/sys/{key}");
        let mut command = match netns {
            Some(name) => {
                let mut command = self.command("ip");
                command.args(["netns", "exec", name, "cat", &path]);
                command
            }
            None => {
                let mut command = self.command("cat");
                command.arg(&path);
                command
            }
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// `wasm-cni add`: the result.
    pub(crate) fn add(&self, network: &str, netns: &str) -> Value {
        let output = self.wasm_cni(&["add", network, netns]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// `wasm-cni del`, twice: it may be repeated.
    pub(crate) fn del(&self, network: &str, netns: &str) {
        for _ in 0..2 {
            let output = self.wasm_cni(&["del", network, netns]).output().unwrap();
            assert!(output.status.success(), "{}", text(&output));
        }
    }

    /// A plugin as a runtime calls it: environment and standard input.
    pub(crate) fn plugin(&self, name: &str, env: &[(&str, &str)], stdin: &str) -> Output {
        let link = self.folder.path().join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(PROGRAM, &link).unwrap();
        }
        let mut command = self.command(&link);
        command.envs(env.iter().copied());
        feed(command, stdin)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// A variable of the test's own environment.
#[expect(clippy::disallowed_methods, reason = "where tests read the environment")]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Where a program is: a command may be given another PATH, which is not for
/// finding the command itself.
fn in_path(program: &str) -> PathBuf {
    let path = variable("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.exists()).unwrap_or(program.into())
}

/// Whether the programs that a test asks are there. What is missing is said once
/// for each test.
pub(crate) fn installed(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| Command::new(program).arg("--version").output().is_err());
    if let Some(missing) = missing {
        let test = thread::current();
        eprintln!("skipped: {}: no `{missing}` in the path", test.name().unwrap_or_default());
    }
    missing.is_none()
}

/// Whether the kernel has links of this kind.
pub(crate) fn has_link_kind(kind: &str) -> bool {
    let add = ["--user", "--map-root-user", "--net", "ip", "link", "add", "probe0", "type", kind];
    Command::new("unshare").args(add).stderr(Stdio::null()).status().unwrap().success()
}

/// A shell script inside the machine.
pub(crate) fn script(machine: &Machine, script: &str) {
    let output = machine.command("sh").args(["-euc", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", text(&output));
}

/// Runs a command with this on its standard input.
pub(crate) fn feed(mut command: Command, stdin: &str) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may answer without reading.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

/// What a command printed, for messages.
pub(crate) fn text(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{out}{err}", output.status)
}

/// The addresses of a device that a plugin gave it, as `ip addr show` has them.
pub(crate) fn addresses(link: &Value) -> Vec<String> {
    let all = link["addr_info"].as_array().unwrap();
    let address = |a: &Value| format!("{}/{}", a["local"].as_str().unwrap(), a["prefixlen"]);
    all.iter().filter(|a| a["scope"] == "global").map(address).collect()
}

/// A bridge with addresses from these subnets.
pub(crate) fn bridge(subnets: &[&str]) -> Value {
    let ranges: Vec<_> = subnets.iter().map(|subnet| json!([{ "subnet": subnet }])).collect();
    json!({ "type": "bridge", "bridge": "br0", "isGateway": true, "ipam": { "type": "host-local", "ranges": ranges } })
}
