//! Checks 18 to 23: what `bridge` puts into packet filters. That frames are
//! treated so is seen in `traffic.rs`.

use std::fs;

use serde_json::{Value, json};

use super::{Container, gateway, host_local, refused};
use crate::machine::{Machine, installed, script};

/// What asks for iptables' rules.
pub(super) const IPTABLES: [&str; 4] = ["iptables", "iptables-save", "ip6tables", "ip6tables-save"];

/// The objects of `nft -j list ruleset`, without what counts and numbers them.
fn ruleset(machine: &Machine) -> Vec<Value> {
    let output = machine.command("nft").args(["-j", "list", "ruleset"]).output().unwrap();
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let objects = listed["nftables"].as_array().unwrap().iter().filter(|object| object.get("metainfo").is_none());
    objects.cloned().map(without_handles).collect()
}

fn without_handles(mut object: Value) -> Value {
    object.as_object_mut().unwrap().values_mut().for_each(|members| {
        members.as_object_mut().unwrap().remove("handle");
    });
    object
}

/// Rules that have a comment.
pub(super) fn rules(machine: &Machine) -> Vec<Value> {
    ruleset(machine).into_iter().filter(|object| object["rule"].get("comment").is_some()).collect()
}

/// The objects of `table`, of a kind.
fn of_table(machine: &Machine, table: &str, kind: &str) -> Vec<Value> {
    let of = |object: &Value| object[kind]["table"] == table || kind == "table" && object[kind]["name"] == table;
    ruleset(machine).into_iter().filter(of).map(|object| object[kind].clone()).collect()
}

