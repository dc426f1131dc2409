//! Checks of the contract's core section, by their numbers, through the program
//! itself: as `cnitool`, as `loopback`, and with native plugins that are shell
//! scripts. The checks that are not here are unit tests of the library.

mod plugin;
mod runtime;

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Output};

use serde_json::{Value, json};

use crate::machine::{Machine, PROGRAM, text};

fn call<'a>(command: &'a str, netns: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", netns),
        ("CNI_IFNAME", "lo"),
        ("CNI_PATH", "/p"),
    ]
}

fn printed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(output)))
}

/// A machine with the program as `cnitool`, and a folder of plugins that are
/// scripts.
struct Tool {
    machine: Machine,
}

impl Tool {
    fn new() -> Self {
        let machine = Machine::new();
        fs::create_dir(machine.folder().join("plugins")).unwrap();
        std::os::unix::fs::symlink(PROGRAM, machine.folder().join("cnitool")).unwrap();
        Self { machine }
    }

    fn plugins(&self) -> PathBuf {
        self.machine.folder().join("plugins")
    }

    /// A plugin that keeps its environment and standard input, and then does this.
    fn script(&self, kind: &str, then: &str) {
        let log = self.machine.folder().join(format!("{kind}.log"));
        let log = log.display();
        let script = format!("#!/bin/sh\nenv | grep ^CNI_ | sort >>{log}\ncat >>{log}\necho >>{log}\n{then}\n");
        let path = self.plugins().join(kind);
        fs::write(&path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn log(&self, kind: &str) -> String {
        fs::read_to_string(self.machine.folder().join(format!("{kind}.log"))).unwrap_or_default()
    }

    /// The configurations that a plugin got.
    fn stdins(&self, kind: &str) -> Vec<Value> {
        self.log(kind).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn network(&self, version: &str, kinds: &[&str]) {
        let plugins: Vec<_> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
        let list = json!({ "name": "net", "cniVersion": version, "plugins": plugins });
        fs::write(self.machine.conf_dir().join("net.conflist"), list.to_string()).unwrap();
    }

    fn run(&self, arguments: &[&str], env: &[(&str, &str)]) -> Output {
        let mut command = self.machine.command(self.machine.folder().join("cnitool"));
        command.args(arguments).env("CNI_PATH", self.plugins()).envs(env.iter().copied());
        command.output().unwrap()
    }

    /// The last line of standard error, of a call that failed and printed nothing.
    fn failure(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{}", text(&output));
        let stderr = String::from_utf8(output.stderr).unwrap();
        let last = stderr.lines().last().unwrap().to_owned();
        assert!(stderr.starts_with(&format!("Error: {last}\n")), "{stderr}");
        last
    }
}
