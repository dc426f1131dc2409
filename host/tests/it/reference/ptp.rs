//! `ptp` beside the reference's.

use serde_json::{Value, json};

use super::{
    attach_and_detach, both,
    corpus::{Case, dual, ipam, merge, raw, v4, v6},
    each, reference, refuse,
    twins::{By, Twin, compare_states},
};

/// A point-to-point link in 10.1.0.0/24, with these members besides.
pub(super) fn ptp(name: &'static str, members: Value) -> Case {
    let config = json!({ "cniVersion": "1.1.0", "name": "n1", "type": "ptp", "ipam": v4() });
    raw("ptp", name, merge(config, members).to_string())
}

fn routes(routes: Value) -> Value {
    let mut ipam = dual();
    ipam["routes"] = routes;
    json!({ "ipam": ipam })
}

/// Addresses by the reference's `static`, which both find in CNI_PATH.
fn fixed(addresses: Value) -> Value {
    json!({ "ipam": { "type": "static", "addresses": addresses } })
}

/// Both succeed.
#[rustfmt::skip]
fn good() -> Vec<Case> {
    let mut cases = vec![
        ptp("IPv4", json!({})),
        ptp("IPv6", json!({ "ipam": v6() })),
        ptp("dual stack", json!({ "ipam": dual() })),
        ptp("mtu", json!({ "mtu": 1400, "ipam": dual() })),
        ptp("default routes", routes(json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]))),
        ptp("routes with gateways", routes(json!([{ "dst": "10.9.0.0/16", "gw": "10.1.0.9" }, { "dst": "fd09::/48", "gw": "fd00:10::9" }]))),
        ptp("routes in a table", routes(json!([{ "dst": "10.9.0.0/16", "table": 100, "priority": 5 }])))
            .differs("the reference looks for it in the main table"),
        ptp("dns", json!({ "dns": { "nameservers": ["10.0.0.1"], "domain": "d" } })),
        ptp("resolvConf", json!({ "ipam": ipam(json!({ "subnet": "10.1.0.0/24", "resolvConf": "$FOLDER/resolv.conf" })) }))
            .after("echo nameserver 10.0.0.53 >$FOLDER/resolv.conf"),
        ptp("another interface", json!({})).env("CNI_IFNAME", "net-1.0_x"),
        ptp("two networks", json!({ "ipam": ipam(json!({ "ranges": [[{ "subnet": "10.1.0.0/24" }], [{ "subnet": "10.2.0.0/20" }]] })) })),
        ptp("a gateway outside of the subnet", fixed(json!([{ "address": "10.1.0.2/24", "gateway": "10.7.0.1" }]))),
        ptp("its own gateway", fixed(json!([{ "address": "10.1.0.2/24", "gateway": "10.1.0.2" }]))),
        ptp("a lone address, IPv6", fixed(json!([{ "address": "fd00::2/128", "gateway": "fd00::1" }]))),
        ptp("a large subnet", fixed(json!([{ "address": "10.1.0.2/8", "gateway": "10.0.0.1" }]))),
        ptp("IPv6 disabled in the container", json!({ "ipam": dual() }))
            .after("ip netns exec c1 sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"),
        ptp("duplicate address detection is off", json!({ "ipam": dual() }))
            .after("ip netns exec c1 sysctl -qw net.ipv6.conf.default.accept_dad=0; sysctl -qw net.ipv6.conf.default.accept_dad=0"),
        ptp("forwarding already on", json!({ "ipam": dual() }))
            .after("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"),
        ptp("keys in upper case", json!({ "MTU": 1200, "unknown": 1, "IPMASQ": false })),
    ];
    for version in ["0.1.0", "0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        cases.push(ptp(version, json!({ "cniVersion": version, "ipam": dual() })));
    }
    cases
}

