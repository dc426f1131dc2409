//! Where ours differs on purpose, and how.

use serde_json::json;

use super::{
    corpus::{Case, bridge, gateway, ipam},
    reference,
    twins::{By, Reply, Twin},
};

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
