//! Ours beside the reference plugins: the same calls, compared in what they say
//! and in what the kernel and the disk have then. Without the reference (see
//! `.ci/reference-plugins`) these tests are skipped.

mod chains;
mod corpus;
mod deviations;
mod filters;
mod host_device;
mod macvlan;
mod mixed;
mod ptp;
mod sbr;
mod twins;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use serde_json::json;

use corpus::{Case, addresses, bad, bridge, gateway, good, host_local, static_};
use twins::{By, Reply, Twin, compare_states};

/// Where the reference is. Its absence is said once for each test.
fn reference() -> Option<PathBuf> {
    let given = crate::machine::variable("CNI_REFERENCE_PLUGINS").map(PathBuf::from);
    let usual = ["/opt/cni/bin", "/usr/lib/cni"].map(PathBuf::from);
    let found = given.into_iter().chain(usual).find(|folder| is_recent(&folder.join("bridge")));
    if found.is_none() {
        let test = thread::current();
        eprintln!(
            "skipped: {}: no reference plugins 1.9 or newer in $CNI_REFERENCE_PLUGINS, /opt/cni/bin or \
             /usr/lib/cni; `.ci/reference-plugins DIR` fetches them",
            test.name().unwrap_or_default()
        );
    }
    found
}

/// Distributions' builds do not always know their version; those speak CNI 1.1.0
/// if they are recent.
fn is_recent(bridge: &Path) -> bool {
    let Ok(output) = Command::new(bridge).env_remove("CNI_COMMAND").output() else { return false };
    let text = String::from_utf8_lossy(&output.stderr);
    let Some((_, version)) = text.lines().next().unwrap_or_default().split_once("CNI bridge plugin ") else {
        return false;
    };
    let mut numbers =
        version.trim_start_matches('v').split(['.', '-', '+']).map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) >= (1, 9),
        _ => version == "version unknown" && text.contains(" 1.1.0"),
    }
}

/// Runs `test` over the cases, some at a time: the kernel takes seconds to come
/// to rest, and no processor.
fn each(cases: &[Case], test: impl Fn(&Case) -> Result<(), String> + Sync) {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut failures = String::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(failure) = test(case) {
                failures += &format!("\n{}: {}\n{failure}", case.name, case.config);
            }
        }
        failures
    };
    let failures: String = thread::scope(|scope| {
        let workers: Vec<_> = (0..10).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "ours differs:{failures}");
}

/// Both twins, after the case's script.
fn twins(reference: &Path, case: &Case) -> [Twin; 2] {
    [(); 2].map(|()| {
        let twin = Twin::new(reference);
        twin.script(case.before);
        twin
    })
}

/// A command through both. Gives the reference's reply and ours, or how they differ.
fn both(twins: &[Twin; 2], command: &str, case: &Case) -> Result<[Reply; 2], String> {
    let replies = [twins[0].run(By::Reference, command, case), twins[1].run(By::Ours, command, case)];
    same(twins, command, case, &replies)?;
    Ok(replies)
}

/// Whether two replies are the same to the byte, but for what is at random.
fn same(twins: &[Twin; 2], command: &str, case: &Case, replies: &[Reply; 2]) -> Result<(), String> {
    let keep = case.keep();
    let [expected, got] = [0, 1].map(|i| {
        let Reply { status, stdout } = &replies[i];
        format!("status {status:?}\n{}", twins[i].words(&keep).apply(stdout))
    });
    if expected == got {
        return Ok(());
    }
    Err(format!("{command} by the reference:\n{expected}\n{command} by ours:\n{got}\n"))
}

