//! `host-device` beside the reference's.

use serde_json::{Value, json};

use super::{
    both,
    corpus::{Case, dual, ipam, merge, raw, v4, v6},
    each, reference, same,
    twins::{By, Twin, compare_states},
};
use crate::host_device::{DEVICES, SYSFS, shown};

/// A device, selected by these members.
fn host_device(name: &'static str, members: Value) -> Case {
    let config = json!({ "cniVersion": "1.1.0", "name": "n1", "type": "host-device" });
    raw("host-device", name, merge(config, members).to_string()).after(DEVICES)
}

/// The device `d0`, with these members besides.
fn d0(name: &'static str, members: Value) -> Case {
    host_device(name, merge(json!({ "device": "d0" }), members))
}

/// Hardware that shows in sysfs, selected by these members.
fn hardware(name: &'static str, members: Value) -> Case {
    host_device(name, members).after(SYSFS)
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
    let dpdk = json!({ "pciBusID": "0000:00:1b.0", "ipam": dual(), "dns": { "domain": "d" } });
    let mut cases = vec![
        d0("a name", json!({})),
        d0("a name, IPv4", json!({ "ipam": v4() })),
        d0("a name, IPv6", json!({ "ipam": v6() })),
        d0("a name, dual stack", json!({ "ipam": dual() })),
        d0("default routes", routes(json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]))),
        d0("routes with gateways", routes(json!([{ "dst": "10.9.0.0/16", "gw": "10.1.0.9", "priority": 7 }, { "dst": "fd09::/48", "gw": "fd00:10::9" }]))),
        d0("fixed addresses", fixed(json!([{ "address": "10.1.0.5/24" }, { "address": "10.1.0.6/32" , "gateway": "10.1.0.1" }]))),
        d0("dns", json!({ "ipam": v4(), "dns": { "nameservers": ["10.0.0.1"], "domain": "d" } })),
        d0("dns without ipam", json!({ "dns": { "domain": "d" } })),
        d0("no dns beats resolvConf", json!({ "ipam": ipam(json!({ "subnet": "10.1.0.0/24", "resolvConf": "$FOLDER/resolv.conf" })) }))
            .after("ip link add d0 type veth peer name d1; echo nameserver 10.0.0.53 >$FOLDER/resolv.conf"),
        d0("an empty ipam", json!({ "ipam": {} })),
        d0("another interface", json!({ "ipam": v4() })).env("CNI_IFNAME", "net-1.0_x"),
        d0("the same name in the container", json!({ "ipam": v4() })).env("CNI_IFNAME", "d0"),
        d0("up, with addresses, an mtu and an alias", json!({ "ipam": dual() }))
            .after("ip netns add wire; ip link add d0 mtu 1400 type veth peer name d1 netns wire; ip -n wire link set d1 up; ip link set d0 up alias uplink; ip addr add 10.5.0.1/24 dev d0; ip addr add fd05::1/64 dev d0 nodad"),
        d0("a bridge's port", json!({}))
            .after("ip link add br0 type bridge; ip link add d0 type veth peer name d1; ip link set d0 master br0 up; ip link set br0 up"),
        d0("the name is in use in the container", json!({})).after("ip link add d0 type veth peer name d1; ip -n c1 link add d0 type bridge"),
        d0("the container's name is in use on the host", json!({})).after("ip link add d0 type veth peer name d1; ip link add eth0 type bridge"),
        d0("its index is in use in the container", json!({}))
            .after("ip -n c1 link add index 77 x0 type bridge; ip link add index 77 d0 type veth peer name d1"),
        host_device("an alternative name", json!({ "device": "uplink0" }))
            .after("ip link add d0 type veth peer name d1; ip link property add dev d0 altname uplink0"),
        d0("IPv6 disabled in the container", json!({ "ipam": dual() }))
            .after("ip link add d0 type veth peer name d1; ip netns exec c1 sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"),
        d0("the name beats everything", json!({ "hwaddr": "zz", "kernelpath": "x" })),
        host_device("a MAC", json!({ "hwaddr": "02:00:00:00:aa:00" })),
        host_device("a MAC in upper case", json!({ "hwaddr": "02:00:00:00:AA:00", "ipam": v4() })),
        host_device("a MAC with dashes", json!({ "hwaddr": "02-00-00-00-aa-00", "kernelpath": "x" })),
        host_device("the first of a MAC", json!({ "hwaddr": "02:00:00:00:aa:02" })).after("ip link add d0 type veth peer name d1; ip link set d1 address 02:00:00:00:aa:02; ip link set d0 address 02:00:00:00:aa:02"),
        host_device("keys in upper case, twice, unknown", json!({ "DEVICE": "d0", "unknown": [1], "dpdkmode": false, "runtimeConfig": null })),
        hardware("a kernel path", json!({ "kernelpath": "/sys/devices/x" })),
        hardware("a kernel path with slashes to spare", json!({ "kernelpath": "/sys/devices//y/../x//" })),
        hardware("PCI", json!({ "pciBusID": "0000:00:19.0", "ipam": v4() })),
        hardware("PCI, virtio", json!({ "pciBusID": "0000:00:1a.0" })),
        hardware("PCI, the second virtio device", json!({ "pciBusID": "0000:00:22.0" })),
        hardware("PCI, DPDK", json!({ "pciBusID": "0000:00:1b.0" })),
        hardware("PCI, DPDK, addresses", dpdk),
        hardware("PCI is not DPDK whatever is said", json!({ "pciBusID": "0000:00:19.0", "DPDKMode": true })),
        hardware("DPDK is said", json!({ "device": "d0", "DPDKMode": true, "ipam": v4() })),
        hardware("a name, and PCI says DPDK", json!({ "device": "d1", "pciBusID": "0000:00:1b.0" })),
        hardware("deviceID, PCI", json!({ "runtimeConfig": { "deviceID": "0000:00:19.0" } })),
        hardware("deviceID, DPDK", json!({ "runtimeConfig": { "deviceID": "0000:00:1b.0" } })),
        hardware("deviceID, auxiliary", json!({ "runtimeConfig": { "deviceID": "mlx5_core.sf.2" }, "ipam": v4() })),
        hardware("deviceID, auxiliary, DPDK is said", json!({ "DPDKMode": true, "runtimeConfig": { "deviceID": "mlx5_core.sf.2" } })),
        hardware("deviceID, the first of two devices", json!({ "runtimeConfig": { "deviceID": "two" } })),
        hardware("deviceID beats pciBusID", json!({ "pciBusID": "0000:00:99.0", "runtimeConfig": { "deviceID": "mlx5_core.sf.2" } })),
        hardware("a name beats deviceID", json!({ "device": "d1", "runtimeConfig": { "deviceID": "mlx5_core.sf.2" } })),
    ];
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        cases.push(d0(version, json!({ "cniVersion": version, "ipam": dual(), "dns": { "domain": "d" } })));
    }
    for version in ["0.3.0", "0.4.0", "1.0.0"] {
        cases.push(d0(version, json!({ "cniVersion": version })));
    }
    cases
}

