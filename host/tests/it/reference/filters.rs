//! Packet filters: the same rules in both machines, whichever backend, and none
//! left behind by either implementation.

use serde_json::{Value, json};

use super::{
    attach_and_detach,
    corpus::{Case, bridge, dual, gateway, ipam, merge, v4, v6},
    each, reference, refuse,
    twins::{By, Twin, compare_states},
};
use crate::machine::installed;

const TOOLS: [&str; 3] = ["nft", "iptables", "ip6tables"];

/// A PATH without iptables.
const ONLY_NFT: &str = "mkdir $FOLDER/bin; ln -s $(command -v nft) $FOLDER/bin/nft";

fn masquerade(backend: Option<&str>, members: Value) -> Value {
    let mut keys = json!({ "ipMasq": true });
    if let Some(backend) = backend {
        keys["ipMasqBackend"] = backend.into();
    }
    merge(keys, members)
}

/// Both succeed.
fn good() -> Vec<Case> {
    let two = ipam(
        json!({ "ranges": [[{ "subnet": "10.1.0.0/24" }], [{ "subnet": "10.2.0.0/20", "gateway": "10.1.0.1" }]] }),
    );
    let mut cases: Vec<Case> = Vec::new();
    for backend in [None, Some("nftables"), Some("iptables")] {
        let name = |what: &str| -> &'static str { format!("masquerade by {backend:?}, {what}").leak() };
        cases.extend([
            gateway(name("IPv4"), masquerade(backend, json!({}))),
            gateway(name("IPv6"), masquerade(backend, json!({ "ipam": v6() }))),
            gateway(name("dual stack"), masquerade(backend, json!({ "ipam": dual(), "isDefaultGateway": true }))),
            gateway(name("two of a family"), masquerade(backend, json!({ "isGateway": false, "ipam": two.clone() })))
                .reference_fails_del(),
            gateway(name("with a spoof check"), masquerade(backend, json!({ "ipam": dual(), "macspoofchk": true }))),
            gateway(name("another interface"), masquerade(backend, json!({}))).env("CNI_IFNAME", "net-1.0_x"),
            gateway(name("a long id"), masquerade(backend, json!({ "macspoofchk": true })))
                .env("CNI_CONTAINERID", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        ]);
    }
    let others = "nft 'add table inet cni_plugins_masquerade; \
                  add chain inet cni_plugins_masquerade masq_checks; \
                  add rule inet cni_plugins_masquerade masq_checks ip saddr 10.9.0.9 masquerade comment \"x\"'";
    cases.push(gateway("other attachments' rules", masquerade(Some("nftables"), json!({}))).after(others));
    // With iptables installed, the reference looks for rules there too, and is
    // upset that there are none.
    for case in cases.iter_mut().filter(|case| case.config.contains(r#""nftables""#)) {
        case.reference_fails_del = true;
    }
    cases.extend([
        gateway("no iptables in the path", masquerade(None, json!({ "ipam": dual() })))
            .after(ONLY_NFT)
            .env("PATH", "$FOLDER/bin"),
        bridge("a spoof check on layer 2", json!({ "macspoofchk": true })),
        bridge("a spoof check of a MAC that is asked for", json!({ "macspoofchk": true })).env("CNI_ARGS", "MAC=02:11:22:33:44:55"),
        gateway("a spoof check and isolation", json!({ "macspoofchk": true, "portIsolation": true })),
        gateway("a spoof check beside another's", json!({ "macspoofchk": true }))
            .after("nft 'add table bridge nat; add chain bridge nat PREROUTING { type filter hook prerouting priority -300; policy accept; }; add rule bridge nat PREROUTING iifname \"other\" accept comment \"other\"'"),
        bridge("masquerade on layer 2", json!({ "ipMasq": true, "ipMasqBackend": "foo" })),
        gateway("rules of others", masquerade(Some("iptables"), json!({})))
            .after("iptables -t nat -A POSTROUTING -s 10.9.0.0/16 -j MASQUERADE; iptables -t nat -N CNI-other; ip6tables -t nat -N OTHER"),
        gateway("a backend that is not used", json!({ "ipMasqBackend": "foo" })),
    ]);
    cases
}

/// Both fail, and ours leaves nothing.
fn bad() -> Vec<Case> {
    vec![
        gateway("an unknown backend", masquerade(Some("foo"), json!({}))).differs("ours fails DEL with it as well"),
        gateway("ipMasq is a text", json!({ "ipMasq": "yes" })),
        gateway("the backend is a number", json!({ "ipMasq": true, "ipMasqBackend": 3 })),
        gateway("macspoofchk is a number", json!({ "macspoofchk": 3 })),
        gateway(
            "exhausted, with filters",
            masquerade(
                Some("nftables"),
                json!({
                    "macspoofchk": true, "ipam": ipam(json!({ "ranges": [[{ "subnet": "10.1.0.0/30" }]] })),
                }),
            ),
        )
        .after("mkdir -p $FOLDER/data/n1; printf 'o\\r\\neth0' >$FOLDER/data/n1/10.1.0.2"),
    ]
}

#[test]
fn the_same_rules_as_the_reference_s() {
    let Some(reference) = reference() else { return };
    if installed(&TOOLS) {
        each(&good(), |case| attach_and_detach(&reference, case));
    }
}

#[test]
fn refused_calls_leave_no_rules() {
    let Some(reference) = reference() else { return };
    if installed(&TOOLS) {
        each(&bad(), |case| refuse(&reference, case));
    }
}

#[test]
fn each_implementation_deletes_what_the_other_adds() {
    let Some(reference) = reference() else { return };
    if !installed(&TOOLS) {
        return;
    }
    for backend in ["nftables", "iptables"] {
        let case = gateway("mixed", masquerade(Some(backend), json!({ "ipam": dual(), "macspoofchk": true })));
        let ptp = super::ptp::ptp("mixed", masquerade(Some(backend), json!({ "ipam": dual() })));
        for case in [case, ptp] {
            let twin = Twin::new(&reference);
            for (by, other) in [(By::Reference, By::Ours), (By::Ours, By::Reference)] {
                assert!(twin.run(by, "ADD", &case).succeeded());
                assert!(twin.rules().len() >= 2, "{by:?} makes rules");
                // The reference does its work and fails, if there is iptables and
                // the rules are nftables'.
                let deleted = [(); 2].map(|()| twin.run(other, "DEL", &case));
                assert!(deleted[0].succeeded() || other == By::Reference, "{deleted:?}");
                assert!(deleted[1].succeeded(), "{deleted:?}");
                assert_eq!(twin.rules(), [""; 0], "ADD by {by:?}, DEL by the other, {backend}");
                assert_eq!(twin.machine.devices("-n c1 "), ["lo"]);
                assert_eq!(twin.leases(), [""; 0]);
            }
        }
    }
}

/// The reference needs the interface's addresses to find its iptables rules, and
/// the namespace for any.
#[test]
fn rules_go_when_the_link_or_the_namespace_is_gone_already() {
    let Some(reference) = reference() else { return };
    if !installed(&TOOLS) {
        return;
    }
    for backend in ["nftables", "iptables"] {
        let members = masquerade(Some(backend), json!({ "ipam": dual(), "macspoofchk": true }));
        let cases = [gateway("gone", members.clone()), super::ptp::ptp("gone", members)];
        for (case, by) in cases.iter().flat_map(|case| [(case, By::Reference), (case, By::Ours)]) {
            for gone in ["ip -n c1 link del eth0", "ip netns del c1"] {
                let twin = Twin::new(&reference);
                assert!(twin.run(by, "ADD", case).succeeded());
                twin.script(gone);
                let deleted = twin.run(By::Ours, "DEL", case);
                assert!(deleted.succeeded(), "{deleted:?}");
                assert_eq!(twin.rules(), [""; 0], "{} {backend}, ADD by {by:?}, {gone}", case.plugin);
                assert_eq!(twin.leases(), [""; 0]);
            }
        }
    }
}

#[test]
fn gc_removes_only_the_rules_of_invalid_attachments() {
    let Some(reference) = reference() else { return };
    if !installed(&TOOLS) {
        return;
    }
    for (backend, by) in
        [("nftables", By::Ours), ("iptables", By::Ours), ("nftables", By::Reference), ("iptables", By::Reference)]
    {
        let members = masquerade(Some(backend), json!({ "ipam": v4(), "macspoofchk": true }));
        let case = gateway("gc", members.clone());
        let other = gateway(
            "other network",
            merge(
                members.clone(),
                json!({ "name": "n2", "bridge": "br1", "ipam": ipam(json!({ "subnet": "10.2.0.0/24" })) }),
            ),
        );
        let twin = Twin::new(&reference);
        for (id, case) in [("c1", &case), ("c2", &case), ("c3", &other)] {
            if id != "c1" {
                twin.machine.netns(id);
            }
            let netns = format!("/run/netns/{id}");
            let env = [("CNI_CONTAINERID", id), ("CNI_NETNS", netns.as_str())];
            let added = twin.call(by, "bridge", "ADD", &env, &case.config);
            assert!(added.succeeded(), "{added:?}");
        }
        let before = twin.rules();
        twin.script("ip netns del c2");
        // The kernel takes its time to remove what was in the namespace.
        twin.script("for i in $(seq 100); do [ $(ip -br link show master br0 | wc -l) = 1 ] && exit 0; sleep 0.05; done; exit 1");
        let live =
            json!({ "cniVersion": "1.1.0", "cni.dev/valid-attachments": [{ "containerID": "c1", "ifname": "eth0" }] });
        let gc = gateway("gc", merge(members, live));
        for _ in 0..2 {
            let collected = twin.run(By::Ours, "GC", &gc);
            assert!(collected.succeeded(), "{collected:?}");
        }
        let after = twin.rules();
        assert!(after.iter().all(|rule| before.contains(rule)));
        let gone: Vec<_> = before.iter().filter(|rule| !after.contains(rule)).collect();
        let kept = |word: &str| after.iter().filter(|rule| rule.contains(word)).count();
        assert!(
            gone.len() >= 5 && gone.iter().all(|rule| !rule.contains("10.1.0.2") && !rule.contains("10.2.0.2")),
            "{gone:#?}"
        );
        assert!(kept("10.1.0.2") > 0 && kept("10.2.0.2") > 0, "{after:#?}");
        assert!(kept("c1-eth0") > 0 && kept("c3-eth0") > 0 && kept("c2-eth0") == 0, "{after:#?}");
        assert_eq!(twin.leases().len(), 2);
    }
}

#[test]
fn a_repeated_add_leaves_one_set_of_rules() {
    let Some(reference) = reference() else { return };
    if !installed(&TOOLS) {
        return;
    }
    for backend in ["nftables", "iptables"] {
        let case = gateway("again", masquerade(Some(backend), json!({ "ipam": v4() })));
        let twins = [By::Reference, By::Ours].map(|by| {
            let twin = Twin::new(&reference);
            assert!(twin.run(by, "ADD", &case).succeeded());
            // As if the node had lost its interfaces and leases, but not its rules.
            twin.script("ip -n c1 link del eth0; rm $FOLDER/data/n1/10.1.0.2 $FOLDER/data/n1/last_reserved_ip.0");
            assert!(twin.run(by, "ADD", &case).succeeded());
            twin
        });
        compare_states(&twins, &case.keep()).unwrap_or_else(|lines| panic!("{backend}:\n{lines}"));
    }
}