fn attach_and_detach(reference: &Path, case: &Case) -> Result<(), String> {
    let twins = twins(reference, case);
    let states = |after: &str| compare_states(&twins, &case.keep()).map_err(|lines| format!("after {after}:\n{lines}"));
    let added = both(&twins, "ADD", case)?;
    if !added[0].succeeded() {
        return Err(format!("ADD should succeed: {}", added[0].stdout));
    }
    states("ADD")?;
    let checks = [twins[0].check(By::Reference, case, &added[0]), twins[1].check(By::Ours, case, &added[1])];
    if case.is_layer_2() || case.differs.is_some() {
        // Deliberate: ours finds nothing wrong. On layer 2 the reference misses
        // an IPAM plugin that its ADD did not need.
        if checks[0].succeeded() || !checks[1].succeeded() {
            return Err(format!("only the reference's CHECK should fail: {checks:#?}"));
        }
    } else {
        same(&twins, "CHECK", case, &checks)?;
    }
    if case.reference_fails_del {
        let deleted = [twins[0].run(By::Reference, "DEL", case), twins[1].run(By::Ours, "DEL", case)];
        if deleted[0].succeeded() || !deleted[1].succeeded() {
            return Err(format!("only the reference's DEL should fail: {deleted:#?}"));
        }
        let left = twins[1].rules();
        return if left.is_empty() { Ok(()) } else { Err(format!("after DEL by ours: {left:#?}")) };
    }
    for time in ["DEL", "a second DEL"] {
        both(&twins, "DEL", case)?;
        states(time)?;
    }
    Ok(())
}

fn refuse(reference: &Path, case: &Case) -> Result<(), String> {
    let twins = twins(reference, case);
    let before = twins[1].inventory();
    let added = [twins[0].run(By::Reference, "ADD", case), twins[1].run(By::Ours, "ADD", case)];
    if added.iter().any(Reply::succeeded) {
        return Err(format!("ADD should fail: {added:#?}"));
    }
    // Deliberate: the reference leaves the interfaces to DEL.
    let after = twins[1].inventory();
    if before != after {
        return Err(format!("before and after ADD by ours:\n{before:#?}\n{after:#?}\n"));
    }
    let said = same(&twins, "ADD", case, &added).and_then(|()| both(&twins, "DEL", case));
    match (said, case.differs) {
        (Ok(_), Some(reason)) => Err(format!("no longer so: {reason}")),
        (Err(difference), None) => Err(difference),
        _ => Ok(()),
    }
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
    let cases = [
        gateway("bridge", json!({})),
        gateway("bridge and an unknown ipam", json!({ "ipam": { "type": "nope" } })),
        gateway("STATUS is not of this version", json!({ "cniVersion": "1.0.0" })),
        gateway("an unknown version", json!({ "cniVersion": "9.0.0" })),
        bridge("layer 2", json!({})),
        host_local("host-local", json!({})),
        static_("static", json!({})),
        static_("static, ipam makes no sense", json!({ "ipam": 3 })),
    ];
    say_the_same(&reference, &cases);
}

/// VERSION, STATUS and what is no command.
fn say_the_same(reference: &Path, cases: &[Case]) {
    each(cases, |case| {
        let twins = twins(reference, case);
        for command in ["VERSION", "STATUS", "FOO"] {
            both(&twins, command, case)?;
        }
        Ok(())
    });
}

#[test]
fn del_without_the_namespace() {
    let Some(reference) = reference() else { return };
    let gone = |name, netns| gateway(name, json!({})).env("CNI_NETNS", netns);
    let cases = [gone("its path is gone", "/run/netns/c9"), gone("no path is given", "")];
    each(&cases, |case| del_out_of_reach(&reference, &gateway("attached", json!({})), case));
}

/// DEL of an attachment whose namespace is there, but that the caller does not
/// find. Deliberate: ours removes the interfaces too, by the host's end.
fn del_out_of_reach(reference: &Path, attached: &Case, case: &Case) -> Result<(), String> {
    let twins = twins(reference, attached);
    both(&twins, "ADD", attached)?;
    for time in ["DEL", "a second DEL"] {
        both(&twins, "DEL", case)?;
        let left = [0, 1].map(|i| (twins[i].leases(), twins[i].machine.devices("-n c1 ").len()));
        if left != [(vec![], 2), (vec![], 1)] {
            return Err(format!("after {time}, leases and interfaces of the container: {left:?}"));
        }
    }
    Ok(())
}

/// Of a container whose interface is nobody's port.
const CHANGES: [&str; 8] = [
    "ip -n c1 addr del 10.1.0.2/24 dev eth0",
    "ip -n c1 route del default",
    "ip -n c1 link set eth0 down",
    "ip -n c1 link set eth0 address 02:00:00:00:00:01",
    "ip -n c1 link del eth0",
    "ip -n c1 link del eth0; ip -n c1 link add eth0 type bridge",
    "ip -n c1 link set eth0 name eth1",
    "rm $FOLDER/data/n1/10.1.0.2 $FOLDER/data/n1/fd00:10::2",
];

