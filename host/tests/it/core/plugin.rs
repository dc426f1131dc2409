//! The program as a plugin: what it is called with, and what it answers.

use serde_json::{Value, json};

use super::{Tool, call, printed};
use crate::machine::{Machine, bridge, text};

const LOOPBACK: &str = r#"{"name":"n","type":"loopback","cniVersion":"1.1.0"}"#;

fn loopback(version: &str) -> String {
    json!({ "name": "n", "type": "loopback", "cniVersion": version }).to_string()
}

#[test]
fn core_14_without_a_version_the_result_is_0_1_0() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let output = machine.plugin("loopback", &call("ADD", &netns), r#"{"name":"n","type":"loopback"}"#);
    let expected =
        json!({ "cniVersion": "0.1.0", "ip4": { "ip": "127.0.0.1/8" }, "ip6": { "ip": "::1/128" }, "dns": {} });
    assert_eq!(printed(&output), expected);
    assert!(machine.ip("-n c1 link show lo")[0]["flags"].as_array().unwrap().contains(&json!("UP")));
}

#[test]
fn loopback_results_are_converted_to_every_version() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let printed = |version: &str| printed(&machine.plugin("loopback", &call("ADD", &netns), &loopback(version)));
    let old = printed("0.3.1");
    assert_eq!(old["ips"][0], json!({ "version": "4", "interface": 0, "address": "127.0.0.1/8" }));
    let new = printed("1.1.0");
    let lo = json!({ "name": "lo", "mac": "00:00:00:00:00:00", "sandbox": netns });
    assert_eq!(
        new,
        json!({ "cniVersion": "1.1.0", "interfaces": [lo], "ips": [
            { "interface": 0, "address": "127.0.0.1/8" }, { "interface": 0, "address": "::1/128" }] })
    );
}

#[test]
fn core_17_status_and_gc_need_no_container() {
    let machine = Machine::new();
    for command in ["STATUS", "GC"] {
        let env = [("CNI_COMMAND", command), ("CNI_PATH", "/p"), ("CNI_CONTAINERID", "!!")];
        let output = machine.plugin("loopback", &env, LOOPBACK);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{command}: {}", text(&output));
    }
}

/// ADD in the caller's own namespace, with this CNI_NETNS_OVERRIDE.
fn add_in_own_namespace(allowed: &str) -> Value {
    let machine = Machine::new();
    let mut env = call("ADD", "/proc/self/ns/net");
    env.push(("CNI_NETNS_OVERRIDE", allowed));
    printed(&machine.plugin("loopback", &env, LOOPBACK))
}

#[test]
fn core_18_the_own_namespace_is_refused() {
    let refused = add_in_own_namespace("");
    assert_eq!(refused["code"], 8);
    assert_eq!(refused["msg"], "plugin's netns and netns from CNI_NETNS should not be the same");
}

#[test]
fn core_19_the_own_namespace_can_be_allowed() {
    assert_eq!(add_in_own_namespace("tRuE")["cniVersion"], "1.1.0");
    assert_eq!(add_in_own_namespace("yes")["code"], 8);
}

#[test]
fn core_20_del_without_a_namespace() {
    let machine = Machine::new();
    for netns in ["", "/nonexistent"] {
        let output = machine.plugin("loopback", &call("DEL", netns), LOOPBACK);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{}", text(&output));
    }
    let netns = machine.netns("c1");
    assert!(machine.plugin("loopback", &call("ADD", &netns), LOOPBACK).status.success());
    let check = || machine.plugin("loopback", &call("CHECK", &netns), LOOPBACK);
    assert!(check().status.success());
    assert!(machine.plugin("loopback", &call("DEL", &netns), LOOPBACK).status.success());
    assert_eq!(printed(&check())["msg"], "loopback interface is down");
}

/// ADD with a previous result.
fn add_after(version: &str, previous: &Value) -> Value {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let conf = json!({ "name": "n", "type": "loopback", "cniVersion": version, "prevResult": previous });
    printed(&machine.plugin("loopback", &call("ADD", &netns), &conf.to_string()))
}