/// The appended rules and chains of `iptables-save`, or of `ip6tables-save`.
pub(super) fn saved(machine: &Machine, program: &str) -> Vec<String> {
    let output = machine.command(program).args(["-t", "nat"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| line.contains("CNI-")).map(|line| line.split(" [").next().unwrap().to_owned()).collect()
}

/// The interface and the leases are lost, the filters are not.
fn forget(machine: &Machine, id: &str) {
    let leases = machine.root().join("var/lib/cni/networks");
    script(machine, &format!("ip -n {id} link del eth0; rm -r {}", leases.display()));
}

#[test]
fn check_18_the_spoof_check_s_chains() {
    if !installed(&["nft"]) {
        return;
    }
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let config = gateway(json!({ "macspoofchk": true }));
    let result = c1.add(&config).unwrap();
    let [port, mac] = [(1, "name"), (2, "mac")].map(|(i, key)| &result["interfaces"][i][key]);
    let chain = |name: &str| json!({ "family": "bridge", "table": "nat", "name": name });
    let base = json!({ "family": "bridge", "table": "nat", "name": "PREROUTING", "type": "filter",
        "hook": "prerouting", "prio": -300, "policy": "accept" });
    let chains = of_table(&machine, "nat", "chain");
    assert_eq!(chains, [base.clone(), chain("cni-br-iface-c1-eth0"), chain("cni-br-iface-c1-eth0-mac")]);
    let rule = |chain: &str, expr: Value| {
        json!({ "family": "bridge", "table": "nat", "chain": chain,
        "comment": "macspoofchk-c1-eth0", "expr": expr })
    };
    let is = |left: Value, right: &Value| json!({ "match": { "op": "==", "left": left, "right": right } });
    let from_port = is(json!({ "meta": { "key": "iifname" } }), port);
    let own = is(json!({ "payload": { "protocol": "ether", "field": "saddr" } }), mac);
    assert_eq!(
        of_table(&machine, "nat", "rule"),
        [
            rule("PREROUTING", json!([from_port, { "jump": { "target": "cni-br-iface-c1-eth0" } }])),
            rule("cni-br-iface-c1-eth0", json!([{ "jump": { "target": "cni-br-iface-c1-eth0-mac" } }])),
            rule("cni-br-iface-c1-eth0-mac", json!([own, { "return": null }])),
            rule("cni-br-iface-c1-eth0-mac", json!([{ "drop": null }])),
        ]
    );
    for _ in 0..2 {
        c1.del(&config).unwrap();
        let table = json!({ "table": { "family": "bridge", "name": "nat" } });
        assert_eq!(ruleset(&machine), [table, json!({ "chain": base })]);
    }
}

#[test]
fn check_18_the_spoof_check_goes_without_the_link_or_the_namespace() {
    if !installed(&["nft"]) {
        return;
    }
    // The reference leaves it there when the namespace is gone.
    for (netns, before) in [("/run/netns/gone", "true"), ("", "true"), ("/run/netns/c1", "ip -n c1 link del eth0")] {
        let machine = Machine::new();
        let c1 = Container::new(&machine, "c1");
        let config = gateway(json!({ "macspoofchk": true, "ipMasq": true, "ipMasqBackend": "nftables" }));
        c1.add(&config).unwrap();
        assert_eq!(rules(&machine).len(), 5);
        script(&machine, before);
        c1.with("CNI_NETNS", netns).del(&config).unwrap();
        assert_eq!(rules(&machine), [Value::Null; 0], "{netns:?}");
        assert_eq!(of_table(&machine, "nat", "chain").len(), 1);
    }
}

/// A network and a container whose chain is known: see section 2.6.
const CHAIN: &str = "CNI-2668abbf8936b2839e6f7167";

#[test]
fn check_19_masquerade_by_iptables() {
    if !installed(&IPTABLES) {
        return;
    }
    // It is what is used if nothing is said.
    for backend in [json!("iptables"), Value::Null] {
        let machine = Machine::new();
        let c1 = Container::new(&machine, "cid1");
        let config = gateway(json!({ "name": "cbnet", "ipMasq": true, "ipMasqBackend": backend }));
        c1.add(&config).unwrap();
        let comment = r#"-m comment --comment "name: \"cbnet\" id: \"cid1\"""#;
        let expected = [
            format!(":{CHAIN} -"),
            format!("-A POSTROUTING -s 10.1.0.2/32 {comment} -j {CHAIN}"),
            format!("-A {CHAIN} -d 10.1.0.0/24 {comment} -j ACCEPT"),
            format!("-A {CHAIN} ! -d 224.0.0.0/4 {comment} -j MASQUERADE"),
        ];
        assert_eq!(saved(&machine, "iptables-save"), expected);
        assert_eq!(saved(&machine, "ip6tables-save"), [""; 0]);
        forget(&machine, "cid1");
        c1.add(&config).unwrap();
        assert_eq!(saved(&machine, "iptables-save"), expected);
        for _ in 0..2 {
            c1.del(&config).unwrap();
            assert_eq!(saved(&machine, "iptables-save"), [""; 0]);
        }
    }
}

/// Images have iptables without ip6tables. The reference fails then, for both families.
#[test]
fn check_19_without_the_program_of_a_family_nftables_does_it() {
    if !installed(&IPTABLES) || !installed(&["nft"]) {
        return;
    }
    for (subnets, nftables) in
        [(&["10.1.0.0/24", "fd00:10::/64"][..], 2), (&["fd00:10::/64"], 1), (&["10.1.0.0/24"], 0)]
    {
        let machine = Machine::new();
        let programs = machine.folder().join("programs");
        let link = "for n in '' -save -restore; do ln -s $(command -v iptables$n) $p/iptables$n; done";
        script(&machine, &format!("p={}; mkdir $p; {link}", programs.display()));
        let c1 = Container::new(&machine, "c1").with("PATH", programs.to_str().unwrap());
        let config = gateway(json!({ "ipMasq": true, "ipam": host_local(subnets) }));
        c1.add(&config).unwrap();
        assert_eq!(rules(&machine).len(), nftables, "{subnets:?}");
        assert_eq!(saved(&machine, "iptables-save").is_empty(), nftables != 0, "{subnets:?}");
        for _ in 0..2 {
            c1.del(&config).unwrap();
            assert_eq!((rules(&machine), saved(&machine, "iptables-save")), (vec![], vec![]), "{subnets:?}");
        }
    }
}

#[test]
fn check_19_iptables_rules_go_without_the_link_or_the_namespace() {
    if !installed(&IPTABLES) {
        return;
    }
    // The reference needs the interface's addresses to find them.
    for (netns, before) in [("/run/netns/gone", "true"), ("", "true"), ("/run/netns/c1", "ip -n c1 link del eth0")] {
        let machine = Machine::new();
        let c1 = Container::new(&machine, "c1");
        let ipam = host_local(&["10.1.0.0/24", "fd00:10::/64"]);
        let config = gateway(json!({ "ipMasq": true, "ipMasqBackend": "iptables", "ipam": ipam }));
        c1.add(&config).unwrap();
        script(&machine, before);
        c1.with("CNI_NETNS", netns).del(&config).unwrap();
        for program in ["iptables-save", "ip6tables-save"] {
            assert_eq!(saved(&machine, program), [""; 0], "{netns:?}");
        }
    }
}

#[test]
fn check_19_the_rules_of_another_interface_of_the_container_stay() {
    if !installed(&IPTABLES) {
        return;
    }
    let machine = Machine::new();
    let first = Container::new(&machine, "c1");
    let config = gateway(json!({ "ipMasq": true, "ipMasqBackend": "iptables" }));
    first.add(&config).unwrap();
    let second = first.with("CNI_IFNAME", "eth1");
    second.add(&config).unwrap();
    let jumps = || saved(&machine, "iptables-save").into_iter().filter(|line| line.starts_with("-A POSTROUTING"));
    assert_eq!(jumps().count(), 2);
    first.del(&config).unwrap();
    let left: Vec<_> = jumps().collect();
    assert!(matches!(&left[..], [jump] if jump.contains(" -s 10.1.0.3/32 ")), "{left:?}");
    second.del(&config).unwrap();
    assert_eq!(saved(&machine, "iptables-save"), [""; 0]);
}

/// A rule of `masq_checks` for an address, with the comment of the network
/// `ptpnet` and the container `p1`: see section 2.6.
fn masquerade(protocol: &str, address: &str, network: &str, len: u8) -> Value {
    let is = |op: &str, field: &str, right: Value| json!({ "match": { "op": op, "left": { "payload": { "protocol": protocol, "field": field } }, "right": right } });
    let network = json!({ "prefix": { "addr": network, "len": len } });
    json!({ "family": "inet", "table": "cni_plugins_masquerade", "chain": "masq_checks",
        "comment": "9937ea8cc9b806ce-b2e2d81a686723be, net: ptpnet, if: eth0, id: p1",
        "expr": [is("==", "saddr", address.into()), is("!=", "daddr", network), { "masquerade": null }] })
}

#[test]
fn check_20_masquerade_by_nftables() {
    if !installed(&["nft"]) {
        return;
    }
    const TABLE: &str = "cni_plugins_masquerade";
    let machine = Machine::new();
    let p1 = Container::new(&machine, "p1");
    let config = gateway(json!({ "name": "ptpnet", "ipMasq": true, "ipMasqBackend": "nftables" }));
    p1.add(&config).unwrap();
    let chain = |name: &str| json!({ "family": "inet", "table": TABLE, "name": name });
    let base = json!({ "family": "inet", "table": TABLE, "name": "postrouting", "type": "nat",
        "hook": "postrouting", "prio": 100, "policy": "accept" });
    let rule = |expr: Value| json!({ "family": "inet", "table": TABLE, "chain": "postrouting", "expr": expr });
    let to = |protocol: &str, addr: &str, len: u8| {
        json!({ "match": { "op": "==", "left": { "payload": { "protocol": protocol, "field": "daddr" } },
            "right": { "prefix": { "addr": addr, "len": len } } } })
    };
    let lasting = [
        rule(json!([to("ip", "224.0.0.0", 4), { "return": null }])),
        rule(json!([to("ip6", "ff00::", 8), { "return": null }])),
        rule(json!([{ "goto": { "target": "masq_checks" } }])),
    ];
    let rules_of = |address: Option<&str>| {
        let own = address.map(|address| masquerade("ip", address, "10.1.0.0", 24));
        own.into_iter().chain(lasting.clone()).collect::<Vec<_>>()
    };
    let listed = || {
        let mut rules = of_table(&machine, TABLE, "rule");
        rules.sort_by_key(|rule| rule["chain"].as_str().unwrap().to_owned());
        rules
    };
    let mut chains = of_table(&machine, TABLE, "chain");
    chains.sort_by_key(|chain| chain["name"].as_str().unwrap().to_owned());
    assert_eq!((chains, listed()), (vec![chain("masq_checks"), base], rules_of(Some("10.1.0.2"))));
    // Only the text of `nft` shows the table's and the chain's comment.
    let output = machine.command("nft").args(["list", "table", "inet", TABLE]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for comment in [
        "Masquerading for plugins from github.com/containernetworking/plugins",
        "Masquerade traffic from certain IPs to any (non-multicast) IP outside their subnet",
    ] {
        assert!(text.contains(&format!("comment \"{comment}\"")), "{text}");
    }
    // Another address, so that an old rule would show.
    script(&machine, "ip -n p1 link del eth0");
    let leases = machine.root().join("var/lib/cni/networks/ptpnet");
    fs::remove_file(leases.join("10.1.0.2")).unwrap();
    p1.add(&config).unwrap();
    assert_eq!(listed(), rules_of(Some("10.1.0.3")));
    for _ in 0..2 {
        p1.del(&config).unwrap();
        assert_eq!(listed(), rules_of(None));
    }
}

#[test]
fn check_21_masquerade_of_both_families() {
    let ipam = host_local(&["10.1.0.0/24", "fd00:10::/64"]);
    if installed(&["nft"]) {
        let machine = Machine::new();
        let p1 = Container::new(&machine, "p1");
        let members = json!({ "name": "ptpnet", "ipMasq": true, "ipMasqBackend": "nftables", "ipam": ipam });
        let config = gateway(members);
        p1.add(&config).unwrap();
        let of = [masquerade("ip", "10.1.0.2", "10.1.0.0", 24), masquerade("ip6", "fd00:10::2", "fd00:10::", 64)];
        assert_eq!(rules(&machine), of.map(|rule| json!({ "rule": rule })));
        p1.del(&config).unwrap();
        assert_eq!(rules(&machine), [Value::Null; 0]);
    }
    if installed(&IPTABLES) {
        let machine = Machine::new();
        let c1 = Container::new(&machine, "cid1");
        let members = json!({ "name": "cbnet", "ipMasq": true, "ipMasqBackend": "iptables", "ipam": ipam });
        let config = gateway(members);
        c1.add(&config).unwrap();
        assert_eq!(saved(&machine, "iptables-save").len(), 4);
        let comment = r#"-m comment --comment "name: \"cbnet\" id: \"cid1\"""#;
        let expected = [
            format!(":{CHAIN} -"),
            format!("-A POSTROUTING -s fd00:10::2/128 {comment} -j {CHAIN}"),
            format!("-A {CHAIN} -d fd00:10::/64 {comment} -j ACCEPT"),
            format!("-A {CHAIN} ! -d ff00::/8 {comment} -j MASQUERADE"),
        ];
        assert_eq!(saved(&machine, "ip6tables-save"), expected);
        c1.del(&config).unwrap();
        for program in ["iptables-save", "ip6tables-save"] {
            assert_eq!(saved(&machine, program), [""; 0]);
        }
    }
}

#[test]
fn check_22_an_unknown_backend() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let config = gateway(json!({ "ipMasq": true, "ipMasqBackend": "foo" }));
    assert_eq!(c1.add(&config), refused(r#"unknown ipmasq backend "foo""#));
    c1.assert_clean();
    // It says nothing where nobody asks for it.
    assert!(c1.add(&gateway(json!({ "ipMasqBackend": "foo" }))).is_ok());
}

#[test]
fn check_23_without_iptables_it_is_nftables() {
    if !installed(&["nft"]) {
        return;
    }
    let machine = Machine::new();
    // With `nft` alone, as the check has it, and with nothing at all.
    for links in ["ln -s $(command -v nft) $bin/nft", "rm $bin/nft"] {
        let bin = machine.folder().join("bin");
        script(&machine, &format!("bin={}; mkdir -p $bin; {links}", bin.display()));
        let p1 = Container::new(&machine, "p1").with("PATH", bin.to_str().unwrap());
        let config = gateway(json!({ "name": "ptpnet", "ipMasq": true }));
        p1.add(&config).unwrap();
        assert_eq!(rules(&machine), [json!({ "rule": masquerade("ip", "10.1.0.2", "10.1.0.0", 24) })]);
        p1.del(&config).unwrap();
        assert_eq!(rules(&machine), [Value::Null; 0]);
        script(&machine, &format!("ip netns del p1; rm -r {}", machine.root().join("var/lib/cni/networks").display()));
    }
}
