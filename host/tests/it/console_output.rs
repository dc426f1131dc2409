//! What commands print and how they end: pipes, narrow terminals, names and variables
//! that are wrong.

use std::{
    fs,
    io::Read as _,
    process::{Output, Stdio},
};

use serde_json::{Value, json};

use crate::machine::{Machine, PROGRAM, bridge, installed, text};

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A configuration that is used, one behind it, and one with a mistake.
fn three_files(machine: &Machine) {
    let write = |file: &str, text: &str| fs::write(machine.conf_dir().join(file), text).unwrap();
    write("10-lan.conflist", r#"{"name":"lan","cniVersion":"1.0.0","plugins":[{"type":"bridge"},{"type":"ptp"}]}"#);
    write("20-lan.conflist", r#"{"name":"lan","cniVersion":"1.0.0","plugins":[{"type":"bridge"}]}"#);
    write("30-broken.conflist", "{");
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let machine = Machine::new();
    machine.network("lan", bridge(&["10.1.0.0/24"]));
    for arguments in [&["doctor"][..], &["list"], &["plugins", "-o", "json"], &["completions", "bash"], &["man"]] {
        let mut child = machine.wasm_cni(arguments);
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn networks_lists_every_file_with_its_verdict() {
    let machine = Machine::new();
    three_files(&machine);
    let output = machine.wasm_cni(&["networks", "-o", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "one file is broken: {}", text(&output));
    let networks: Value = serde_json::from_slice(&output.stdout).unwrap();
    let facts = |i: usize| (&networks[i]["name"], &networks[i]["verdict"], &networks[i]["plugins"]);
    assert_eq!(facts(0), (&json!("lan"), &json!("used"), &json!(["bridge", "ptp"])));
    assert_eq!(facts(1), (&json!("lan"), &json!("shadowed"), &json!(["bridge"])));
    assert_eq!(facts(2), (&Value::Null, &json!("skipped"), &Value::Null));
    assert!(networks[2]["error"].is_string() && networks[2]["path"].is_string(), "{networks}");

    fs::remove_file(machine.conf_dir().join("30-broken.conflist")).unwrap();
    let table = out(&machine.wasm_cni(&["networks"]).output().unwrap());
    let line = table.lines().nth(1).unwrap();
    assert!(
        line.starts_with("lan      1.0.0    bridge, ptp  /") && line.ends_with("/10-lan.conflist  used"),
        "{table}"
    );
}

#[test]
fn which_takes_the_path_of_a_configuration() {
    let machine = Machine::new();
    three_files(&machine);
    let path = machine.conf_dir().join("20-lan.conflist");
    let lines = out(&machine.wasm_cni(&["which"]).arg(&path).output().unwrap());
    assert!(lines.starts_with(&format!("{}: used: the argument is its path\n", path.display())), "{lines}");
    assert!(lines.contains("\n  bridge: bundled (sha256:"), "{lines}");
    let json = out(&machine.wasm_cni(&["which", "-o", "json"]).arg(&path).output().unwrap());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["network"], &json["plugins"][0]["source"]["kind"]), (&json!("lan"), &json!("bundled")));
}

#[test]
fn list_knows_the_networks_without_attachments_and_no_others() {
    let machine = Machine::new();
    three_files(&machine);
    assert_eq!(out(&machine.wasm_cni(&["list", "lan"]).output().unwrap()).lines().count(), 1);
    let unknown = machine.wasm_cni(&["list", "nosuch"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown).contains("Error: no network \"nosuch\" in the result cache or in /"), "{}", text(&unknown));
}

#[test]
fn a_variable_with_a_wrong_value_is_an_error() {
    let machine = Machine::new();
    machine.network("lan", bridge(&["10.1.0.0/24"]));
    let with = |name: &str, value: &str| machine.wasm_cni(&["status", "lan"]).env(name, value).output().unwrap();
    for (name, value, expected) in [
        ("WASM_CNI_TIMEOUT", "abc", "1 to 3600 seconds"),
        ("WASM_CNI_TIMEOUT", "0", "1 to 3600 seconds"),
        ("WASM_CNI_PREFER_NATIVE", "yes", "0 or 1"),
    ] {
        let output = with(name, value);
        assert_eq!(output.status.code(), Some(1), "{name}={value}");
        let error = format!("Error: invalid {name} {value:?}: expected {expected}\n");
        assert_eq!(String::from_utf8_lossy(&output.stderr), error);
    }
    for (name, value) in [("WASM_CNI_TIMEOUT", "60"), ("WASM_CNI_TIMEOUT", ""), ("WASM_CNI_PREFER_NATIVE", "0")] {
        assert!(with(name, value).status.success(), "{name}={value}");
    }
    // As a plugin it answers as plugins do.
    let config = json!({ "cniVersion": "1.1.0", "name": "lan", "type": "bridge" }).to_string();
    let env = [("CNI_COMMAND", "STATUS"), ("CNI_PATH", "/p"), ("WASM_CNI_TIMEOUT", "abc")];
    let error: Value = serde_json::from_slice(&machine.plugin("bridge", &env, &config).stdout).unwrap();
    assert_eq!(error["code"], 4, "{error}");
}

#[test]
fn a_narrow_terminal_breaks_no_words() {
    if !installed(&["script"]) {
        return;
    }
    let machine = Machine::new();
    let netns = machine.netns("c1");
    machine.add(&machine.network("lan", bridge(&["10.1.0.0/24"])), &netns);
    for (command, records) in [("doctor", false), ("list", true)] {
        let mut script = machine.command("script");
        script.args(["-qec", &format!("stty rows 24 cols 60; {PROGRAM} {command}"), "/dev/null"]);
        let output = script.env("TERM", "dumb").env("NO_COLOR", "1").output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap().replace('\r', "");
        // Paths are longer than that.
        let breakable = |line: &&str| line.chars().count() > 60 && !line.contains('/');
        assert_eq!(shown.lines().find(breakable), None, "{shown}");
        assert_eq!(shown.contains("\nNAMESPACE  /run/netns/c1\n"), records, "{shown}");
    }
}

#[test]
fn the_example_of_a_policy_has_every_key() {
    let machine = Machine::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/policy.toml");
    assert!(machine.wasm_cni(&["inspect", "bridge", "--policy", example]).status().unwrap().success());
    let example = fs::read_to_string(example).unwrap();
    for section in ["[limits]", "[plugins.x]"] {
        let path = machine.folder().join("policy.toml");
        fs::write(&path, format!("{section}\nnosuch = 1\n")).unwrap();
        let output = machine.wasm_cni(&["inspect", "bridge", "--policy"]).arg(&path).output().unwrap();
        let error = text(&output);
        let (_, keys) = error.split_once("expected one of ").unwrap_or_else(|| panic!("{error}"));
        let keys: Vec<_> = keys.split('`').skip(1).step_by(2).collect();
        assert!(keys.len() > 7, "{error}");
        for key in keys {
            assert!(example.contains(&format!("\n{key} = ")), "{key} is not in the example");
        }
    }
}
