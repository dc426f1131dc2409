//! `list`, `plugins`, `inspect`, `which`, `validate` and `gc`.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use serde_json::{Value, json};

use crate::{
    machine::{Machine, PROGRAM, bridge, installed, text},
    outside::{importing_what_there_is_not, plugins},
};

#[test]
fn attachments_are_listed_and_stale_ones_collected() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    for name in ["c1", "c2"] {
        let netns = machine.netns(name);
        let output = machine.wasm_cni(&["add", &network, &netns, "--container-id", name]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    assert!(machine.command("ip").args(["netns", "del", "c2"]).status().unwrap().success());
    let list = || machine.wasm_cni(&["list", "-o", "json"]).output().unwrap();
    let all: Value = serde_json::from_slice(&list().stdout).unwrap();
    let facts = |i: usize| (&all[i]["containerId"], &all[i]["alive"], &all[i]["addresses"]);
    assert_eq!(facts(0), (&json!("c1"), &json!(true), &json!(["10.1.0.2/24"])));
    assert_eq!(facts(1), (&json!("c2"), &json!(false), &json!(["10.1.0.3/24"])));
    let table = machine.wasm_cni(&["list"]).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    let line = table.lines().find(|line| line.contains("c2")).unwrap_or_else(|| panic!("{table}"));
    assert!(line.contains("stale") && line.contains("10.1.0.3/24"), "{table}");

    let output = machine.wasm_cni(&["gc", &network, "--keep-alive"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(machine.leases("n1"), ["10.1.0.2"]);
    let left: Value = serde_json::from_slice(&list().stdout).unwrap();
    assert_eq!(left.as_array().unwrap().len(), 1);
}

/// As libcni wrote entries until its version 1.2, that of containerd 1.6 and
/// Podman 4.
#[test]
fn a_cache_entry_without_a_namespace_is_not_stale_for_that() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    for name in ["c1", "c2", "c3"] {
        let netns = machine.netns(name);
        let output = machine.wasm_cni(&["add", &network, &netns, "--container-id", name]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let path = machine.root().join(format!("var/lib/cni/results/n1-{name}-eth0"));
        let mut entry: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        entry.as_object_mut().unwrap().remove("netns");
        if name == "c3" {
            entry["result"]["interfaces"] = json!([]);
        }
        fs::write(&path, entry.to_string()).unwrap();
    }
    assert!(machine.command("ip").args(["netns", "del", "c2"]).status().unwrap().success());
    let list = machine.wasm_cni(&["list", "-o", "json"]).output().unwrap();
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    let alive: Vec<_> = list.as_array().unwrap().iter().map(|cached| &cached["alive"]).collect();
    assert_eq!(alive, [&json!(true), &json!(false), &Value::Null]);
    let output = machine.wasm_cni(&["gc", &network, "--keep-alive"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(machine.leases("n1"), ["10.1.0.2", "10.1.0.4"]);
    assert_eq!(machine.devices("-n c1 "), ["lo", "eth0"]);
}

#[test]
fn plugins_say_where_they_come_from() {
    let machine = Machine::new();
    let folder = machine.folder().join("plugins");
    fs::create_dir(&folder).unwrap();
    for name in ["bridge", "portmap", "readme"] {
        fs::write(folder.join(name), "#!/bin/sh\n").unwrap();
    }
    for name in ["bridge", "portmap"] {
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let plugins = |more: &[&str]| {
        let mut command = machine.wasm_cni(&["plugins", "-o", "json"]);
        let output = command.args(more).env("CNI_PATH", &folder).output().unwrap();
        let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
        all.into_iter()
            .map(|plugin| (plugin["type"].as_str().unwrap().to_owned(), plugin["used"].clone()))
            .collect::<Vec<_>>()
    };
    let all = plugins(&[]);
    let kinds: Vec<_> = all.iter().map(|(kind, _)| kind.as_str()).collect();
    let expected =
        ["bridge", "dummy", "host-device", "host-local", "loopback", "macvlan", "portmap", "ptp", "sbr", "static"];
    assert_eq!(kinds, expected);
    assert!(all[0].1["kind"] == "bundled" && all[0].1["sha256"].as_str().unwrap().len() == 64, "{all:?}");
    assert_eq!(all[6].1, json!({ "kind": "native", "path": folder.join("portmap") }));
    assert_eq!(plugins(&["--prefer-native"])[0].1, json!({ "kind": "native", "path": folder.join("bridge") }));
}

#[test]
fn which_explains_the_choice() {
    let machine = Machine::new();
    let write = |file: &str, text: &str| fs::write(machine.conf_dir().join(file), text).unwrap();
    write("00-a.conf", r#"{"name":"x","cniVersion":"1.0.0","type":"bridge"}"#);
    write("10-broken.conflist", "{");
    write("20-b.conflist", r#"{"name":"x","cniVersion":"1.0.0","plugins":[{"type":"bridge"},{"type":"nope"}]}"#);
    let output = machine.wasm_cni(&["which", "x"]).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].contains("10-broken.conflist: skipped: "), "{out}");
    assert!(lines[1].contains("20-b.conflist: used: "), "{out}");
    assert!(lines[2].contains("00-a.conf: shadowed: "), "{out}");
    assert!(lines[3].contains("bridge: bundled"), "{out}");
    assert!(lines[4].contains("nope: missing: "), "{out}");
    let output = machine.wasm_cni(&["which", "x", "-o", "json"]).output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdicts: Vec<_> = json["files"].as_array().unwrap().iter().map(|file| &file["verdict"]).collect();
    assert_eq!(verdicts, ["skipped", "used", "shadowed"]);
    assert!(json["plugins"][1]["missing"].as_str().unwrap().contains("in path [/opt/cni/bin]"), "{json}");
}

/// What a command prints on a terminal.
fn on_a_terminal(machine: &Machine, arguments: &str, variables: &[(&str, &str)]) -> String {
    let mut command = machine.command("script");
    command.args(["-qec", &format!("{PROGRAM} {arguments}"), "/dev/null"]);
    let output = command.env("TERM", "xterm").env_remove("NO_COLOR").envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap().replace('\r', "")
}

#[test]
fn status_is_silent_but_on_a_terminal_or_as_json() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let output = machine.wasm_cni(&["status", &network]).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{}", text(&output));
    let json = |network: &str| {
        let output = machine.wasm_cni(&["status", network, "-o", "json"]).output().unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
        (json, output.status.code())
    };
    let (ready, status) = json(&network);
    assert_eq!((&ready["network"], &ready["ready"], status), (&json!("n1"), &json!(true), Some(0)));
    machine.network("broken", json!({ "type": "nope" }));
    let (broken, status) = json("broken");
    assert_eq!((&broken["ready"], status), (&json!(false), Some(1)));
    assert!(broken["error"].as_str().is_some_and(|text| text.contains("in path [/opt/cni/bin]")), "{broken}");
    if installed(&["script"]) {
        let said = on_a_terminal(&machine, "status n1", &[("NO_COLOR", "1")]);
        assert_eq!(said, "network n1 is ready: bridge\n");
    }
}

#[test]
fn colours_are_for_terminals_without_no_color() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let netns = machine.netns("c1");
    machine.add(&network, &netns);
    if !installed(&["script"]) {
        return;
    }
    let coloured = on_a_terminal(&machine, "list", &[]);
    assert!(coloured.contains("\u{1b}[32malive\u{1b}[0m"), "{coloured:?}");
    let plain = on_a_terminal(&machine, "list", &[("NO_COLOR", "1")]);
    assert!(plain.contains("alive") && !plain.contains('\u{1b}'), "{plain:?}");
    let piped = machine.wasm_cni(&["list"]).env("TERM", "xterm").output().unwrap();
    assert_eq!(String::from_utf8(piped.stdout).unwrap(), plain);
}

#[test]
fn validate_finds_every_mistake_with_its_place() {
    let machine = Machine::new();
    let write = |file: &str, text: &str| fs::write(machine.conf_dir().join(file), text).unwrap();
    write("10-good.conflist", r#"{"name":"good","cniVersion":"1.0.0","plugins":[{"type":"bridge"}]}"#);
    let check = || machine.wasm_cni(&["validate"]).output().unwrap();
    assert!(check().status.success(), "{}", text(&check()));

    write("20-syntax.conflist", "{\n  \"name\": \"a\",\n  \"plugins\": [}\n");
    let many = "{\n  \"name\": \"a b\",\n  \"cniVersion\": \"9.9\",\n  \"disableCheck\": 3,\n  \"plugins\": [\n    {},\n    \
                {\"type\": \"nope\", \"ipam\": {\"type\": \"../x\"}, \"capabilities\": {\"mac\": 1}}\n  ]\n}\n";
    write("30-many.conflist", many);
    write("40-twice.conf", r#"{"name":"good","cniVersion":"1.0.0","type":"bridge"}"#);
    let output = check();
    assert_eq!(output.status.code(), Some(1));
    let out = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "20-syntax.conflist:3:15: ",
        "30-many.conflist:2:11: a network's name",
        "30-many.conflist:3:17: version \"9.9\"",
        "30-many.conflist:4:19: `disableCheck`",
        "30-many.conflist:6:5: `type` is missing",
        "30-many.conflist:7:14: ",
        "30-many.conflist:7:39: invalid plugin name: ../x",
        "30-many.conflist:7:72: capability `mac`",
        "40-twice.conf:1:1: network \"good\" is in ",
    ] {
        assert!(out.contains(expected), "{expected:?} is not in\n{out}");
    }
    assert_eq!(out.lines().count(), 9, "{out}");
}

#[test]
fn validate_has_every_plugin_judge_its_own_settings() {
    let machine = Machine::new();
    let list = "{\n  \"name\": \"a\",\n  \"cniVersion\": \"1.0.0\",\n  \"plugins\": [{\n    \"type\": \"bridge\",\n    \
                \"isGatway\": true,\n    \"isGateway\": \"yes\",\n    \"vlan\": 5000,\n    \
                \"bridge\": \"a-name-of-21-characte\",\n    \"ipam\": {\n      \"type\": \"host-local\",\n      \
                \"ranges\": [[{\"subnet\": \"10.0.0.0/33\"}], [{\"subnet\": \"10.2.0.0/16\", \"gateway\": \"10.71.0.300\"}]]\n    \
                }\n  }]\n}\n";
    fs::write(machine.conf_dir().join("10-a.conflist"), list).unwrap();
    let output = machine.wasm_cni(&["validate"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let out = String::from_utf8(output.stdout).unwrap();
    for (place, words) in [
        (":6:17: warning: ", "isGateway"),
        (":7:18: ", "isGateway"),
        (":8:13: ", "5000"),
        (":9:15: ", "bridge"),
        (":12:30: ", "10.0.0.0/33"),
        (":12:85: ", "10.71.0.300"),
    ] {
        assert!(
            out.lines().any(|line| line.contains(place) && line.contains(words)),
            "{place} {words} is not in\n{out}"
        );
    }
    let output = machine.wasm_cni(&["validate", "--output", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), out.lines().count());
    assert!(found.iter().any(|finding| finding["line"] == 8 && finding["harmless"] == false), "{found:?}");
    assert!(found.iter().any(|finding| finding["line"] == 6 && finding["harmless"] == true), "{found:?}");
}

/// `inspect -o json`, and its exit status.
fn inspect(machine: &Machine, arguments: &[&str]) -> (Value, Option<i32>) {
    let mut command = machine.wasm_cni(&["inspect", "-o", "json"]);
    let output = command.args(arguments).env("CNI_PATH", plugins()).output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    (json, output.status.code())
}

fn names(interfaces: &Value) -> Vec<&str> {
    interfaces.as_array().unwrap().iter().map(|interface| interface["name"].as_str().unwrap()).collect()
}

fn says(list: &Value, words: &str) -> bool {
    list.as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains(words))
}

#[test]
fn inspect_shows_what_a_bundled_plugin_can_do() {
    let machine = Machine::new();
    let (bridge, status) = inspect(&machine, &["bridge"]);
    assert_eq!((status, &bridge["runs"], &bridge["world"]), (Some(0), &json!(true), &json!("interface-plugin")));
    assert!(bridge["size"].as_u64().unwrap() > 10_000 && bridge["sha256"].as_str().unwrap().len() == 64, "{bridge}");
    assert!(bridge["source"]["kind"] == "bundled", "{bridge}");
    assert_eq!(names(&bridge["exports"]), ["wasm-cni:plugin/plugin@0.1.0"]);
    assert!(names(&bridge["imports"]).contains(&"wasm-cni:filter/masquerade@0.1.0"), "{bridge}");
    let net = bridge["imports"].as_array().unwrap().iter().find(|i| i["name"] == "wasm-cni:net/net@0.1.0").unwrap();
    assert!(net["offered"] == true && net["functions"].as_array().unwrap().contains(&json!("commit")), "{net}");
    let (can, cannot) = (&bridge["can"], &bridge["cannot"]);
    assert!(says(can, "for ports and gateways, on bridges") && says(can, "net/ipv4/ip_forward"), "{can}");
    assert!(says(can, "masqueraded") && says(can, "delegate to the IPAM plugin"), "{can}");
    assert!(says(cannot, "see files, sockets, processes") && says(cannot, "move links"), "{cannot}");

    // What it shares a component with has no part in its grants.
    let (ptp, _) = inspect(&machine, &["ptp"]);
    assert_eq!((&ptp["sha256"], &ptp["imports"]), (&bridge["sha256"], &bridge["imports"]));
    assert_eq!(bridge["sharedWith"], json!(["ptp"]));
    assert!(says(&ptp["can"], "masqueraded") && says(&ptp["cannot"], "source of its own container's frames"), "{ptp}");
    let [(dummy, _), (macvlan, _)] = ["dummy", "macvlan"].map(|kind| inspect(&machine, &[kind]));
    assert_eq!((&dummy["sha256"], &dummy["imports"]), (&macvlan["sha256"], &macvlan["imports"]));
    assert!(says(&dummy["sharedWith"], "macvlan") && !says(&dummy["sharedWith"], "dummy"), "{dummy}");
    assert!(says(&dummy["can"], "make dummy devices") && says(&dummy["cannot"], "make macvlan links"), "{dummy}");
    assert!(says(&dummy["cannot"], "reach the host's namespace") && says(&dummy["cannot"], "hardware"), "{dummy}");
    let (loopback, _) = inspect(&machine, &["loopback"]);
    assert_eq!(loopback["sharedWith"], json!([]));
    assert_eq!(names(&loopback["imports"]), ["wasm-cni:net/net@0.1.0", "wasm-cni:system/log@0.1.0"]);

    let (ipam, _) = inspect(&machine, &["host-local"]);
    assert_eq!((&ipam["world"], &ipam["sharedWith"]), (&json!("ipam-plugin"), &json!(["static"])));
    assert!(says(&ipam["can"], "keep entries of its own network"), "{ipam}");
    assert!(says(&ipam["cannot"], "see a network namespace"), "{ipam}");

    let output = machine.wasm_cni(&["inspect", "bridge"]).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    for expected in
        ["bridge: bundled\n", "\n  sha256  ", "\nimports:\n", "\ncan:\n", "\ncannot:\n", "  wasm-cni:net/net@0.1.0: "]
    {
        assert!(out.contains(expected), "{expected:?} is not in\n{out}");
    }
    assert!(!out.contains("will not run"), "{out}");
}

#[test]
fn inspect_shows_what_a_third_party_plugin_could_do() {
    let machine = Machine::new();
    let (hostile, status) = inspect(&machine, &["hostile"]);
    let file = plugins().join("hostile.wasm");
    assert_eq!((status, &hostile["runs"]), (Some(0), &json!(true)));
    assert_eq!(hostile["source"], json!({ "kind": "component", "path": file }));
    assert_eq!(hostile["size"], fs::metadata(&file).unwrap().len());
    assert!(says(&hostile["cannot"], "reach the host's namespace"), "{hostile}");
    let (allowed, _) = inspect(&machine, &["hostile", "--allow-host", "hostile"]);
    assert!(says(&allowed["can"], "see the host's namespace"), "{allowed}");
    assert!(says(&allowed["cannot"], "move links"), "{allowed}");

    // By its path, also where nobody would look for it, and compiled.
    let path = machine.folder().join("mine.wasm");
    fs::copy(&file, &path).unwrap();
    let (mine, _) = inspect(&machine, &[path.to_str().unwrap()]);
    assert_eq!(
        (&mine["type"], &mine["sha256"], &mine["imports"]),
        (&json!("mine"), &hostile["sha256"], &hostile["imports"])
    );
    let compiled = machine.folder().join("mine.cwasm");
    let compiler = std::path::Path::new(PROGRAM).with_file_name("wasm-cni-compile");
    assert!(Command::new(compiler).arg(&file).arg(&compiled).status().unwrap().success());
    let (ahead, _) = inspect(&machine, &[compiled.to_str().unwrap()]);
    assert_eq!((&ahead["imports"], &ahead["exports"]), (&hostile["imports"], &hostile["exports"]));

    let output = machine.wasm_cni(&["inspect", "hostile"]).env("CNI_PATH", plugins()).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.starts_with(&format!("hostile: component {}\n", file.display())), "{out}");
}

#[test]
fn inspect_names_the_import_that_keeps_a_plugin_from_running() {
    let machine = Machine::new();
    let path = machine.folder().join("other.wasm");
    fs::write(&path, importing_what_there_is_not()).unwrap();
    let (other, status) = inspect(&machine, &[path.to_str().unwrap()]);
    assert_eq!((status, &other["runs"], &other["can"]), (Some(1), &json!(false), &json!([])));
    assert_eq!(other["refused"], "the host offers no wasm-cni:net/nat@0.1.0 to an interface-plugin");
    let missing = other["imports"].as_array().unwrap().iter().filter(|import| import["offered"] == false);
    let missing: Vec<_> = missing.map(|import| import["name"].as_str().unwrap()).collect();
    assert_eq!(missing, ["wasm-cni:net/nat@0.1.0"]);

    fs::write(machine.folder().join("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let (module, status) = inspect(&machine, &[machine.folder().join("module.wasm").to_str().unwrap()]);
    assert_eq!(status, Some(1));
    assert!(module["refused"].as_str().unwrap().contains("exports neither"), "{module}");

    let output = machine.wasm_cni(&["inspect", "nope"]).output().unwrap();
    assert!(
        text(&output).contains("Error: failed to find plugin \"nope\" in path [/opt/cni/bin]\nhint: "),
        "{}",
        text(&output)
    );
}
