//! `macvlan` beside the reference's.

use serde_json::{Value, json};

use super::{
    attach_and_detach, both,
    corpus::{Case, dual, ipam, merge, raw, v4, v6},
    each, reference, refuse,
    twins::compare_states,
};

/// `uplink` has the default routes, of an MTU of 1480.
const LINKS: &str = "ip netns add wire; ip link add uplink mtu 1480 type veth peer name w0 netns wire; \
     ip -n wire link set w0 up; ip link set uplink up; ip addr add 192.0.2.1/24 dev uplink; \
     ip route add default via 192.0.2.254";

/// A link of the container, and none of the host.
const INNER: &str = "ip netns exec c1 ip link add inner type veth peer name w0; ip -n c1 link set inner up; ip -n c1 link set w0 up; \
     ip -n c1 addr add 192.0.2.1/24 dev inner; ip -n c1 route add default via 192.0.2.254";

/// A macvlan with these members.
fn macvlan(name: &'static str, members: Value) -> Case {
    let config = json!({ "cniVersion": "1.1.0", "name": "n1", "type": "macvlan" });
    raw("macvlan", name, merge(config, members).to_string()).after(LINKS)
}

/// On `uplink`.
fn on_uplink(name: &'static str, members: Value) -> Case {
    macvlan(name, merge(json!({ "master": "uplink" }), members))
}

fn routes(routes: Value) -> Value {
    let mut ipam = dual();
    ipam["routes"] = routes;
    json!({ "ipam": ipam })
}

/// Both succeed.
#[rustfmt::skip]
fn good() -> Vec<Case> {
    let mac = || json!({ "mac": "02:00:00:00:00:01", "ipam": v4() });
    let mut cases = vec![
        macvlan("the default route's device", json!({ "ipam": v4() })),
        on_uplink("IPv4", json!({ "ipam": v4() })),
        on_uplink("IPv6", json!({ "ipam": v6() })),
        on_uplink("dual stack", json!({ "ipam": dual() })),
        on_uplink("default routes", routes(json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]))),
        on_uplink("routes with gateways", routes(json!([{ "dst": "10.9.0.0/16", "gw": "10.1.0.9", "priority": 7 }, { "dst": "fd09::/48", "gw": "fd00:10::9" }]))),
        on_uplink("an mtu", json!({ "mtu": 1400, "ipam": v4() })),
        on_uplink("the parent's mtu", json!({ "mtu": 1480, "ipam": v4() })),
        on_uplink("private", json!({ "mode": "private", "ipam": v4() })),
        on_uplink("vepa", json!({ "mode": "vepa", "ipam": v4() })),
        on_uplink("passthru", json!({ "mode": "passthru", "ipam": v4() })),
        on_uplink("bridge, in so many words", json!({ "mode": "bridge", "ipam": v4() })),
        on_uplink("bcqueuelen", json!({ "bcqueuelen": 500, "ipam": v4() })),
        on_uplink("a mac", mac()),
        on_uplink("a mac of CNI_ARGS", mac()).env("CNI_ARGS", "IgnoreUnknown=1;MAC=02:00:00:00:00:02"),
        on_uplink("a mac of the runtime", merge(mac(), json!({ "runtimeConfig": { "mac": "02:00:00:00:00:03" } }))).env("CNI_ARGS", "IgnoreUnknown=1;MAC=02:00:00:00:00:02"),
        on_uplink("unknown args are ignored", mac()).env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=x"),
        on_uplink("dns", json!({ "ipam": v4(), "dns": { "nameservers": ["10.0.0.1"], "domain": "d" } })),
        on_uplink("resolvConf", json!({ "ipam": ipam(json!({ "subnet": "10.1.0.0/24", "resolvConf": "$FOLDER/resolv.conf" })) }))
            .after("ip link add uplink type veth peer name w0; ip link set uplink up; ip link set w0 up; echo nameserver 10.0.0.53 >$FOLDER/resolv.conf"),
        on_uplink("another interface", json!({ "ipam": v4() })).env("CNI_IFNAME", "net-1.0_x"),
        macvlan("in the container", json!({ "master": "inner", "linkInContainer": true, "ipam": v4() })).after(INNER),
        macvlan("in the container, by its default route", json!({ "linkInContainer": true, "ipam": v4() })).after(INNER),
        on_uplink("keys in upper case", json!({ "MTU": 1200, "unknown": 1, "ipam": v4() })),
        on_uplink("IPv6 disabled in the container", json!({ "ipam": dual() }))
            .after("ip link add uplink type veth peer name w0; ip link set uplink up; ip link set w0 up; \
                    ip netns exec c1 sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"),
    ];
    for version in ["0.1.0", "0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        cases.push(on_uplink(version, json!({ "cniVersion": version, "ipam": dual() })));
    }
    cases
}

