//! `macvlan`: checks 41 to 44 of its contract, called as a runtime calls it, and by the command.

use serde_json::{Value, json};

use crate::machine::{Machine, addresses, script, text};

/// `uplink` has the default route and an MTU of 1480; `other` is another link.
const LINKS: &str = "sysctl -qw net.ipv6.conf.default.accept_dad=0; ip netns add wire; \
     for i in uplink other; do ip link add $i mtu 1480 type veth peer name w-$i netns wire; \
     ip -n wire link set w-$i up; ip link set $i up; done; \
     ip addr add 192.0.2.1/24 dev uplink; ip route add default via 192.0.2.254";

fn machine() -> Machine {
    let machine = Machine::new();
    script(&machine, LINKS);
    machine.netns("c1");
    machine
}

/// A macvlan on `uplink`, if nothing else is said.
fn conf(members: Value) -> Value {
    let mut conf = json!({ "cniVersion": "1.0.0", "name": "n1", "type": "macvlan", "master": "uplink" });
    conf.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    conf
}

fn ipam() -> Value {
    json!({ "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24" }]], "routes": [{ "dst": "0.0.0.0/0" }] })
}

/// What the plugin prints, or the text of its error.
fn call(machine: &Machine, command: &str, conf: &Value, env: &[(&str, &str)]) -> Result<Value, String> {
    let usual = [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/run/netns/c1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/p"),
    ];
    let output = machine.plugin("macvlan", &[&usual[..], env].concat(), &conf.to_string());
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match output.status.code() {
        Some(0) => Ok(printed),
        Some(1) => Err(printed["msg"].as_str().unwrap_or_else(|| panic!("{}", text(&output))).to_owned()),
        _ => panic!("{}", text(&output)),
    }
}

fn add(machine: &Machine, members: Value) -> Result<Value, String> {
    call(machine, "ADD", &conf(members), &[])
}

/// DEL, twice; then nothing is left.
fn del(machine: &Machine, members: Value) {
    for _ in 0..2 {
        call(machine, "DEL", &conf(members.clone()), &[]).unwrap();
        assert_clean(machine);
    }
}

fn assert_clean(machine: &Machine) {
    assert_eq!(machine.devices("-n c1 "), ["lo"]);
    assert_eq!(machine.devices(""), ["lo", "uplink", "other"]);
    assert_eq!(machine.leases("n1"), [""; 0]);
}

fn eth0(machine: &Machine) -> Value {
    machine.ip("-n c1 addr show eth0")[0].clone()
}

fn is_up(link: &Value) -> bool {
    link["flags"].as_array().unwrap().contains(&json!("UP"))
}

#[test]
fn macvlan_41_without_a_master_it_is_on_the_device_of_the_default_route() {
    let machine = machine();
    let uplink = machine.ip("link show uplink")[0]["ifindex"].clone();
    for master in [json!(""), json!("uplink")] {
        let result = add(&machine, json!({ "master": master })).unwrap();
        let eth0 = eth0(&machine);
        assert_eq!((&eth0["link_index"], &eth0["linkinfo"]["info_kind"]), (&uplink, &json!("macvlan")), "{eth0}");
        let interface = json!({ "name": "eth0", "mac": eth0["address"], "sandbox": "/run/netns/c1" });
        assert_eq!(result, json!({ "cniVersion": "1.0.0", "interfaces": [interface] }));
        assert!(is_up(&eth0), "{eth0}");
        del(&machine, json!({}));
    }
    script(&machine, "ip route del default");
    assert_eq!(add(&machine, json!({ "master": "" })), Err("no default route interface found".into()));
    for master in ["nope", "sixteen-bytes-xx", "a/b"] {
        assert_eq!(add(&machine, json!({ "master": master })), Err("Link not found".into()));
    }
    assert_clean(&machine);
}

