//! Attacks that are scripts of `hostile-script`, with all the grants that they need: what is left to refuse is the attack itself.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::Stdio,
};

use serde_json::{Value, json};

use super::scene::{Ended, Scene, compiled};
use crate::machine::{bridge, script};

/// All operations, and both namespaces.
const POLICY: &str = "[plugins.hostile_script]\nnamespaces = [\"sandbox\", \"host\"]\nhost-links = [\"evb*\"]\n\
     operations = [\"link-add\", \"link-set\", \"link-del\", \"addr-add\", \"addr-del\", \"route-add\", \"route-set\", \
     \"route-del\", \"rule-add\", \"rule-del\", \"neighbour-add\", \"neighbour-del\", \"vlan-add\", \"vlan-del\", \
     \"sysctl-set\", \"announce\"]\nlinks = [\"dummy\", \"macvlan\"]\nfilters = [\"masquerade\", \"spoof-check\"]\n\
     delegates = [\"host-local\"]\n";

/// More points than such an ADD has.
const MOST: u32 = 60;

fn scene(more: &str) -> Scene {
    Scene::with_policy(&format!("{POLICY}{more}"))
}

fn plugin(steps: Value) -> Value {
    json!({ "type": "hostile_script", "script": { "add": steps } })
}

fn commit(ops: Value) -> Value {
    json!({ "do": "commit", "ops": ops })
}

/// The host's end has this name; what else is said of it.
fn pair(name: &str, more: Value) -> Value {
    let mut op = json!({ "op": "veth", "name": name, "peer": "eth0", "peer_on": "sandbox" });
    op.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    op
}

fn add(scene: &Scene, steps: Value) -> Ended {
    scene.network(json!([plugin(steps)]));
    scene.call("a script", &["add", "n1", &scene.netns])
}

/// What the log says of each step.
fn refused(ended: &Ended, step: usize) -> bool {
    let found = |how: &str| ended.stderr.contains(&format!("step {step} {how}"));
    assert!(found("ok") != found("REFUSED"), "step {step} is not in {}", ended.stderr);
    found("REFUSED")
}

#[test]
fn del_leaves_a_link_that_has_the_name_of_one_that_the_add_had_made() {
    let away = [
        json!({ "op": "del", "link": "uplink2" }),
        json!({ "op": "set", "link": "uplink2", "attrs": { "name": "v1" } }),
    ];
    let links = [
        "ip link add uplink2 type veth peer name world2; ip addr add 192.0.2.9/32 dev uplink2",
        "ip link add uplink2 type bridge; ip link add p2 type veth peer name q2 master uplink2",
    ];
    for away in &away {
        for link in links {
            let scene = scene("");
            let added = add(&scene, json!([{ "ops": [pair("uplink2", json!({})), away], "must": true }]));
            assert_eq!(added.code, Some(0), "{away}: {}", added.stderr);
            // The operator, an hour later.
            script(&scene.machine, link);
            let before = scene.machine.ip("link show uplink2");
            let deleted = scene.call("del", &["del", "n1", &scene.netns]);
            assert_eq!(deleted.code, Some(0), "{away}: {}", deleted.stderr);
            assert_eq!(scene.machine.ip("link show uplink2")[0]["ifindex"], before[0]["ifindex"], "{away} {link}");
            assert!(!scene.machine.devices("").contains(&"v1".to_owned()), "{away} {link}");
        }
    }
}