/// Both fail, and ours leaves the device as it was.
#[rustfmt::skip]
fn bad() -> Vec<Case> {
    let busy = "ip link add d0 mtu 1400 type veth peer name d1; ip link set d1 up; ip link set d0 up alias uplink; \
                ip addr add 10.5.0.1/24 dev d0; ip addr add fd05::1/64 dev d0 nodad";
    let exhausted = || json!({ "ipam": ipam(json!({ "ranges": [[{ "subnet": "10.1.0.0/30" }]] })) });
    vec![
        host_device("nothing is selected", json!({})),
        host_device("nothing, in so many words", json!({ "device": "", "DPDKMode": true })),
        host_device("no such device", json!({ "device": "nope" })),
        host_device("a name that is a path", json!({ "device": "a/b" })),
        host_device("a name that is too long", json!({ "device": "abcdefghijklmnopq" })),
        host_device("no MAC", json!({ "hwaddr": "zz" })),
        host_device("no device of that MAC", json!({ "hwaddr": "02:00:00:00:aa:09" })),
        host_device("all zeros are no MAC", json!({ "hwaddr": "00:00:00:00:00:00" })),
        host_device("a kernel path of elsewhere", json!({ "kernelpath": "/foo" })),
        host_device("a relative kernel path", json!({ "kernelpath": "sys/devices/x" })),
        host_device("a kernel path that leads elsewhere", json!({ "kernelpath": "/sys/devices/../../etc" })).differs("ours does not look there"),
        host_device("device is a number", json!({ "device": 3 })),
        host_device("hwaddr is a number", json!({ "hwaddr": 3 })),
        host_device("kernelpath is a number", json!({ "kernelpath": 3 })),
        host_device("pciBusID is a number", json!({ "pciBusID": 3 })),
        host_device("DPDKMode is a number", json!({ "device": "d0", "DPDKMode": 1 })),
        host_device("runtimeConfig is a number", json!({ "runtimeConfig": 3 })),
        host_device("deviceID is a number", json!({ "runtimeConfig": { "deviceID": 3 } })),
        host_device("lo", json!({ "device": "lo" })),
        host_device("a bridge does not move", json!({ "device": "br0" })).after("ip link add br0 type bridge"),
        d0("the container's lo", json!({})).env("CNI_IFNAME", "lo"),
        d0("eth0 exists", json!({ "ipam": v4() })).after("ip link add d0 type veth peer name d1; ip -n c1 link add eth0 type bridge"),
        d0("another name of its own", json!({})).env("CNI_IFNAME", "uplink0").differs("ours does not look who has the name")
            .after("ip link add d0 type veth peer name d1; ip link property add dev d0 altname uplink0; ip link set d0 up"),
        d0("unknown ipam", json!({ "ipam": { "type": "nope" } })).after(busy),
        d0("exhausted", exhausted()).after(concat!(
            "mkdir -p $FOLDER/data/n1; printf 'o\\r\\neth0' >$FOLDER/data/n1/10.1.0.2; ",
            "ip link add d0 type veth peer name d1; ip link set d0 up; ip addr add 10.5.0.1/24 dev d0")),
        d0("an unreachable gateway", routes(json!([{ "dst": "10.9.0.0/16", "gw": "10.77.0.1" }]))).after(busy),
        d0("no address", fixed(json!([]))).after(busy),
        d0("no address in 0.2.0", json!({ "cniVersion": "0.2.0" })).after(busy),
        d0("no address, of a bridge's port", fixed(json!([])))
            .after("ip link add br0 type bridge; ip link add d0 type veth peer name d1; ip link set d0 master br0 up; ip link set br0 up"),
        d0("no namespace", json!({})).env("CNI_NETNS", "/nonexistent/ns"),
        d0("an unknown version", json!({ "cniVersion": "1.2.0" })),
        hardware("nothing at a kernel path", json!({ "kernelpath": "/sys/devices/none" })),
        hardware("no network device at a kernel path", json!({ "kernelpath": "/sys/devices/empty" })),
        hardware("no such network device at a kernel path", json!({ "kernelpath": "/sys/devices/wrong" })),
        hardware("PCI is not there", json!({ "pciBusID": "0000:00:99.0" })),
        hardware("a name, but PCI is not there", json!({ "device": "d0", "pciBusID": "0000:00:99.0" })),
        hardware("PCI without a driver", json!({ "pciBusID": "0000:00:1c.0" })),
        hardware("PCI without a network device", json!({ "pciBusID": "0000:00:1d.0" })),
        hardware("PCI, its network device is elsewhere", json!({ "pciBusID": "0000:00:1e.0" })),
        hardware("PCI, virtio, its network device is elsewhere", json!({ "pciBusID": "0000:00:20.0" })),
        hardware("PCI, no such network device", json!({ "pciBusID": "0000:00:1f.0" })),
        hardware("PCI is a path", json!({ "pciBusID": "../devices/0000:00:19.0/.." })).differs("ours does not look there"),
        hardware("deviceID is not there", json!({ "runtimeConfig": { "deviceID": "gone" } })),
        hardware("deviceID is a path", json!({ "runtimeConfig": { "deviceID": "a/b" } })),
        hardware("auxiliary without a network device", json!({ "runtimeConfig": { "deviceID": "none" } })),
        hardware("auxiliary, its network device is elsewhere", json!({ "runtimeConfig": { "deviceID": "empty" } })),
        hardware("auxiliary, no such network device", json!({ "runtimeConfig": { "deviceID": "wrong" } })),
        hardware("DPDK, no address", merge(json!({ "pciBusID": "0000:00:1b.0" }), fixed(json!([])))),
    ]
}