#[test]
fn check_finds_changes() {
    let Some(reference) = reference() else { return };
    let plain = || gateway("changed", json!({ "isDefaultGateway": true }));
    let cases = [
        "ip -n c1 addr del 10.1.0.2/24 dev eth0",
        "ip -n c1 route del default",
        "ip -n c1 link set eth0 down",
        "ip -n c1 link set eth0 address 02:00:00:00:00:01",
        "ip -n c1 link del eth0",
        "ip link del br0",
        "ip link set br0 address 02:00:00:00:00:01",
        "ip link set $(ip -br link show master br0 | cut -d@ -f1) nomaster",
        "ip link set $(ip -br link show master br0 | cut -d@ -f1) address 02:00:00:00:00:01",
        "rm $FOLDER/data/n1/10.1.0.2",
        "ip -n c1 link set eth0 name eth1",
    ];
    check_after_each(&reference, plain, &cases);
}

/// CHECK of an attachment after each of these scripts fails in the same words.
fn check_after_each(reference: &Path, attached: impl Fn() -> Case + Sync, scripts: &[&'static str]) {
    let cases: Vec<_> = scripts.iter().map(|script| attached().after(script)).collect();
    each(&cases, |case| {
        let twins = twins(reference, &attached());
        let added = both(&twins, "ADD", &attached())?;
        twins.iter().for_each(|twin| twin.script(case.before));
        let checks = [twins[0].check(By::Reference, case, &added[0]), twins[1].check(By::Ours, case, &added[1])];
        same(&twins, case.before, case, &checks)?;
        if checks[0].succeeded() { Err("CHECK should fail".into()) } else { Ok(()) }
    });
}

#[test]
fn check_compares_static_gateways() {
    let Some(reference) = reference() else { return };
    let via = |address, gateway| json!({ "address": address, "gateway": gateway });
    let case = |name, wanted, previous| {
        let previous = json!({ "cniVersion": "1.1.0", "ips": previous });
        static_(name, json!({ "ipam": addresses(json!([wanted])), "prevResult": previous }))
    };
    let five = || via("10.1.0.5/24", "10.1.0.1");
    let cases = [
        case("the same", five(), json!([five()])),
        case("another prefix", five(), json!([via("10.1.0.5/8", "10.1.0.1")])),
        case("another gateway", five(), json!([via("10.1.0.5/24", "10.1.0.2")])),
        case("another gateway, IPv6", via("fd00::5/64", "fd00::1"), json!([via("fd00::5/64", "fd00::2")])),
        case("no gateway any more", five(), json!([{ "address": "10.1.0.5/24" }])),
        case("a gateway since", json!("10.1.0.5/24"), json!([five()])),
        case("another address", five(), json!([via("10.1.0.6/24", "10.1.0.2")])),
        case("no address", five(), json!([])),
        case("the first of two", five(), json!([five(), via("10.1.0.5/24", "10.1.0.2")])),
        case("the second of two", five(), json!([via("10.1.0.5/24", "10.1.0.2"), five()])),
        case("mapped before", five(), json!([via("::ffff:10.1.0.5/120", "::ffff:10.1.0.2")])),
        static_("no result", json!({})),
        static_("the result is null", json!({ "prevResult": null })),
        static_("the result is a number", json!({ "prevResult": 3 })),
        static_("the result is of another family", json!({ "prevResult": { "cniVersion": "0.4.0" } })),
        static_("no result, nor ipam", json!({ "ipam": null })),
        static_("no result, and dns is a number", json!({ "dns": 3 })),
        static_("no result, and type is a number", json!({ "type": 3 })),
        static_(
            "0.4.0",
            json!({ "cniVersion": "0.4.0", "prevResult": { "ips": [{ "version": "4", "address": "10.1.0.5/24" }] } }),
        ),
    ];
    each(&cases, |case| both(&twins(&reference, case), "CHECK", case).map(drop));
}