/// Both fail, and ours leaves nothing.
#[rustfmt::skip]
fn bad() -> Vec<Case> {
    vec![
        macvlan("no default route", json!({ "ipam": v4() })).after("ip link add uplink type veth peer name w0"),
        on_uplink("no such parent", json!({ "master": "nope" })),
        on_uplink("a parent's name that is too long", json!({ "master": "abcdefghijklmnopq" })),
        on_uplink("not in the container", json!({ "linkInContainer": true })),
        macvlan("not on the host", json!({ "master": "inner" })).after(INNER),
        on_uplink("an unknown mode", json!({ "mode": "foo" })),
        on_uplink("an mtu beyond the parent's", json!({ "mtu": 1481 })),
        on_uplink("a negative mtu", json!({ "mtu": -1 })),
        on_uplink("an mtu that is too small", json!({ "mtu": 20 })),
        on_uplink("an mtu as a text", json!({ "mtu": "big" })),
        on_uplink("no mac", json!({ "mac": "zz" })),
        on_uplink("a multicast mac", json!({ "mac": "01:00:00:00:00:01" })),
        on_uplink("unknown args", json!({})).env("CNI_ARGS", "IP=1"),
        on_uplink("unknown ipam", json!({ "ipam": { "type": "nope" } })),
        on_uplink("no address", json!({ "ipam": { "type": "static", "addresses": [] } })),
        on_uplink("an unreachable gateway", routes(json!([{ "dst": "10.9.0.0/16", "gw": "10.77.0.1" }]))),
        on_uplink("a MAC of CNI_ARGS that IPAM does not know", json!({ "ipam": v4() })).env("CNI_ARGS", "MAC=02:00:00:00:00:02"),
        on_uplink("lo", json!({ "ipam": v4() })).env("CNI_IFNAME", "lo"),
        on_uplink("no namespace", json!({})).env("CNI_NETNS", "/nonexistent/ns").differs("the reference names what it has not opened: `%!q(<nil>)`"),
        on_uplink("exhausted", json!({ "ipam": ipam(json!({ "ranges": [[{ "subnet": "10.1.0.0/30" }]] })) }))
            .after("ip link add uplink type veth peer name w0; mkdir -p $FOLDER/data/n1; printf 'o\\r\\neth0' >$FOLDER/data/n1/10.1.0.2"),
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

/// On layer 2 there is nothing to compare but the link; CHECK has no IPAM plugin.
#[test]
fn layer_2() {
    let Some(reference) = reference() else { return };
    let cases = [
        on_uplink("layer 2", json!({})),
        on_uplink("layer 2, dns", json!({ "dns": { "domain": "d" } })),
        on_uplink("layer 2, an empty ipam", json!({ "ipam": {}, "mode": "vepa" })),
    ];
    each(&cases, |case| attach_and_detach(&reference, case));
}

#[test]
fn version_and_status() {
    let Some(reference) = reference() else { return };
    let cases = [
        on_uplink("macvlan", json!({ "ipam": v4() })),
        on_uplink("no ipam", json!({ "ipam": null })),
        on_uplink("1.0.0", json!({ "cniVersion": "1.0.0" })),
    ];
    super::say_the_same(&reference, &cases);
}

#[test]
fn del_without_the_link_the_parent_or_the_namespace() {
    let Some(reference) = reference() else { return };
    let attached = || on_uplink("attached", json!({ "ipam": dual() }));
    let cases = [
        attached().env("CNI_NETNS", "/run/netns/c9"),
        attached().env("CNI_NETNS", ""),
        attached().env("CNI_IFNAME", "eth7"),
        attached().after("ip -n c1 link del eth0"),
        attached().after("ip link del uplink"),
    ];
    each(&cases, |case| {
        let twins = super::twins(&reference, &attached());
        both(&twins, "ADD", &attached())?;
        if case.before != LINKS {
            twins.iter().for_each(|twin| twin.script(case.before));
        }
        for time in ["DEL", "a second DEL"] {
            both(&twins, "DEL", case)?;
            if case.env.iter().all(|(key, _)| *key != "CNI_NETNS") {
                compare_states(&twins, "").map_err(|lines| format!("after {time}:\n{lines}"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn check_finds_changes() {
    let Some(reference) = reference() else { return };
    let attached = || on_uplink("changed", routes(json!([{ "dst": "0.0.0.0/0" }])));
    // Applied to machines that are attached already.
    let scripts = [
        "ip -n c1 addr del 10.1.0.2/24 dev eth0",
        "ip -n c1 route del default",
        "ip -n c1 link set eth0 down",
        "ip -n c1 link set eth0 address 02:00:00:00:00:01",
        "ip -n c1 link set eth0 type macvlan mode private",
        "ip -n c1 link del eth0",
        "ip -n c1 link del eth0; ip -n c1 link add eth0 type bridge",
        "ip -n c1 link set eth0 name eth1",
        "ip link del uplink",
        "rm $FOLDER/data/n1/10.1.0.2 $FOLDER/data/n1/fd00:10::2",
    ];
    super::check_after_each(&reference, attached, &scripts);
}