#[test]
fn ours_does_what_the_reference_does() {
    let Some(reference) = reference() else { return };
    each(&good(), |case| {
        let twins = super::twins(&reference, case);
        let states =
            |after: &str| compare_states(&twins, &case.keep()).map_err(|lines| format!("after {after}:\n{lines}"));
        let added = both(&twins, "ADD", case)?;
        if !added[0].succeeded() {
            return Err(format!("ADD should succeed: {}", added[0].stdout));
        }
        states("ADD")?;
        let checks = [twins[0].check(By::Reference, case, &added[0]), twins[1].check(By::Ours, case, &added[1])];
        same(&twins, "CHECK", case, &checks)?;
        both(&twins, "DEL", case)?;
        states("DEL")?;
        // Deliberate: the reference misses what its first DEL has moved back.
        let again = twins[1].run(By::Ours, "DEL", case);
        if !again.succeeded() {
            return Err(format!("a second DEL by ours: {again:?}"));
        }
        states("a second DEL")
    });
}

#[test]
fn ours_refuses_what_the_reference_refuses_and_keeps_the_device() {
    let Some(reference) = reference() else { return };
    each(&bad(), |case| {
        let twins = super::twins(&reference, case);
        let state = || (shown(&twins[1].machine), twins[1].inventory());
        let before = state();
        let added = [twins[0].run(By::Reference, "ADD", case), twins[1].run(By::Ours, "ADD", case)];
        if added.iter().any(|reply| reply.succeeded()) {
            return Err(format!("ADD should fail: {added:#?}"));
        }
        let after = state();
        if before != after {
            return Err(format!("before and after ADD by ours:\n{before:#?}\n{after:#?}\n"));
        }
        let deleted = [twins[0].run(By::Reference, "DEL", case), twins[1].run(By::Ours, "DEL", case)];
        let after = state();
        if before != after {
            return Err(format!("before and after DEL by ours:\n{before:#?}\n{after:#?}\n"));
        }
        let said = same(&twins, "ADD", case, &added).and_then(|()| {
            // Deliberate: there is nothing for DEL to do.
            if deleted[1].succeeded() { Ok(()) } else { same(&twins, "DEL", case, &deleted) }
        });
        match (said, case.differs) {
            (Ok(()), Some(reason)) => Err(format!("no longer so: {reason}")),
            (Err(difference), None) => Err(difference),
            _ => Ok(()),
        }
    });
}