/// It is on the record before it is known whether there is such a link.
#[test]
fn a_link_that_was_there_stays_when_the_add_is_killed() {
    for at in 1..MOST {
        let scene = scene("");
        let steps =
            json!([{ "ops": [pair("uplink", json!({ "tolerate": "exists" }))] }, { "do": "fail", "must": true }]);
        scene.network(json!([plugin(steps)]));
        let uplink = || scene.machine.ip("addr show uplink").to_string() + &scene.machine.ip("route show").to_string();
        let before = uplink();
        assert!(before.contains("192.0.2.254"), "{before}");
        let mut command = scene.machine.wasm_cni(&["add", "n1", &scene.netns]);
        let output = command.env("CNI_PATH", compiled()).env("WASM_CNI_FAULT", format!("kill:{at}")).output().unwrap();
        assert!(!output.status.success());
        let recovered = scene.call("recover", &["recover"]);
        assert_eq!(recovered.code, Some(0), "at {at}: {}", recovered.stderr);
        assert_eq!(uplink(), before, "killed at {at}");
        if output.status.code().is_some() {
            assert!(at > 2, "killed at {at} points");
            return;
        }
    }
    panic!("more than {MOST} points");
}

#[test]
fn no_name_of_a_link_makes_a_star_reach_the_host() {
    let cases = [
        ("net/ipv6/conf/*/accept_ra", "default", "net/ipv6/conf/default/accept_ra"),
        ("net/ipv6/conf/*/accept_ra", "all", "net/ipv6/conf/all/accept_ra"),
        ("net/ipv4/conf/*/forwarding", "all", "net/ipv4/conf/all/forwarding"),
        ("net/ipv4/conf/*/route_localnet", "all", "net/ipv4/conf/all/route_localnet"),
        ("net/ipv4/conf/*/route_localnet", "default", "net/ipv4/conf/default/route_localnet"),
        ("net/ipv4/conf/*/route_localnet", "uplink", "net/ipv4/conf/uplink/route_localnet"),
    ];
    for (grant, name, key) in cases {
        let scene = scene(&format!("host-sysctls = [{grant:?}]\n"));
        let before = scene.machine.sysctl(None, key);
        let own = key.replace(&format!("/{name}/"), "/v0/");
        let write = |key: &str, value: &str| commit(json!([{ "op": "sysctl", "key": key, "value": value }]));
        let ended = add(
            &scene,
            json!([
                // Without IPv6 the kernel permits more names.
                commit(json!([pair("v0", json!({ "attrs": { "mtu": 1000 } }))])),
                commit(json!([{ "op": "set", "link": "v0", "attrs": { "name": name } }])),
                write(key, "1"),
                write(key, "0"),
                write(key, "30001"),
                write(&own, "1"),
            ]),
        );
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!refused(&ended, 0), "{key}: {}", ended.stderr);
        assert!((1..5).all(|step| refused(&ended, step)), "{key}: {}", ended.stderr);
        // The grant is one: of its own link, it may. One of IPv6 has no such key with that MTU.
        assert!(key.contains("ipv6") || !refused(&ended, 5), "{key}: {}", ended.stderr);
        assert_eq!(scene.machine.sysctl(None, key), before, "{key}");
        assert_eq!(scene.call("del", &["del", "n1", &scene.netns]).code, Some(0));
        scene.assert_untouched(key);
    }
}