#[test]
fn macvlan_42_mode_mac_mtu_and_queue_are_the_link_s() {
    let machine = machine();
    for mode in ["bridge", "private", "vepa", "passthru"] {
        let members = json!({ "mode": mode, "mtu": 1400, "mac": "02:00:00:00:00:07", "bcqueuelen": 500 });
        let result = add(&machine, members).unwrap();
        let eth0 = eth0(&machine);
        let data = &eth0["linkinfo"]["info_data"];
        assert_eq!((&data["mode"], &eth0["mtu"]), (&json!(mode), &json!(1400)), "{eth0}");
        // One that takes all that the parent is sent has the parent's.
        let parent = machine.ip("link show uplink")[0]["address"].clone();
        let mac = if mode == "passthru" { parent } else { json!("02:00:00:00:00:07") };
        assert_eq!((&eth0["address"], &result["interfaces"][0]["mac"]), (&mac, &mac));
        // Older programs do not show it.
        assert!(data.get("bcqueuelen").is_none_or(|length| *length == 500), "{eth0}");
        del(&machine, json!({}));
    }
    assert_eq!(add(&machine, json!({ "mode": "foo" })), Err("unknown macvlan mode: \"foo\"".into()));
    for mtu in [1481, -1] {
        let text = format!("invalid MTU {mtu}, must be [0, master MTU(1480)]");
        assert_eq!(add(&machine, json!({ "mtu": mtu })), Err(text));
    }
    for mtu in [0, 1480] {
        add(&machine, json!({ "mtu": mtu })).unwrap();
        assert_eq!(eth0(&machine)["mtu"], 1480);
        del(&machine, json!({}));
    }
}

#[test]
fn macvlan_42_the_mac_of_the_runtime_beats_cni_args_beat_the_network() {
    let machine = machine();
    let [network, args, runtime] = [1, 2, 3].map(|n| format!("02:00:00:00:00:0{n}"));
    let cni_args = format!("MAC={args}");
    let both = json!({ "mac": network, "runtimeConfig": { "mac": runtime } });
    for (members, env, mac) in [
        (json!({ "mac": network }), vec![], &network),
        (json!({ "mac": network }), vec![("CNI_ARGS", cni_args.as_str())], &args),
        (both, vec![("CNI_ARGS", cni_args.as_str())], &runtime),
    ] {
        call(&machine, "ADD", &conf(members), &env).unwrap();
        assert_eq!(eth0(&machine)["address"], *mac);
        del(&machine, json!({}));
    }
    let text = "invalid args zz for MAC addr: address zz: invalid MAC address";
    assert_eq!(add(&machine, json!({ "mac": "zz" })), Err(text.into()));
    assert_clean(&machine);
}

#[test]
fn macvlan_addresses_routes_and_sysctls() {
    let machine = machine();
    let result = add(&machine, json!({ "ipam": ipam(), "dns": { "domain": "d" } })).unwrap();
    assert_eq!((&result["ips"][0]["address"], &result["ips"][0]["interface"]), (&json!("10.1.0.2/24"), &json!(0)));
    assert_eq!(result["dns"], json!({ "domain": "d" }));
    assert_eq!(addresses(&eth0(&machine)), ["10.1.0.2/24"]);
    assert_eq!(machine.ip("-n c1 route show default")[0]["gateway"], "10.1.0.1");
    for key in ["net/ipv4/conf/eth0/arp_notify", "net/ipv6/conf/eth0/ndisc_notify"] {
        assert_eq!(machine.sysctl(Some("c1"), key), "1", "{key}");
    }
    assert_eq!(machine.leases("n1"), ["10.1.0.2"]);
    del(&machine, json!({ "ipam": ipam() }));
    // Of a namespace that is gone, or not named.
    for netns in ["/run/netns/c9", ""] {
        call(&machine, "DEL", &conf(json!({ "ipam": ipam() })), &[("CNI_NETNS", netns)]).unwrap();
    }
}