#[test]
fn version_and_status() {
    let Some(reference) = reference() else { return };
    let cases = [
        d0("host-device", json!({})),
        d0("with ipam", json!({ "ipam": v4() })),
        d0("an unknown ipam", json!({ "ipam": { "type": "nope" } })),
        host_device("a device that is not there", json!({ "device": "nope" })),
        host_device("told at ADD", json!({ "capabilities": { "deviceID": true } })),
        d0("1.0.0", json!({ "cniVersion": "1.0.0" })),
    ];
    super::say_the_same(&reference, &cases);
}

#[test]
fn check_finds_changes() {
    let Some(reference) = reference() else { return };
    let plain = || d0("changed", routes(json!([{ "dst": "0.0.0.0/0" }])));
    super::check_after_each(&reference, plain, &super::CHANGES);
}

#[test]
fn check_reads_the_result() {
    let Some(reference) = reference() else { return };
    let named = |name: &str, sandbox: &str| json!([{ "name": name, "sandbox": sandbox }]);
    let cases = [
        ("the result is empty", json!({})),
        ("another sandbox", json!({ "interfaces": named("eth0", "/run/netns/c2") })),
        ("another name", json!({ "interfaces": named("eth1", "/run/netns/c1") })),
        ("no MAC", json!({ "interfaces": named("eth0", "/run/netns/c1") })),
        ("an address", json!({ "interfaces": named("eth0", "/run/netns/c1"), "ips": [{ "address": "10.1.0.2/24" }] })),
        ("a route", json!({ "interfaces": named("eth0", "/run/netns/c1"), "routes": [{ "dst": "10.1.0.0/24" }] })),
        ("of another family", json!({ "cniVersion": "0.4.0" })),
    ];
    let dpdk = json!({ "pciBusID": "0000:00:1b.0", "prevResult": {} });
    let mut cases: Vec<_> = cases.into_iter().map(|(name, prev)| d0(name, json!({ "prevResult": prev }))).collect();
    cases.extend([d0("none", json!({})), d0("0.3.1", json!({ "cniVersion": "0.3.1" })), hardware("DPDK", dpdk)]);
    each(&cases, |case| {
        let twins = super::twins(&reference, case);
        both(&twins, "ADD", case)?;
        both(&twins, "CHECK", case).map(drop)
    });
}