/// Both fail, and ours leaves nothing.
#[rustfmt::skip]
fn bad() -> Vec<Case> {
    const EARLY: &str = "ours sees before anything is made that the result will not do";
    vec![
        ptp("unknown ipam", json!({ "ipam": { "type": "nope" } })),
        ptp("mtu is a text", json!({ "mtu": "big" })),
        ptp("ipMasq is a number", json!({ "ipMasq": 1 })),
        ptp("no address", fixed(json!([]))),
        ptp("no gateway", fixed(json!([{ "address": "10.1.0.2/24" }]))),
        ptp("no gateway, IPv6", fixed(json!([{ "address": "fd00::2/64" }]))).differs(EARLY),
        ptp("a gateway of another family", fixed(json!([{ "address": "fd00::2/64", "gateway": "10.1.0.1" }]))).differs(EARLY),
        ptp("an unknown backend", json!({ "ipMasq": true, "ipMasqBackend": "foo" })).differs("DEL by the reference fails without iptables' chain"),
        ptp("an unreachable gateway", routes(json!([{ "dst": "10.9.0.0/16", "gw": "10.77.0.1" }]))),
        ptp("eth0 exists", json!({})).after("ip -n c1 link add eth0 type bridge"),
        ptp("the mtu is too small", json!({ "mtu": 20 })),
        ptp("no namespace", json!({})).env("CNI_NETNS", "/nonexistent/ns"),
        ptp("exhausted", json!({ "ipam": ipam(json!({ "ranges": [[{ "subnet": "10.1.0.0/30" }]] })) }))
            .after("mkdir -p $FOLDER/data/n1; printf 'o\\r\\neth0' >$FOLDER/data/n1/10.1.0.2"),
    ]
}

#[test]
fn ours_does_what_the_reference_does() {
    let Some(reference) = reference() else { return };
    each(&good(), |case| attach_and_detach(&reference, case));
}

#[test]
fn ours_refuses_what_the_reference_refuses_and_leaves_nothing() {
    let Some(reference) = reference() else { return };
    each(&bad(), |case| refuse(&reference, case));
}

#[test]
fn version_and_status() {
    let Some(reference) = reference() else { return };
    let cases = [ptp("ptp", json!({})), ptp("1.0.0", json!({ "cniVersion": "1.0.0" }))];
    super::say_the_same(&reference, &cases);
}

#[test]
fn del_without_the_link_or_the_namespace() {
    let Some(reference) = reference() else { return };
    let attached = || ptp("attached", json!({ "ipam": dual() }));
    let cases = [attached().env("CNI_NETNS", "/run/netns/c9"), attached().env("CNI_NETNS", "")];
    each(&cases, |case| super::del_out_of_reach(&reference, &attached(), case));
    // Of another interface: nothing is done to this one.
    each(&[attached().env("CNI_IFNAME", "eth7")], |case| {
        let twins = super::twins(&reference, case);
        both(&twins, "ADD", &attached())?;
        for time in ["DEL", "a second DEL"] {
            both(&twins, "DEL", case)?;
            compare_states(&twins, "").map_err(|lines| format!("after {time}:\n{lines}"))?;
        }
        Ok(())
    });
}

#[test]
fn check_finds_changes() {
    let Some(reference) = reference() else { return };
    let plain = || ptp("changed", routes(json!([{ "dst": "0.0.0.0/0" }])));
    super::check_after_each(&reference, plain, &super::CHANGES);
}

/// Where the reference finds a route missing, or there twice.
#[test]
fn addresses_that_the_reference_cannot_route() {
    let Some(reference) = reference() else { return };
    for (name, addresses) in [
        ("a lone address", json!([{ "address": "10.1.0.2/32", "gateway": "10.1.0.1" }])),
        (
            "two of a network",
            json!([{ "address": "10.1.0.2/24", "gateway": "10.1.0.1" }, { "address": "10.1.0.3/24", "gateway": "10.1.0.1" }]),
        ),
    ] {
        let case = ptp(name, fixed(addresses));
        let twin = Twin::new(&reference);
        assert!(!twin.run(By::Reference, "ADD", &case).succeeded(), "{name}");
        twin.script("ip -n c1 link del eth0");
        let added = twin.run(By::Ours, "ADD", &case);
        assert!(added.succeeded(), "{added:?}");
        let to_gateway = twin.machine.ip("-n c1 route show 10.1.0.1");
        assert_eq!(to_gateway[0]["scope"], "link", "{to_gateway}");
        assert!(twin.run(By::Ours, "DEL", &case).succeeded());
        assert_eq!(twin.machine.devices(""), ["lo"]);
    }
}
