//! `--trace` and WASM_CNI_TRACE: what goes on it, what does not, and what a guest
//! can make of it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    machine::{Machine, bridge, installed, text},
    outside::plugins,
};

/// The lines of a trace, each of which is an object.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// In short: `bridge begin ADD`, `bridge call net.commit`.
fn short(line: &Value) -> String {
    let what = ["function", "command", "program", "effect"].iter().find_map(|key| line[*key].as_str());
    format!("{} {} {}", line["plugin"].as_str().unwrap(), line["event"].as_str().unwrap(), what.unwrap())
}

/// `earlier` comes before `later`.
fn in_order(lines: &[Value], expected: &[&str]) {
    let all: Vec<_> = lines.iter().map(short).collect();
    let mut rest = all.iter();
    for expected in expected {
        assert!(rest.any(|line| line == expected), "no {expected:?}, or not there, in {all:#?}");
    }
}

fn call<'a>(lines: &'a [Value], function: &str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["function"] == function)
}

/// Every operation of this kind.
fn operations<'a>(lines: &'a [Value], kind: &'a str) -> Vec<&'a Value> {
    let all = call(lines, "net.commit").flat_map(|line| line["arguments"]["ops"].as_array().unwrap());
    all.filter(|op| op.get(kind).is_some()).collect()
}

fn file(machine: &Machine) -> PathBuf {
    machine.folder().join("trace.jsonl")
}