/// A clash on the host leaves the device in the container, whole.
#[test]
fn host_device_47_del_that_cannot_finish() {
    let Some(reference) = reference() else { return };
    // An alias that is no name, which stops the reference, does not count for ours: see `identity`.
    let cases = ["ip link add d0 type bridge", "ip -n c1 link set eth0 down; ip link add d0 type bridge"];
    each(&cases.map(|script| d0("stuck", json!({ "ipam": v4() })).after(script)), |case| {
        let plain = d0("stuck", json!({ "ipam": v4() }));
        let twins = super::twins(&reference, &plain);
        both(&twins, "ADD", &plain)?;
        twins.iter().for_each(|twin| twin.script(case.before));
        let before = shown(&twins[1].machine);
        let deleted = both(&twins, "DEL", case)?;
        if deleted[0].succeeded() {
            return Err("DEL should fail".into());
        }
        let after = shown(&twins[1].machine);
        if before != after {
            return Err(format!("before and after DEL by ours:\n{before:#?}\n{after:#?}\n"));
        }
        Ok(())
    });
}

#[test]
fn each_implementation_checks_and_deletes_what_the_other_adds() {
    let Some(reference) = reference() else { return };
    let twin = Twin::new(&reference);
    twin.script(DEVICES);
    let case = d0("dual stack", json!({ "ipam": dual() }));
    let before = shown(&twin.machine);
    for [by, other] in [[By::Reference, By::Ours], [By::Ours, By::Reference]] {
        let added = twin.run(by, "ADD", &case);
        assert!(added.succeeded(), "{by:?}: {added:?}");
        assert_eq!(twin.machine.ip("-n c1 link show eth0")[0]["ifalias"], "d0");
        let checked = twin.check(other, &case, &added);
        assert!(checked.succeeded(), "ADD by {by:?}, CHECK by the other: {checked:?}");
        let deleted = twin.run(other, "DEL", &case);
        assert!(deleted.succeeded(), "ADD by {by:?}, DEL by the other: {deleted:?}");
        assert_eq!(shown(&twin.machine), before, "ADD by {by:?}, DEL by the other");
        assert_eq!(twin.leases(), [""; 0]);
    }
}