#[test]
fn macvlan_43_check_sees_each_difference() {
    let machine = machine();
    let ipam = || json!({ "type": "static", "addresses": [{ "address": "10.1.0.2/24", "gateway": "10.1.0.1" }], "routes": [{ "dst": "0.0.0.0/0" }] });
    let members = || json!({ "ipam": ipam() });
    let found = |result: &Value, more: Value| {
        let mut conf = conf(members());
        conf["prevResult"] = result.clone();
        conf.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call(&machine, "CHECK", &conf, &[])
    };
    for (change, more, text) in [
        ("true", json!({ "mode": "vepa" }), "container macvlan mode bridge does not match expected value: vepa"),
        ("true", json!({ "master": "nope" }), "Link not found"),
        ("true", json!({ "mtu": 9000 }), "invalid MTU 9000, must be [0, master MTU(1480)]"),
        ("ip -n c1 link del eth0", json!({}), "container Interface name in prevResult: eth0 not found"),
        (
            "ip -n c1 link del eth0; ip -n c1 link add eth0 type bridge",
            json!({}),
            "error: Container interface eth0 not of type macvlan",
        ),
        (
            "ip -n c1 link set eth0 address 02:00:00:00:00:01",
            json!({}),
            "doesn't match container Mac: 02:00:00:00:00:01",
        ),
        ("ip -n c1 addr del 10.1.0.2/24 dev eth0", json!({}), "Failed to match addr 10.1.0.2/24 on interface eth0"),
        ("ip -n c1 route del default", json!({}), "not found in routing table"),
    ] {
        let result = add(&machine, members()).unwrap();
        found(&result, json!({})).unwrap();
        script(&machine, change);
        let difference = found(&result, more).unwrap_err();
        assert!(difference.contains(text), "{change}: {difference}");
        del(&machine, members());
    }
    let none = call(&machine, "CHECK", &conf(json!({})), &[]);
    assert_eq!(none, Err("required prevResult missing".into()));
}

#[test]
fn macvlan_44_the_parent_may_be_in_the_container() {
    let machine = machine();
    script(&machine, "ip -n c1 link add inner type veth peer name w; ip -n c1 link set inner up");
    let members = || json!({ "master": "inner", "linkInContainer": true });
    for name in ["uplink", "nope"] {
        let refused = add(&machine, json!({ "master": name, "linkInContainer": true }));
        assert_eq!(refused, Err("Link not found".into()), "{name}");
    }
    assert_eq!(add(&machine, json!({ "master": "inner" })), Err("Link not found".into()));
    let result = add(&machine, members()).unwrap();
    assert_eq!((eth0(&machine)["link"].as_str(), is_up(&eth0(&machine))), (Some("inner"), true));
    assert_eq!(result["interfaces"][0]["sandbox"], "/run/netns/c1");
    for _ in 0..2 {
        call(&machine, "DEL", &conf(members()), &[]).unwrap();
        let mut left = machine.devices("-n c1 ");
        left.sort();
        assert_eq!(left, ["inner", "lo", "w"]);
    }
}

#[test]
fn macvlan_44_a_name_that_is_taken_is_refused_and_nothing_is_left() {
    let machine = machine();
    for members in [json!({}), json!({ "ipam": ipam() })] {
        let taken = call(&machine, "ADD", &conf(members), &[("CNI_IFNAME", "lo")]);
        assert_eq!(taken, Err("failed to rename macvlan to \"lo\": file exists".into()));
        assert_clean(&machine);
    }
}

#[test]
fn macvlan_a_failure_further_on_leaves_neither_link_nor_lease() {
    let machine = machine();
    let no_way = json!([{ "dst": "10.9.0.0/16", "gw": "10.77.0.1" }]);
    for ipam in [
        json!({ "type": "nope" }),
        json!({ "type": "static", "addresses": [] }),
        // Its one address is the gateway's.
        json!({ "type": "host-local", "subnet": "10.1.0.0/30", "rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.1" }),
        // After the lease.
        json!({ "type": "host-local", "subnet": "10.1.0.0/24", "routes": no_way }),
    ] {
        let refused = add(&machine, json!({ "ipam": ipam }));
        assert!(refused.is_err(), "{ipam}: {refused:?}");
        assert_clean(&machine);
    }
}

#[test]
fn macvlan_by_the_command() {
    let machine = machine();
    let network = machine.network("n1", conf(json!({ "ipam": ipam() })));
    let result = machine.add(&network, "/run/netns/c1");
    assert_eq!(result["interfaces"][0]["name"], "eth0");
    let checked = machine.wasm_cni(&["check", &network, "/run/netns/c1"]).output().unwrap();
    assert!(checked.status.success(), "{}", text(&checked));
    machine.del(&network, "/run/netns/c1");
    assert_clean(&machine);
}
