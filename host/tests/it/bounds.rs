//! What others do must not hold up a call, nor what a call has started outlive it; and what it makes has its mode.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use nix::fcntl::{Flock, FlockArg};
use serde_json::json;

use crate::machine::{Machine, PROGRAM, bridge, script, text};

/// Longer than any machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn executable(machine: &Machine, name: &str, lines: &str) -> String {
    let path = machine.folder().join(name);
    script(machine, &format!("cat >{0} <<'END'\n#!/bin/sh\n{lines}\nEND\nchmod 755 {0}", path.display()));
    path.display().to_string()
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn files_have_their_mode_whatever_the_umask() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    for umask in ["0777", "0000"] {
        let mut command = machine.command("sh");
        command.args(["-euc", &format!("umask {umask}; exec {PROGRAM} add {network} {netns}")]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{umask}: {}", text(&output));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let lib = machine.root().join("var/lib/cni");
        assert_eq!(mode(&lib.join("networks/n1")), 0o755, "{umask}");
        assert_eq!(mode(&lib.join("networks/n1/lock")), 0o750, "{umask}");
        assert_eq!(mode(&lib.join("networks/n1/10.1.0.2")), 0o600, "{umask}");
        let result = fs::read_dir(lib.join("results")).unwrap().next().unwrap().unwrap().path();
        assert_eq!((mode(&lib.join("results")), mode(&result)), (0o700, 0o600), "{umask}");
        let records = fs::read_dir(machine.root().join("run/wasm-cni/attachments")).unwrap().next().unwrap().unwrap();
        let record = fs::read_dir(records.path()).unwrap().next().unwrap().unwrap().path();
        assert_eq!((mode(&records.path()), mode(&record)), (0o700, 0o600), "{umask}");
        machine.del(&network, &netns);
        fs::remove_dir_all(machine.root()).unwrap();
    }
}

#[test]
fn a_native_plugin_ends_with_the_process_that_called_it() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let pid = machine.folder().join("pid");
    executable(
        &machine,
        "sleeps",
        &format!("cat >/dev/null; echo $$ >{0}.new; mv {0}.new {0}; exec sleep 1000", pid.display()),
    );
    let network = machine.network("n1", json!({ "type": "sleeps" }));
    let mut command = machine.wasm_cni(&["add", &network, &netns]);
    let mut child = command.env("CNI_PATH", machine.folder()).stdout(Stdio::null()).spawn().unwrap();
    wait_until("the plugin is called", || pid.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let of = fs::read_to_string(&pid).unwrap();
    // A zombie has no command line.
    let is_running = || fs::read(format!("/proc/{}/cmdline", of.trim())).is_ok_and(|line| !line.is_empty());
    wait_until("the plugin is killed, too", || !is_running());
}

#[test]
fn compiling_has_the_time_of_a_call_and_is_not_tried_again_at_once() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let tried = machine.folder().join("tried");
    let compiler = executable(&machine, "compiler", &format!("echo >>{}; exec sleep 1000", tried.display()));
    fs::write(machine.folder().join("slow.wasm"), "a component").unwrap();
    let network = machine.network("n1", json!({ "type": "slow" }));
    let run = |command: &str, seconds: &str| {
        let mut command = machine.wasm_cni(&[command, &network, &netns, "--timeout", seconds]);
        command.env("CNI_PATH", machine.folder()).env("WASM_CNI_COMPILER", &compiler).output().unwrap()
    };
    let begin = Instant::now();
    for command in ["add", "add", "del"] {
        let output = run(command, "1");
        let text = text(&output);
        assert!(!output.status.success() && text.contains("it was not compiled within 6s"), "{command}: {text}");
    }
    assert!(begin.elapsed() < PATIENCE);
    let times = || fs::read_to_string(&tried).unwrap().lines().count();
    assert_eq!(times(), 1);
    // With more time it may be another matter.
    run("add", "7");
    assert_eq!(times(), 2);
}

#[test]
fn a_component_that_cannot_be_compiled_is_tried_once() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let tried = machine.folder().join("tried");
    let lines = format!("cat >/dev/null; echo >>{}; echo no component >&2; exit 1", tried.display());
    let compiler = executable(&machine, "compiler", &lines);
    let wasm = machine.folder().join("bad.wasm");
    fs::write(&wasm, "one").unwrap();
    let network = machine.network("n1", json!({ "type": "bad" }));
    let add = || {
        let mut command = machine.wasm_cni(&["add", &network, &netns]);
        let output = command.env("CNI_PATH", machine.folder()).env("WASM_CNI_COMPILER", &compiler).output().unwrap();
        assert!(!output.status.success() && text(&output).contains("no component"), "{}", text(&output));
        fs::read_to_string(&tried).unwrap().lines().count()
    };
    assert_eq!([add(), add()], [1, 1]);
    // Another file is another matter.
    fs::write(&wasm, "other").unwrap();
    assert_eq!(add(), 2);
}

#[test]
fn nobody_s_lock_of_the_namespace_holds_up_an_add() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    // Held until its standard input ends.
    let mut holder = machine.command("flock");
    let mut holder = holder.args(["-x", "/proc/self/ns/net", "sh", "-c", "echo held; cat"]);
    holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    let mut line = [0; 5];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut line).unwrap();
    assert_eq!(&line, b"held\n");
    let list = json!({ "cniVersion": "1.0.0", "name": "bad", "plugins": [bridge(&["10.3.0.0/24"]), { "type": "bridge" , "vlan": 5000 }] });
    fs::write(machine.conf_dir().join("bad.conflist"), list.to_string()).unwrap();
    let failed = machine.wasm_cni(&["add", "bad", &netns]).output().unwrap();
    assert!(!failed.status.success());
    assert_eq!(machine.devices(""), ["lo"], "the failed ADD has removed its bridge");
    machine.add(&network, &netns);
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

#[test]
fn nobody_s_lock_of_a_plugin_directory_holds_up_an_install() {
    let machine = Machine::new();
    let directory = machine.folder().join("bin");
    fs::create_dir(&directory).unwrap();
    let _held = Flock::lock(fs::File::open(&directory).unwrap(), FlockArg::LockExclusive).unwrap();
    for command in ["install", "uninstall"] {
        let output = machine.wasm_cni(&[command]).arg(&directory).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let hidden = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name());
        let hidden: Vec<_> = hidden.filter(|name| name.as_encoded_bytes().starts_with(b".")).collect();
        assert!(hidden.is_empty(), "{hidden:?}");
    }
}

#[test]
fn iptables_has_the_time_of_the_call() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let bin = machine.folder().join("bin");
    fs::create_dir(&bin).unwrap();
    for program in ["iptables", "iptables-restore", "ip6tables-restore"] {
        executable(&machine, &format!("bin/{program}"), "exec sleep 1000");
    }
    let mut plugin = bridge(&["10.1.0.0/24"]);
    plugin["ipMasq"] = true.into();
    plugin["ipMasqBackend"] = "iptables".into();
    let network = machine.network("n1", plugin);
    let mut command = machine.wasm_cni(&["add", &network, &netns, "--timeout", "1"]);
    let output = command.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).output().unwrap();
    let in_time = ["it ran longer than 1 s", "timed out"].iter().any(|why| text(&output).contains(why));
    assert!(!output.status.success() && in_time, "{}", text(&output));
    assert_eq!((machine.devices(""), machine.leases("n1").len()), (vec!["lo".to_owned()], 0));
}
