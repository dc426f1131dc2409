//! Where ours differs on purpose, and how.

use serde_json::json;

use super::{
    corpus::{Case, bridge, gateway, ipam},
    reference,
    twins::{By, Reply, Twin},
};
use crate::machine::addresses;

/// ADD by the reference in one machine and by ours in the other.
fn add_by_both(case: &Case) -> Option<[(Twin, Reply); 2]> {
    let reference = reference()?;
    Some([By::Reference, By::Ours].map(|by| {
        let twin = Twin::new(&reference);
        twin.script(case.before);
        let reply = twin.run(by, "ADD", case);
        (twin, reply)
    }))
}

#[test]
fn a_failed_add_leaves_no_interfaces() {
    let exhausted = ipam(json!({ "ranges": [[{ "subnet": "10.1.0.0/30" }]] }));
    let lease = "mkdir -p $FOLDER/data/n1; printf 'o\\r\\neth0' >$FOLDER/data/n1/10.1.0.2";
    let case = gateway("exhausted", json!({ "ipam": exhausted })).after(lease);
    let Some([(theirs, refused), (ours, refused_too)]) = add_by_both(&case) else { return };
    assert_eq!(refused, refused_too);
    assert_eq!(theirs.machine.devices("-n c1 "), ["lo", "eth0"]);
    assert_eq!(theirs.machine.devices("").len(), 3);
    assert_eq!(ours.machine.devices("-n c1 "), ["lo"]);
    assert_eq!(ours.machine.devices(""), ["lo"]);
    // So the next ADD of the reference fails for another reason than the first.
    assert!(theirs.run(By::Reference, "ADD", &case).msg().contains("already exists"));
    assert_eq!(ours.run(By::Ours, "ADD", &case), refused);
}

#[test]
fn a_default_route_without_gateway_is_enough_for_a_default_gateway() {
    let routes = ipam(json!({ "ranges": [[{ "subnet": "10.1.0.0/24" }]], "routes": [{ "dst": "0.0.0.0/0" }] }));
    let case = gateway("default route", json!({ "isDefaultGateway": true, "ipam": routes }));
    let Some([(_, refused), (ours, added)]) = add_by_both(&case) else { return };
    assert!(refused.msg().ends_with("file exists"), "{refused:?}");
    assert_eq!(added.json()["routes"], json!([{ "dst": "0.0.0.0/0" }]));
    let default = ours.machine.ip("-n c1 route show default");
    assert_eq!((default.as_array().unwrap().len(), &default[0]["gateway"]), (1, &json!("10.1.0.1")));
}

#[test]
fn the_own_namespace_is_refused_before_anything_is_done() {
    let case = bridge("own namespace", json!({})).env("CNI_NETNS", "/proc/self/ns/net");
    let Some([(theirs, too_late), (ours, refused)]) = add_by_both(&case) else { return };
    assert!(serde_json::from_str::<serde_json::Value>(&too_late.stdout).is_err(), "two documents: {too_late:?}");
    assert!(theirs.machine.devices("").contains(&"eth0".to_owned()));
    assert_eq!(refused.msg(), "plugin's netns and netns from CNI_NETNS should not be the same");
    assert_eq!(ours.machine.devices(""), ["lo"]);
}

#[test]
fn a_bridge_that_has_lost_its_mac_gets_one_that_stays() {
    let script = "ip link add br0 type bridge; ip link add v0 type veth peer name v1; \
                  ip link set v0 master br0; ip link del v0";
    let case = gateway("no MAC", json!({})).after(script);
    let Some([(_, refused), (ours, added)]) = add_by_both(&case) else { return };
    let text = "failed to set bridge addr: could not set bridge's mac: invalid argument";
    assert_eq!(refused.msg(), text);
    assert!(added.succeeded(), "{added:?}");
    let mac = || ours.machine.ip("link show br0")[0]["address"].clone();
    let pinned = mac();
    assert!(ours.run(By::Ours, "DEL", &case).succeeded());
    assert_eq!(mac(), pinned);
}

/// So that udev leaves them alone, and recovery knows them.
#[test]
fn new_links_have_macs_that_were_chosen() {
    let Some(both) = add_by_both(&gateway("new links", json!({}))) else { return };
    for ((twin, _), expected) in both.iter().zip(["1", "3"]) {
        let read = "mount -t sysfs sysfs /sys; cat /sys/class/net/veth*/addr_assign_type";
        let output = twin.machine.command("unshare").args(["--mount", "sh", "-c", read]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected);
    }
}

