//! Both implementations on one machine: a node may switch in the middle of its
//! life, and back.

use std::{collections::BTreeSet, thread};

use serde_json::{Value, json};

use super::{
    corpus::{gateway, host_local, ipam},
    reference,
    twins::{By, Reply, Twin},
};

const BOTH: [By; 2] = [By::Reference, By::Ours];

fn other(by: By) -> By {
    if by == By::Ours { By::Reference } else { By::Ours }
}

fn dual() -> Value {
    let ranges = json!([[{ "subnet": "10.1.0.0/24" }], [{ "subnet": "fd00:10::/64" }]]);
    json!({ "isDefaultGateway": true, "ipam": ipam(json!({ "ranges": ranges })) })
}

fn addresses(added: &Reply) -> Vec<String> {
    assert!(added.succeeded(), "{added:?}");
    let ips = added.json()["ips"].clone();
    ips.as_array().unwrap().iter().map(|ip| ip["address"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_implementation_checks_and_deletes_what_the_other_adds() {
    let Some(reference) = reference() else { return };
    let twin = Twin::new(&reference);
    let case = gateway("dual stack", dual());
    for by in BOTH {
        let added = twin.run(by, "ADD", &case);
        assert!(added.succeeded(), "{by:?}: {added:?}");
        let checked = twin.check(other(by), &case, &added);
        assert!(checked.succeeded(), "ADD by {by:?}, CHECK by the other: {checked:?}");
        for _ in 0..2 {
            let deleted = twin.run(other(by), "DEL", &case);
            assert!(deleted.succeeded(), "ADD by {by:?}, DEL by the other: {deleted:?}");
        }
        assert_eq!(twin.machine.devices("-n c1 "), ["lo"]);
        assert_eq!(twin.machine.devices(""), ["lo", "br0"]);
        assert_eq!(twin.leases(), [""; 0]);
    }
}

#[test]
fn one_after_the_other_on_a_bridge() {
    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let Some(reference) = reference() else { return };
    let twin = Twin::new(&reference);
    let case = gateway("dual stack", dual());
    let call = |by, command, name: &str| {
        let netns = format!("/run/netns/{name}");
        twin.call(by, "bridge", command, &[("CNI_CONTAINERID", name), ("CNI_NETNS", &netns)], &case.config)
    };
    let mut mac = None;
    for (i, name) in NAMES.iter().enumerate() {
        twin.machine.netns(name);
        let added = call(BOTH[i % 2], "ADD", name);
        assert_eq!(addresses(&added), [format!("10.1.0.{}/24", i + 2), format!("fd00:10::{}/64", i + 2)]);
        let now = twin.machine.ip("link show br0")[0]["address"].clone();
        assert_eq!(mac.get_or_insert(now.clone()), &now, "the bridge's MAC stays");
    }
    for (i, name) in NAMES.iter().enumerate() {
        let refused = call(BOTH[(i + 1) % 2], "ADD", name);
        assert!(!refused.succeeded(), "the other has attached {name}");
        assert_eq!(twin.leases().len(), 2 * (NAMES.len() - i), "and keeps its addresses");
        let deleted = call(BOTH[(i + 1) % 2], "DEL", name);
        assert!(deleted.succeeded(), "{deleted:?}");
    }
    assert_eq!(twin.machine.devices(""), ["lo", "br0"]);
    assert_eq!(twin.leases(), [""; 0]);
}

#[test]
fn host_local_at_the_same_time() {
    const COUNT: usize = 32;
    let Some(reference) = reference() else { return };
    let twin = Twin::new(&reference);
    let case = host_local("shared", json!({}));
    let call = |by, command, i: usize| {
        let id = format!("c{i}");
        twin.call(by, "host-local", command, &[("CNI_CONTAINERID", &id)], &case.config)
    };
    // The first call makes the link that ours is called through.
    assert!(call(By::Ours, "DEL", 0).succeeded());
    let each = |command, turn: usize| -> Vec<Reply> {
        let call = &call;
        thread::scope(|scope| {
            let calls: Vec<_> =
                (0..COUNT).map(|i| scope.spawn(move || call(BOTH[(i + turn) % 2], command, i))).collect();
            calls.into_iter().map(|reply| reply.join().unwrap()).collect()
        })
    };
    let given: BTreeSet<_> = each("ADD", 0).iter().flat_map(addresses).collect();
    assert_eq!((given.len(), twin.leases().len()), (COUNT, COUNT));
    for (command, turn) in [("CHECK", 1), ("DEL", 1)] {
        assert!(each(command, turn).iter().all(Reply::succeeded), "{command}");
    }
    assert_eq!(twin.leases(), [""; 0]);
}

#[test]
fn host_local_goes_round_together() {
    let Some(reference) = reference() else { return };
    let twin = Twin::new(&reference);
    let small = ipam(json!({ "ranges": [[{ "subnet": "10.1.0.0/29" }]] }));
    let case = host_local("small", json!({ "ipam": small }));
    let call = |i: usize, command, id: &str| {
        twin.call(BOTH[i % 2], "host-local", command, &[("CNI_CONTAINERID", id)], &case.config)
    };
    for i in 0..12 {
        let id = format!("c{i}");
        assert_eq!(addresses(&call(i, "ADD", &id)), [format!("10.1.0.{}/29", 2 + i % 5)]);
        assert!(call(i + 1, "DEL", &id).succeeded());
    }
    for i in 0..5 {
        assert!(call(i, "ADD", &format!("d{i}")).succeeded());
    }
    let exhausted = [0, 1].map(|i| call(i, "ADD", "one-more"));
    assert_eq!(exhausted[0], exhausted[1]);
    let duplicate = [0, 1].map(|i| call(i, "ADD", "d0"));
    assert_eq!(duplicate[0], duplicate[1]);
}
