//! Called under a plugin's name, as a container runtime does.

use serde_json::{Value, json};

use crate::machine::{Machine, bridge, text};

fn env<'a>(command: &'a str, netns: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", netns),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/p"),
    ]
}

fn config(version: &str) -> String {
    let mut plugin = bridge(&["10.1.0.0/24"]);
    plugin["name"] = "n1".into();
    plugin["cniVersion"] = version.into();
    plugin.to_string()
}

#[test]
fn add_check_and_del() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let added = machine.plugin("bridge", &env("ADD", &netns), &config("1.0.0"));
    assert!(added.status.success(), "{}", text(&added));
    assert!(!added.stdout.ends_with(b"\n"), "results end without a newline");
    let result: Value = serde_json::from_slice(&added.stdout).unwrap();
    assert_eq!(result["ips"][0]["address"], "10.1.0.2/24");
    assert_eq!(result["interfaces"][2]["sandbox"], netns);

    let mut with_previous: Value = serde_json::from_str(&config("1.0.0")).unwrap();
    with_previous["prevResult"] = result;
    let check = machine.plugin("bridge", &env("CHECK", &netns), &with_previous.to_string());
    assert_eq!((check.status.code(), check.stdout.len()), (Some(0), 0), "{}", text(&check));

    for _ in 0..2 {
        let deleted = machine.plugin("bridge", &env("DEL", &netns), &config("1.0.0"));
        assert_eq!((deleted.status.code(), deleted.stdout.len()), (Some(0), 0), "{}", text(&deleted));
    }
    assert_eq!(machine.devices("-n c1 "), ["lo"]);
    assert_eq!(machine.leases("n1"), [""; 0]);
}

#[test]
fn errors_are_json_on_standard_output() {
    let machine = Machine::new();
    let output = machine.plugin("bridge", &env("ADD", "/nonexistent"), &config("1.0.0"));
    assert_eq!(output.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error["code"], 999);
    let text = "failed to open netns \"/nonexistent\": failed to Statfs \"/nonexistent\": no such file or directory";
    assert_eq!(error["msg"], text);
}

#[test]
fn core_18_and_19_the_own_namespace_is_refused_before_anything_is_done() {
    let machine = Machine::new();
    let own = "/proc/self/ns/net";
    let output = machine.plugin("bridge", &env("ADD", own), &config("1.0.0"));
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = "plugin's netns and netns from CNI_NETNS should not be the same";
    assert_eq!((&error["code"], &error["msg"]), (&json!(8), &json!(text)));
    assert_eq!(machine.devices(""), ["lo"]);
    let mut allowed = env("ADD", own);
    allowed.push(("CNI_NETNS_OVERRIDE", "tRuE"));
    let output = machine.plugin("bridge", &allowed, &config("1.0.0"));
    assert!(output.status.success(), "{}", crate::machine::text(&output));
    assert_eq!(machine.leases("n1"), ["10.1.0.2"]);
}

#[test]
fn core_22_a_previous_result_of_another_family() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let config =
        json!({ "name": "n1", "type": "bridge", "cniVersion": "1.0.0", "prevResult": { "cniVersion": "0.4.0" } });
    let output = machine.plugin("bridge", &env("CHECK", &netns), &config.to_string());
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error["code"], 999);
    let end = "result type supports [1.0.0 1.1.0] but unmarshalled CNIVersion is \"0.4.0\"";
    assert!(error["msg"].as_str().unwrap().ends_with(end), "{error}");
}

#[test]
fn host_local_alone_never_touches_the_namespace() {
    let machine = Machine::new();
    let ipam = json!({ "name": "n1", "cniVersion": "1.1.0", "type": "host-local",
        "ipam": { "type": "host-local", "subnet": "10.5.0.0/29" } });
    let call = |command: &str, id: &str| {
        let mut env = env(command, "/nonexistent/ns");
        env[1].1 = id;
        machine.plugin("host-local", &env, &ipam.to_string())
    };
    for (i, id) in ["a", "b", "c", "d", "e"].iter().enumerate() {
        let output = call("ADD", id);
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["ips"][0]["address"], format!("10.5.0.{}/29", i + 2), "{}", text(&output));
    }
    assert!(text(&call("ADD", "f")).contains("no IP addresses available in range set: 10.5.0.1-10.5.0.6"));
    for id in ["a", "b"] {
        assert!(call("CHECK", id).status.success());
        assert!(call("DEL", id).status.success());
        assert!(!call("CHECK", id).status.success());
    }
    let result: Value = serde_json::from_slice(&call("ADD", "g").stdout).unwrap();
    assert_eq!(result["ips"][0]["address"], "10.5.0.2/29");
}

#[test]
fn anything_with_a_leases_name_counts_as_a_lease() {
    let machine = Machine::new();
    let leases = machine.root().join("var/lib/cni/networks/n1");
    std::fs::create_dir_all(leases.join("10.1.0.2")).unwrap();
    std::os::unix::fs::symlink("/nonexistent", leases.join("10.1.0.3")).unwrap();
    let netns = machine.netns("c1");
    let added = machine.plugin("bridge", &env("ADD", &netns), &config("1.0.0"));
    let result: Value = serde_json::from_slice(&added.stdout).unwrap();
    assert_eq!(result["ips"][0]["address"], "10.1.0.4/24", "{}", text(&added));
}

#[test]
fn gc_releases_invalid_attachments() {
    let machine = Machine::new();
    let one = machine.netns("one");
    let two = machine.netns("two");
    let config = config("1.1.0");
    for (id, netns) in [("c1", &one), ("c2", &two)] {
        let mut env = env("ADD", netns);
        env[1].1 = id;
        assert!(machine.plugin("bridge", &env, &config).status.success());
    }
    assert_eq!(machine.leases("n1").len(), 2);
    let mut gc: Value = serde_json::from_str(&config).unwrap();
    gc["cni.dev/valid-attachments"] = json!([{ "containerID": "c1", "ifname": "eth0" }]);
    let output = machine.plugin("bridge", &[("CNI_COMMAND", "GC"), ("CNI_PATH", "/p")], &gc.to_string());
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{}", text(&output));
    assert_eq!(machine.leases("n1"), ["10.1.0.2"]);
    let status = machine.plugin("bridge", &[("CNI_COMMAND", "STATUS"), ("CNI_PATH", "/p")], &config);
    assert_eq!(status.status.code(), Some(0), "{}", text(&status));
}