/// By ADD and DEL of the IPAM plugin in turns a component would be given every free address of the network.
#[test]
fn what_was_given_back_has_neither_routes_nor_filters() {
    const LAST: usize = 12;
    let scene = scene("");
    let ipam =
        json!({ "type": "host-local", "subnet": "10.1.0.0/24", "rangeStart": "10.1.0.2", "rangeEnd": "10.1.0.20" });
    let mut steps = vec![json!({ "do": "ipam-add" }), commit(json!([pair("v0", json!({ "attrs": { "up": true } }))]))];
    for _ in 2..LAST {
        steps.extend([json!({ "do": "ipam-del" }), json!({ "do": "ipam-add" })]);
    }
    let first = steps.len();
    for last in 2..LAST {
        steps.push(commit(json!([{ "op": "route", "link": "v0", "dst": format!("10.1.0.{last}/32") }])));
        steps.push(json!({ "do": "masquerade", "addresses": [format!("10.1.0.{last}/24")] }));
    }
    let mut attacker = plugin(json!(steps));
    attacker["ipam"] = ipam.clone();
    scene.network(json!([attacker]));
    let ended = scene.call("given back", &["add", "n1", &scene.netns]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!((0..first).all(|step| !refused(&ended, step)), "{}", ended.stderr);
    assert!((first..steps.len()).all(|step| refused(&ended, step)), "{}", ended.stderr);

    // Another container gets one of them, and has its traffic.
    let mut victim = bridge(&[]);
    victim["ipam"] = ipam;
    let netns = scene.machine.netns("c3");
    scene.network(json!([victim]));
    let added = scene.call("victim", &["add", "n1", &netns]);
    let result: Value = serde_json::from_str(&added.stdout).unwrap_or_else(|_| panic!("{}", added.stderr));
    let address = result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap();
    let route = scene.machine.ip(&format!("route get {address}"));
    assert_eq!(route[0]["dev"], "br0", "{route}");
}

/// Whether others use a bridge is a question about all links of the host, also while they come and go.
#[test]
fn a_failed_add_leaves_the_bridge_to_others_while_links_come_and_go() {
    let scene = scene("");
    let machine = &scene.machine;
    script(
        machine,
        "for i in $(seq 100); do echo link add m$i type veth peer name w$i; done | ip -batch -
         ip -n c1 link add go type veth peer name og; ip -n c1 link set go up
         ip link add odd type veth peer name odd2; ip link set odd alias \"$(printf 'B\\374ro')\"",
    );
    // It waits for `go`, which is up when the other has its port.
    let wait = json!({ "do": "wait", "on": "sandbox", "link": "go", "ms": 9000, "repeat": 3 });
    let failing = plugin(json!([{ "do": "read", "on": "sandbox" }, wait, { "do": "fail", "must": true }]));
    scene.network(json!([bridge(&["10.1.0.0/24"]), failing]));
    let mut command = machine.wasm_cni(&["add", "n1", &scene.netns]);
    let mut first = command.env("CNI_PATH", compiled()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(first.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("step 0 ok"), "{line}");
    let second = machine.network("n2", bridge(&["10.1.0.0/24"]));
    machine.add(&second, &machine.netns("c3"));
    // More than there is time for.
    let batch = machine.folder().join("churn");
    fs::write(&batch, "link add ch0 type veth peer name hc0\nlink del ch0\n".repeat(100_000)).unwrap();
    let mut churn = machine.command("ip").arg("-batch").arg(&batch).stderr(Stdio::null()).spawn().unwrap();
    script(machine, "ip -n c1 link set og up");
    let ended = first.wait().unwrap();
    churn.kill().unwrap();
    churn.wait().unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(!ended.success() && rest.contains("on purpose"), "{rest}");
    assert_eq!(machine.ip("link show master br0").as_array().unwrap().len(), 1, "{rest}");
    assert!(machine.ip("addr show br0").to_string().contains("10.1.0.1"), "{rest}");
    machine.del(&second, "/run/netns/c3");
}

/// Made from either side, and renamed.
#[test]
fn del_takes_pairs_whatever_they_are_called_by_then() {
    let scene = scene("");
    let mut steps = vec![commit(json!([pair("v0", json!({ "attrs": { "up": true } }))]))];
    steps.push(commit(json!([{ "op": "set", "link": "v0", "attrs": { "name": "renamed0" } }])));
    steps.push(commit(json!([{ "op": "veth", "on": "sandbox", "name": "i0", "peer": "h0", "peer_on": "host" }])));
    steps.push(commit(json!([{ "op": "set", "link": "h0", "attrs": { "name": "renamed1" } }])));
    let ended = add(&scene, json!(steps));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!((0..steps.len()).all(|step| !refused(&ended, step)), "{}", ended.stderr);
    assert!(scene.machine.devices("").contains(&"renamed1".to_owned()));
    // The plugin does nothing in a DEL.
    assert_eq!(scene.call("del", &["del", "n1", &scene.netns]).code, Some(0));
    let left = scene.machine.devices("");
    assert!(!left.iter().any(|name| name.starts_with("renamed")), "{left:?}");
}