#[test]
fn core_21_the_previous_result_is_passed_on() {
    let result = add_after("1.1.0", &json!({ "cniVersion": "1.0.0", "interfaces": [{ "name": "a", "mtu": 3 }] }));
    assert_eq!(result, json!({ "cniVersion": "1.1.0", "interfaces": [{ "name": "a", "mtu": 3 }] }));
}

#[test]
fn core_22_a_previous_result_of_another_family_is_refused() {
    let failed = add_after("1.0.0", &json!({ "cniVersion": "0.4.0" }));
    assert_eq!(failed["code"], 999);
    let end = "result type supports [1.0.0 1.1.0] but unmarshalled CNIVersion is \"0.4.0\"";
    assert!(failed["msg"].as_str().unwrap().ends_with(end), "{failed}");
}

#[test]
fn core_23_an_ipam_plugin_that_is_missing_refuses_or_says_nothing() {
    let tool = Tool::new();
    tool.script("later", r#"echo '{"code":11,"msg":"later"}'; exit 1"#);
    tool.script("silent", "exit 7");
    let netns = tool.machine.netns("c1");
    let plugins = tool.plugins();
    let add = |kind: &str| {
        let mut config = bridge(&[]);
        config["name"] = "n".into();
        config["cniVersion"] = "1.0.0".into();
        config["ipam"]["type"] = kind.into();
        let mut env = call("ADD", &netns);
        env[3].1 = "eth0";
        env[4].1 = plugins.to_str().unwrap();
        let error = printed(&tool.machine.plugin("bridge", &env, &config.to_string()));
        assert_eq!(tool.machine.devices(""), ["lo"], "{error}");
        (error["code"].as_u64().unwrap(), error["msg"].as_str().unwrap().to_owned())
    };
    assert_eq!(add("nope"), (999, format!("failed to find plugin \"nope\" in path [{}]", plugins.display())));
    assert_eq!(add("later"), (11, "later".to_owned()));
    assert_eq!(add("silent"), (0, "netplugin failed with no error message: exit status 7".to_owned()));
}

#[test]
fn a_native_ipam_plugin_gives_an_address_and_takes_it_back_when_add_fails() {
    let tool = Tool::new();
    tool.script(
        "leases",
        r#"[ "$CNI_COMMAND" = ADD ] && echo '{"ips":[{"address":"10.7.0.2/24","gateway":"10.7.0.1"}]}'; exit 0"#,
    );
    let netns = tool.machine.netns("c1");
    let add = |bridge_name: &str| {
        let config = json!({ "name": "n", "cniVersion": "1.0.0", "type": "bridge", "bridge": bridge_name,
            "isGateway": true, "ipam": { "type": "leases" } });
        let plugins = tool.plugins();
        let mut env = call("ADD", &netns);
        env[3].1 = "eth0";
        env[4].1 = plugins.to_str().unwrap();
        tool.machine.plugin("bridge", &env, &config.to_string())
    };
    let result = printed(&add("br0"));
    assert_eq!(result["ips"], json!([{ "address": "10.7.0.2/24", "gateway": "10.7.0.1", "interface": 2 }]));
    assert!(tool.log("leases").contains("CNI_COMMAND=ADD") && !tool.log("leases").contains("CNI_COMMAND=DEL"));

    // Another address is in the way, which shows only after the delegate's ADD.
    let taken = tool.machine.command("ip").args("link add br9 type bridge".split(' ')).status().unwrap();
    assert!(taken.success());
    let taken = tool.machine.command("ip").args("addr add 10.9.0.1/24 dev br9".split(' ')).status().unwrap();
    assert!(taken.success());
    assert!(tool.machine.command("ip").args("-n c1 link del eth0".split(' ')).status().unwrap().success());
    let failed = printed(&add("br9"));
    assert!(failed["msg"].as_str().unwrap().contains("already has an IP address different"), "{failed}");
    assert!(tool.log("leases").contains("CNI_COMMAND=DEL"));
}