#[test]
fn del_takes_a_plain_file_for_a_namespace_that_is_gone() {
    let Some(reference) = reference() else { return };
    let case = gateway("a file", json!({})).env("CNI_NETNS", "$FOLDER/file").after(">$FOLDER/file");
    for (by, expected) in [(By::Reference, false), (By::Ours, true)] {
        let twin = Twin::new(&reference);
        twin.script(case.before);
        assert!(twin.run(by, "ADD", &case).msg().contains("unknown FS magic on"), "{by:?}");
        assert_eq!(twin.run(by, "DEL", &case).succeeded(), expected, "{by:?}");
    }
}

#[test]
fn gc_returns_devices_of_invalid_attachments() {
    let gc = json!({ "cni.dev/valid-attachments": [] });
    let Some(both) = add_by_both(&gateway("added", json!({}))) else { return };
    for ((twin, _), (by, left)) in both.iter().zip([(By::Reference, vec!["10.1.0.2"]), (By::Ours, vec![])]) {
        assert!(twin.run(by, "GC", &gateway("gc", gc.clone())).succeeded());
        assert_eq!(twin.leases(), left);
    }
}

#[test]
fn status_refuses_what_add_would_refuse() {
    let Some(reference) = reference() else { return };
    let case = bridge("a bad vlan", json!({ "vlan": 5000 }));
    let twin = Twin::new(&reference);
    assert!(twin.run(By::Reference, "STATUS", &case).succeeded());
    assert_eq!(twin.run(By::Ours, "STATUS", &case).msg(), "invalid VLAN ID 5000 (must be between 0 and 4094)");
}

#[test]
fn mtu_advmss_and_scope_of_a_route_are_set() {
    let routes = |route| ipam(json!({ "ranges": [[{ "subnet": "10.1.0.0/24" }]], "routes": [route] }));
    let metrics = json!({ "dst": "10.9.0.0/16", "mtu": 1400, "advmss": 1360 });
    let Some([(theirs, _), (ours, _)]) = add_by_both(&gateway("metrics", json!({ "ipam": routes(metrics) }))) else {
        return;
    };
    let of = |twin: &Twin| twin.machine.ip("-n c1 route show 10.9.0.0/16")[0].clone();
    assert_eq!(of(&theirs).get("metrics"), None);
    assert_eq!(of(&ours)["metrics"], json!([{ "mtu": 1400, "advmss": 1360 }]));

    let on_link = json!({ "dst": "10.9.0.0/16", "scope": 253 });
    let both = add_by_both(&gateway("scope", json!({ "ipam": routes(on_link) })));
    let [(_, refused), (ours, added)] = both.unwrap();
    assert!(refused.msg().ends_with("network is unreachable"), "{refused:?}");
    assert!(added.succeeded(), "{added:?}");
    assert_eq!((of(&ours).get("gateway"), &of(&ours)["scope"]), (None, &json!("link")));
}

#[test]
fn ipv6_of_a_new_bridge_is_usable_at_once() {
    let ipam = ipam(json!({ "ranges": [[{ "subnet": "fd00:10::/64" }]] }));
    let Some([_, (ours, added)]) = add_by_both(&gateway("IPv6", json!({ "ipam": ipam }))) else { return };
    assert!(added.succeeded());
    let br0 = &ours.machine.ip("addr show br0")[0];
    assert_eq!(addresses(br0), ["fd00:10::1/64"]);
    let all = br0["addr_info"].as_array().unwrap();
    let global = all.iter().find(|address| address["scope"] == "global").unwrap();
    assert_eq!(global.get("tentative"), None, "{global}");
}

#[test]
fn ptp_needs_no_ipam() {
    let plain = |ipam| Case { plugin: "ptp", ..bridge("no ipam", json!({ "type": "ptp", "ipam": ipam })) };
    for case in [plain(json!(null)), plain(json!({}))] {
        let Some([(_, refused), (ours, added)]) = add_by_both(&case) else { return };
        assert_eq!(refused.msg(), "no plugin name provided");
        assert!(added.succeeded(), "{added:?}");
        assert!(ours.run(By::Ours, "DEL", &case).succeeded());
        assert_eq!(ours.machine.devices(""), ["lo"]);
    }
}

#[test]
fn why_ipv6_is_not_to_be_had_is_said() {
    let ipam = ipam(json!({ "ranges": [[{ "subnet": "fd00:10::/64" }]] }));
    let off = "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1";
    let case = gateway("no IPv6", json!({ "ipam": ipam })).after(off);
    let Some([(_, theirs), (_, ours)]) = add_by_both(&case) else { return };
    let why = ": IPv6 is switched off on \"br0\" (net.ipv6.conf.br0.disable_ipv6=1)";
    assert_eq!(ours.msg(), format!("{}{why}", theirs.msg()));
}
