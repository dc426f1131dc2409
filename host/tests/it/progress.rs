//! What is said to somebody who waits at a terminal, and to nobody else.

use std::process::Output;

use serde_json::json;

use crate::{
    machine::{Machine, PROGRAM, bridge, installed, text},
    outside::plugins,
};

/// A command at a terminal; script(1) gives what is written on it.
fn at_a_terminal(machine: &Machine, arguments: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = machine.command("script");
    command.args(["-qec", &format!("{PROGRAM} {arguments}"), "/dev/null"]).env("TERM", "xterm");
    command.env_remove("NO_COLOR").envs(variables.iter().copied()).output().unwrap()
}

/// What has been written over, piece by piece.
fn pieces(output: &Output) -> Vec<String> {
    let written = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(!written.contains('\u{1b}'), "codes: {written:?}");
    let pieces = written.split(['\r', '\n']).filter(|piece| !piece.trim().is_empty());
    pieces.map(str::to_owned).collect()
}

/// A network with this many attachments, all alive.
fn attached(count: usize) -> Machine {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    for number in 1..=count {
        let netns = machine.netns(&format!("c{number}"));
        let id = format!("c{number}");
        let output = machine.wasm_cni(&["add", &network, &netns, "--container-id", &id]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    machine
}

#[test]
fn gc_counts_what_it_detaches_and_leaves_an_empty_line() {
    if !installed(&["script"]) {
        return;
    }
    for variables in [&[][..], &[("NO_COLOR", "1")]] {
        let machine = attached(3);
        let output = at_a_terminal(&machine, "gc n1", variables);
        assert!(output.status.success(), "{}", text(&output));
        let expected = ["detaching 1 of 3: c1 eth0", "detaching 2 of 3: c2 eth0", "detaching 3 of 3: c3 eth0"];
        assert_eq!(pieces(&output), expected);
        assert!(output.stdout.ends_with(b" \r"), "{:?}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(machine.leases("n1"), [""; 0]);
    }
}

#[test]
fn no_progress_without_a_terminal_or_on_a_dumb_one() {
    let machine = attached(2);
    let output = machine.wasm_cni(&["gc", "n1", "--keep", "c2/eth0"]).env("TERM", "xterm").output().unwrap();
    assert_eq!(text(&output), "exit status: 0\n", "the first is alive and goes");
    assert_eq!(machine.leases("n1"), ["10.1.0.3"]);
    if installed(&["script"]) {
        let output = at_a_terminal(&machine, "gc n1", &[("TERM", "dumb")]);
        assert_eq!((text(&output), machine.leases("n1").len()), ("exit status: 0\n".to_owned(), 0));
    }
}

#[test]
fn a_plugin_is_named_while_it_is_compiled() {
    if !installed(&["script"]) {
        return;
    }
    let machine = Machine::new();
    machine.network("n1", json!({ "type": "hostile", "mode": "ok" }));
    let (netns, folder) = (machine.netns("c1"), plugins().display().to_string());
    let add = format!("add n1 {netns} --allow-host hostile");
    let output = at_a_terminal(&machine, &add, &[("CNI_PATH", &folder)]);
    assert!(output.status.success(), "{}", text(&output));
    let first = pieces(&output);
    assert_eq!((first[0].as_str(), first[1].as_str()), ("compiling plugin hostile ...", "{"));
    let output = at_a_terminal(&machine, &add, &[("CNI_PATH", &folder)]);
    assert_eq!(pieces(&output)[0], "{", "it has been compiled");

    // It is out of the way of an error too.
    std::fs::remove_dir_all(machine.root().join("var/cache/wasm-cni")).unwrap();
    let output = at_a_terminal(&machine, &add, &[("CNI_PATH", &folder), ("WASM_CNI_COMPILER", "/bin/false")]);
    let failed = pieces(&output);
    assert_eq!(failed[0], "compiling plugin hostile ...");
    assert!(failed[1].starts_with("Error: "), "{failed:?}");
}

#[test]
fn undone_effects_are_counted_and_then_listed() {
    if !installed(&["script"]) {
        return;
    }
    let machine = Machine::new();
    machine.network("n1", bridge(&["10.1.0.0/24"]));
    let netns = machine.netns("c1");
    let mut command = machine.wasm_cni(&["add", "n1", &netns, "--container-id", "c1"]);
    let killed = command.env("WASM_CNI_FAULT", "kill:5").output().unwrap();
    assert!(!killed.status.success(), "{}", text(&killed));
    let output = at_a_terminal(&machine, "recover", &[]);
    let said = pieces(&output);
    assert_eq!(said[0], "undoing 1 of 1: c1");
    assert_eq!(said[1], "network n1, container c1, interface eth0: undid");
}

#[test]
fn a_line_is_no_longer_than_the_terminal_is_wide() {
    if !installed(&["script", "stty"]) {
        return;
    }
    let machine = attached(1);
    let mut command = machine.command("script");
    command.args(["-qec", &format!("stty rows 10 columns 20; {PROGRAM} gc n1"), "/dev/null"]).env("TERM", "xterm");
    let output = command.output().unwrap();
    assert_eq!(pieces(&output), ["detaching 1 of 1: c"]);
}