fn run(machine: &Machine, command: &str, network: &str, netns: &str) -> String {
    let trace = file(machine);
    let arguments = [command, network, netns, "--container-id", "c1", "--trace", trace.to_str().unwrap()];
    let output = machine.wasm_cni(&arguments).env("SECRET", "hush").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn add_and_del_are_traced_call_by_call() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let netns = machine.netns("c1");
    run(&machine, "add", &network, &netns);
    let added = lines(&file(&machine));
    in_order(
        &added,
        &[
            "bridge begin ADD",
            "bridge call net.commit",
            "host-local begin ADD",
            "host-local call store.begin",
            "host-local call store.apply",
            "host-local end ADD",
            "bridge call delegate.add",
            "bridge call net.commit",
            "bridge end ADD",
        ],
    );
    for line in &added {
        assert_eq!((&line["container"], &line["network"]), (&json!("c1"), &json!("n1")), "{line}");
        assert_eq!(line["depth"], u32::from(line["plugin"] == "host-local"), "{line}");
        assert!(line["event"] != "end" || line["result"] == "ok", "{line}");
        assert_eq!(line["microseconds"].is_u64(), line["event"] != "begin", "{line}");
        let time = line["time"].as_str().unwrap();
        assert!(time.len() == 27 && time.starts_with("20") && time.ends_with('Z'), "{line}");
    }
    let missing = call(&added, "net.read").find(|line| line["arguments"]["what"]["link"] == "br0").unwrap();
    assert_eq!((&missing["error"]["code"], &missing["error"]["errno"]), (&json!("not-found"), &json!(19)), "{missing}");
    let delegated = call(&added, "delegate.add").next().unwrap();
    assert_eq!(delegated["arguments"], json!({ "plugin": "host-local" }));
    assert_eq!(delegated["result"]["ips"], json!([{ "address": "10.1.0.2/24", "gateway": "10.1.0.1" }]));
    let addresses: Vec<_> =
        operations(&added, "addr-add").iter().map(|op| (&op["ns"], &op["addr-add"]["ip"])).collect();
    assert!(addresses.contains(&(&json!("sandbox"), &json!("10.1.0.2/24"))), "{addresses:?}");
    assert!(addresses.contains(&(&json!("host"), &json!("10.1.0.1/24"))), "{addresses:?}");
    let links = operations(&added, "link-add");
    assert!(links.iter().any(|op| op["link-add"]["kind"] == "bridge" && op["link-add"]["name"] == "br0"), "{links:?}");
    assert!(links.iter().any(|op| op["link-add"]["kind"] == "veth"), "{links:?}");
    let sysctls = operations(&added, "sysctl-set");
    assert!(sysctls.iter().any(|op| op["sysctl-set"]["key"] == "net/ipv4/ip_forward"), "{sysctls:?}");
    let changes = call(&added, "store.apply").flat_map(|line| line["arguments"]["changes"].as_array().unwrap());
    let changes: Vec<_> = changes.collect();
    assert!(changes.iter().any(|change| change["create"]["key"] == "10.1.0.2"), "{changes:?}");

    run(&machine, "del", &network, &netns);
    let all = lines(&file(&machine));
    assert_eq!(all[..added.len()], added);
    in_order(&all[added.len()..], &["bridge begin DEL", "host-local call store.apply", "bridge end DEL"]);
    assert!(!fs::read_to_string(file(&machine)).unwrap().contains("hush"));
    assert_eq!(fs::metadata(file(&machine)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_failed_add_traces_what_was_undone() {
    let machine = Machine::new();
    let mut plugin = bridge(&["10.1.0.0/24"]);
    plugin["ipam"]["ranges"] = json!([[{ "subnet": "10.1.0.0/24" }], [{ "subnet": "10.1.0.0/24" }]]);
    let network = machine.network("n1", plugin);
    let netns = machine.netns("c1");
    let trace = file(&machine);
    let mut command = machine.wasm_cni(&["add", &network, &netns, "--trace", trace.to_str().unwrap()]);
    assert_eq!(command.output().unwrap().status.code(), Some(1));
    let lines = lines(&trace);
    in_order(&lines, &["host-local end ADD", "bridge call delegate.add", "bridge end ADD"]);
    let end = lines.iter().find(|line| short(line) == "bridge end ADD").unwrap();
    assert!(end["error"]["code"].is_u64() && end["error"]["msg"].is_string(), "{end}");
    let undone: Vec<_> = lines.iter().filter(|line| line["event"] == "undo").collect();
    assert!(undone.iter().any(|line| line["effect"] == "link \"br0\" in the host namespace"), "{undone:#?}");
    assert!(undone.iter().all(|line| line["result"] == "ok" && line["network"] == "n1"), "{undone:#?}");
}

#[test]
fn processes_are_traced_with_their_status() {
    let machine = Machine::new();
    let folder = machine.folder().join("plugins");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("mine");
    fs::write(&path, "#!/bin/sh\ncat >/dev/null\n[ $CNI_COMMAND = DEL ] || echo '{\"cniVersion\":\"1.1.0\"}'\n")
        .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let network = machine.network("n1", json!({ "type": "mine", "password": "hush" }));
    let netns = machine.netns("c1");
    let trace = file(&machine);
    let mut command = machine.wasm_cni(&["add", &network, &netns, "--trace", trace.to_str().unwrap()]);
    let output = command.env("CNI_PATH", &folder).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let lines = lines(&trace);
    let process = format!("mine process {}", path.display());
    in_order(&lines, &["mine begin ADD", &process, "mine end ADD"]);
    let process = lines.iter().find(|line| line["event"] == "process").unwrap();
    assert_eq!((&process["result"], &process["arguments"]), (&json!("exit status 0"), &json!([])));
    assert!(!fs::read_to_string(&trace).unwrap().contains("hush"));
}

#[test]
fn iptables_is_traced_with_its_arguments() {
    if !installed(&["iptables"]) {
        return;
    }
    let machine = Machine::new();
    let mut plugin = bridge(&["10.1.0.0/24"]);
    plugin["ipMasq"] = json!(true);
    plugin["ipMasqBackend"] = json!("iptables");
    let network = machine.network("n1", plugin);
    let netns = machine.netns("c1");
    run(&machine, "add", &network, &netns);
    let lines = lines(&file(&machine));
    let processes: Vec<_> = lines.iter().filter(|line| line["event"] == "process").collect();
    let restore = processes.iter().find(|line| line["program"].as_str().unwrap().ends_with("/iptables-restore"));
    let restore = restore.unwrap_or_else(|| panic!("{processes:?}"));
    assert_eq!((&restore["arguments"], &restore["plugin"]), (&json!(["--noflush", "--wait"]), &json!("bridge")));
    let masquerade = call(&lines, "masquerade.add").next().unwrap();
    let expected = json!({ "ns": "host", "addresses": ["10.1.0.2/24"], "backend": "iptables" });
    assert_eq!(masquerade["arguments"], expected);
}

#[test]
fn a_guest_can_neither_break_lines_nor_make_them_long() {
    for mode in ["bad-sysctl", "bad-names", "nonsense"] {
        let machine = Machine::new();
        let network = machine.network("n1", json!({ "type": "hostile", "mode": mode, "outside": "a\nb" }));
        let netns = machine.netns("c1");
        let trace = file(&machine);
        let trace = trace.to_str().unwrap();
        let mut command = machine.wasm_cni(&["add", &network, &netns, "--allow-host", "hostile", "--trace", trace]);
        let output = command.env("CNI_PATH", plugins()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        let plain = fs::read_to_string(trace).unwrap();
        let longest = plain.lines().map(str::len).max().unwrap();
        assert!(longest < 4096, "{mode}: a line of {longest} bytes");
        assert!(!plain.contains(|c: char| c.is_control() && c != '\n'), "{mode}");
        let lines = lines(Path::new(trace));
        if mode == "bad-sysctl" {
            // 64 KiB of it.
            assert!(plain.contains("1… (65536 bytes)"), "{plain}");
            assert!(call(&lines, "net.commit").all(|line| line["error"]["code"] != ""), "{plain}");
        }
        assert_eq!(lines.iter().filter(|line| line["event"] == "end").count(), 1, "{mode}");
    }
}

#[test]
fn endless_calls_end_in_the_trace_too() {
    let machine = Machine::new();
    let network = machine.network("n1", json!({ "type": "hostile", "mode": "call-flood" }));
    let netns = machine.netns("c1");
    let trace = file(&machine);
    let trace = trace.to_str().unwrap();
    let mut command = machine.wasm_cni(&["add", &network, &netns, "--allow-host", "hostile", "--trace", trace]);
    assert_eq!(command.env("CNI_PATH", plugins()).output().unwrap().status.code(), Some(1));
    let lines = lines(Path::new(trace));
    assert_eq!(call(&lines, "net.label").count(), 10_001);
    let last = call(&lines, "net.label").last().unwrap();
    assert_eq!(last["error"], json!({ "trap": "it made more than 10000 host calls" }));
    // What compiled it is on it too.
    assert!(lines.iter().any(|line| short(line).ends_with("wasm-cni-compile")));
}

#[test]
fn a_file_that_cannot_be_written_to_ends_the_command_before_it_does_anything() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let netns = machine.netns("c1");
    let link = machine.folder().join("link");
    symlink(machine.folder().join("elsewhere"), &link).unwrap();
    let folder = machine.folder().to_str().unwrap();
    for (path, why) in [
        ("/nonexistent/trace", "No such file or directory"),
        (folder, "Is a directory"),
        (link.to_str().unwrap(), "it is a symbolic link"),
        ("/dev/null", "not a regular file"),
    ] {
        for command in [["add", &network, &netns].as_slice(), &["plugins"]] {
            let output = machine.wasm_cni(command).args(["--trace", path]).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{}", text(&output));
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(error.contains(&format!("cannot write the trace to {path}: {why}")), "{error}");
        }
    }
    assert_eq!(machine.devices(""), ["lo"]);
    assert!(!machine.root().exists());
    assert!(!machine.folder().join("elsewhere").exists());
}

/// `bridge` as a runtime calls it.
fn plugin(machine: &Machine, trace: &str) -> std::process::Output {
    let netns = machine.netns("c1");
    let env = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", &netns),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/p"),
        ("WASM_CNI_TRACE", trace),
    ];
    let mut config = bridge(&["10.1.0.0/24"]);
    config.as_object_mut().unwrap().extend([("name".into(), "n1".into()), ("cniVersion".into(), "1.0.0".into())]);
    machine.plugin("bridge", &env, &config.to_string())
}

#[test]
fn a_plugin_under_its_own_name_takes_the_variable() {
    let machine = Machine::new();
    let trace = file(&machine);
    let output = plugin(&machine, trace.to_str().unwrap());
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output));
    in_order(&lines(&trace), &["bridge begin ADD", "host-local end ADD", "bridge end ADD"]);
}

#[test]
fn a_plugin_continues_if_the_trace_cannot_be_written() {
    let machine = Machine::new();
    let output = plugin(&machine, "/nonexistent/trace");
    assert!(output.status.success(), "{}", text(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["ips"][0]["address"], "10.1.0.2/24");
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(warning.starts_with("wasm-cni: warn network= container=c1 plugin=bridge: cannot write the trace to "));
    assert_eq!(warning.lines().count(), 1, "{warning}");
}

#[test]
fn there_is_no_trace_by_default() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let netns = machine.netns("c1");
    let before = fs::read_dir(machine.folder()).unwrap().count();
    let output = machine.wasm_cni(&["add", &network, &netns]).env("WASM_CNI_TRACE", "").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output));
    // State goes below the root.
    assert_eq!(fs::read_dir(machine.folder()).unwrap().count(), before + 1);
}
