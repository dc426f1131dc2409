//! Checks 52 to 58: `host-local` by itself, and what it keeps on disk.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
};

use serde_json::{Value, json};

use super::{Container, Reply, host_local, msg, plugin, refused, with};
use crate::machine::Machine;

/// With these members of `ipam`.
fn of(ipam: Value) -> Value {
    plugin("host-local", json!({ "ipam": with(&json!({ "type": "host-local" }), ipam) }))
}

fn of_subnets(subnets: &[&str]) -> Value {
    of(host_local(subnets))
}

/// One range with these members.
fn of_range(range: Value) -> Value {
    of(json!({ "ranges": [[range]] }))
}

/// Calls for an attachment. There is no namespace, and nobody misses it.
fn at<'m>(machine: &'m Machine, id: &str, ifname: &str) -> Container<'m> {
    Container { machine, id: id.to_owned(), env: vec![("CNI_IFNAME", ifname.to_owned())] }
}

fn folder(machine: &Machine) -> PathBuf {
    machine.root().join("var/lib/cni/networks/n1")
}

/// The addresses of a result.
fn ips(reply: Reply) -> Vec<String> {
    let result = reply.unwrap();
    let ips = result["ips"].as_array().unwrap();
    ips.iter().map(|ip| ip["address"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn check_52_addresses_in_turn_until_there_are_none() {
    let machine = Machine::new();
    let config = of_subnets(&["10.1.0.0/29"]);
    let call = |id: &str| at(&machine, id, "eth0");
    assert_eq!(ips(call("a").add(&config)), ["10.1.0.2/29"]);
    assert_eq!(ips(call("b").add(&config)), ["10.1.0.3/29"]);
    // What is given back has to wait for its turn.
    call("a").del(&config).unwrap();
    for (id, address) in [("c", "10.1.0.4/29"), ("d", "10.1.0.5/29"), ("e", "10.1.0.6/29"), ("f", "10.1.0.2/29")] {
        assert_eq!(ips(call(id).add(&config)), [address]);
    }
    let text = "failed to allocate for range 0: no IP addresses available in range set: 10.1.0.1-10.1.0.6";
    assert_eq!(call("g").add(&config), refused(text));
    for id in ["e", "f"] {
        call(id).del(&config).unwrap();
    }
    assert_eq!(ips(call("g").add(&config)), ["10.1.0.6/29"]);
    for id in ["g", "b"] {
        call(id).del(&config).unwrap();
    }
    assert_eq!(ips(call("h").add(&config)), ["10.1.0.2/29"]);
}

#[test]
fn check_52_after_the_last_address_the_first_free_one_is_next() {
    let machine = Machine::new();
    let config = of_subnets(&["10.1.0.0/29"]);
    let call = |id: &str| at(&machine, id, "eth0");
    for (i, id) in ["a", "b", "c", "d", "e"].iter().enumerate() {
        assert_eq!(ips(call(id).add(&config)), [format!("10.1.0.{}/29", i + 2)]);
    }
    for id in ["a", "b"] {
        call(id).del(&config).unwrap();
    }
    assert_eq!(ips(call("f").add(&config)), ["10.1.0.2/29"]);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// What new files do not get, in this process and those that it starts.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
    u32::from_str_radix(line.trim(), 8).unwrap()
}

#[test]
fn check_53_files_on_disk() {
    for (data_dir, folder) in [(Value::Null, "var/lib/cni/networks/n1"), (json!("/a/b"), "a/b/n1")] {
        let machine = Machine::new();
        let subnets = host_local(&["10.1.0.0/24", "fd00:10::/64"]);
        let config = of(with(&subnets, json!({ "dataDir": data_dir })));
        let c1 = at(&machine, "c1", "eth0");
        assert_eq!(ips(c1.add(&config)), ["10.1.0.2/24", "fd00:10::2/64"]);
        let folder = machine.root().join(folder);
        let content = |name: &str| String::from_utf8(fs::read(folder.join(name)).unwrap()).unwrap();
        for (name, expected, expected_mode) in [
            ("10.1.0.2", "c1\r\neth0", 0o600),
            ("fd00:10::2", "c1\r\neth0", 0o600),
            ("last_reserved_ip.0", "10.1.0.2", 0o600),
            ("last_reserved_ip.1", "fd00:10::2", 0o600),
            ("lock", "", 0o750 & !umask()),
        ] {
            assert_eq!((content(name).as_str(), mode(&folder.join(name))), (expected, expected_mode), "{name}");
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 5);
        assert_eq!(mode(&folder), 0o755 & !umask());
        c1.del(&config).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
        assert_eq!(content("last_reserved_ip.0"), "10.1.0.2");
    }
}

#[test]
fn check_54_one_address_for_an_interface() {
    let machine = Machine::new();
    let config = of_subnets(&["10.1.0.0/24"]);
    assert_eq!(ips(at(&machine, "c1", "eth0").add(&config)), ["10.1.0.2/24"]);
    let text = "failed to allocate for range 0: 10.1.0.2 has been allocated to c1, duplicate allocation is not allowed";
    assert_eq!(at(&machine, "c1", "eth0").add(&config), refused(text));
    assert_eq!(machine.leases("n1"), ["10.1.0.2"]);
    assert_eq!(ips(at(&machine, "c1", "eth1").add(&config)), ["10.1.0.3/24"]);
    // DEL is of the one interface.
    at(&machine, "c1", "eth0").del(&config).unwrap();
    assert_eq!(machine.leases("n1"), ["10.1.0.3"]);
}

#[test]
fn check_55_addresses_that_are_asked_for() {
    let machine = Machine::new();
    let config = of_subnets(&["10.1.0.0/24", "10.2.0.0/24", "fd00:10::/64"]);
    let members = json!({ "args": { "cni": { "ips": ["10.2.0.60/8"] } }, "runtimeConfig": { "ips": ["fd00:10::60"] } });
    // All three are ways to ask, and a prefix means nothing.
    let c1 = at(&machine, "c1", "eth0").with("CNI_ARGS", "IP=10.1.0.60/30");
    assert_eq!(ips(c1.add(&with(&config, members))), ["10.1.0.60/24", "10.2.0.60/24", "fd00:10::60/64"]);
    // They count for who comes next.
    let c2 = at(&machine, "c2", "eth0");
    assert_eq!(ips(c2.add(&config)), ["10.1.0.61/24", "10.2.0.61/24", "fd00:10::61/64"]);
}

#[test]
fn check_55_what_cannot_be_given_is_refused_and_nothing_leaks() {
    let machine = Machine::new();
    let config = of_subnets(&["10.1.0.0/24", "fd00:10::/64"]);
    assert_eq!(ips(at(&machine, "taken", "eth0").add(&config)), ["10.1.0.2/24", "fd00:10::2/64"]);
    let asking = |ips: &[&str]| with(&config, json!({ "runtimeConfig": { "ips": ips } }));
    let c1 = at(&machine, "c1", "eth0");
    for (asked, text) in [
        (&["10.1.0.1"][..], "failed to allocate for range 0: requested ip 10.1.0.1 is subnet's gateway"),
        (
            &["10.1.0.2"],
            "failed to allocate for range 0: requested IP address 10.1.0.2 is not available in range set \
             10.1.0.1-10.1.0.254",
        ),
        // The first set has given an address by then.
        (&["fd00:10::1"], "failed to allocate for range 1: requested ip fd00:10::1 is subnet's gateway"),
        (&["10.1.0.255"], "failed to allocate all requested IPs: 10.1.0.255"),
        (&["10.9.0.5"], "failed to allocate all requested IPs: 10.9.0.5"),
        (&["10.1.0.5", "10.1.0.6"], "failed to allocate all requested IPs: 10.1.0.6"),
    ] {
        assert_eq!(c1.add(&asking(asked)), refused(text));
        assert_eq!(machine.leases("n1"), ["10.1.0.2", "fd00:10::2"]);
    }
    // One's own is taken too.
    c1.add(&asking(&["10.1.0.5"])).unwrap();
    assert_eq!(
        msg(c1.add(&asking(&["10.1.0.5"]))),
        "failed to allocate for range 0: requested IP address 10.1.0.5 is not available in range set \
         10.1.0.1-10.1.0.254"
    );
}

#[test]
fn check_56_the_order_of_ranges() {
    let machine = Machine::new();
    let config = of(json!({ "subnet": "10.2.0.0/24", "rangeStart": "10.2.0.9", "rangeEnd": "10.2.0.10",
        "gateway": "10.2.0.99", "ranges": [[{ "subnet": "10.3.0.0/24" }]] }));
    let config = with(&config, json!({ "runtimeConfig": { "ipRanges": [[{ "subnet": "10.1.0.0/24" }]] } }));
    let result = at(&machine, "c1", "eth0").add(&config).unwrap();
    let ip = |address: &str, gateway: &str| json!({ "address": address, "gateway": gateway });
    let expected =
        json!([ip("10.1.0.2/24", "10.1.0.1"), ip("10.2.0.9/24", "10.2.0.99"), ip("10.3.0.2/24", "10.3.0.1"),]);
    assert_eq!(result["ips"], expected);
}

#[test]
fn check_56_from_one_range_of_a_set_to_the_next() {
    let machine = Machine::new();
    let config = of(json!({ "ranges": [[
        { "subnet": "10.1.0.0/30" },
        { "subnet": "10.2.0.0/16", "rangeEnd": "10.2.0.3", "gateway": "10.2.0.2" },
    ]] }));
    let expected = [
        ("10.1.0.2/30", "10.1.0.1"),
        // With another gateway .1 is an address like others.
        ("10.2.0.1/16", "10.2.0.2"),
        ("10.2.0.3/16", "10.2.0.2"),
    ];
    for (i, (address, gateway)) in expected.into_iter().enumerate() {
        let result = at(&machine, &format!("c{i}"), "eth0").add(&config).unwrap();
        assert_eq!(result["ips"], json!([{ "address": address, "gateway": gateway }]));
    }
    let text = "failed to allocate for range 0: no IP addresses available in range set: \
                10.1.0.1-10.1.0.2,10.2.0.1-10.2.0.3";
    assert_eq!(at(&machine, "c9", "eth0").add(&config), refused(text));
    at(&machine, "c0", "eth0").del(&config).unwrap();
    assert_eq!(ips(at(&machine, "c9", "eth0").add(&config)), ["10.1.0.2/30"]);
}

#[test]
fn check_57_invalid_ranges_also_on_del_and_check() {
    let machine = Machine::new();
    let c1 = at(&machine, "c1", "eth0");
    let subnet = |subnet: &str| of_range(json!({ "subnet": subnet }));
    let part = |key: &str, ip: &str| of_range(json!({ "subnet": "10.0.0.0/24", key: ip }));
    let set = |set: Value| of(json!({ "ranges": [set] }));
    let asking = |ip: &str| with(&subnet("10.0.0.0/24"), json!({ "runtimeConfig": { "ips": [ip] } }));
    for (config, text) in [
        (plugin("host-local", json!({})), "IPAM config missing 'ipam' key"),
        (of(json!({})), "no IP ranges specified"),
        (subnet("10.0.0.0/31"), "invalid range set 0: Network 10.0.0.0/31 too small to allocate from"),
        (subnet("fd00::/127"), "invalid range set 0: Network fd00::/127 too small to allocate from"),
        (subnet("::ffff:10.0.0.0/120"), "invalid range set 0: IPNet IP and Mask version mismatch"),
        (
            subnet("10.0.0.9/24"),
            "invalid range set 0: Network has host bits set. For a subnet mask of length 24 the network address is \
             10.0.0.0",
        ),
        (part("rangeStart", "10.0.1.5"), "invalid range set 0: RangeStart 10.0.1.5 not in network 10.0.0.0/24"),
        (part("rangeEnd", "10.0.1.5"), "invalid range set 0: RangeEnd 10.0.1.5 not in network 10.0.0.0/24"),
        (
            of_range(json!({ "subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.5" })),
            "invalid range set 0: RangeStart 10.0.0.9 not in network 10.0.0.0/24",
        ),
        (set(json!([])), "invalid range set 0: empty range set"),
        (
            set(json!([{ "subnet": "10.0.0.0/24" }, { "subnet": "fd00::/64" }])),
            "invalid range set 0: mixed address families",
        ),
        (
            set(json!([{ "subnet": "10.0.0.0/24" }, { "subnet": "10.0.0.0/25" }])),
            "invalid range set 0: subnets 10.0.0.1-10.0.0.254 and 10.0.0.1-10.0.0.126 overlap",
        ),
        (of_subnets(&["10.0.0.0/24", "10.0.0.0/16"]), "range set 0 overlaps with 1"),
        (
            of(json!({ "ranges": [[{ "subnet": "10.0.0.0/24" }], [{ "subnet": "10.0.1.0/31" }]] })),
            "invalid range set 1: Network 10.0.1.0/31 too small to allocate from",
        ),
        (subnet("10.0.0.0"), "invalid CIDR address: 10.0.0.0"),
        (part("rangeStart", "foo"), "invalid IP address: foo"),
        (part("rangeEnd", "foo"), "invalid IP address: foo"),
        (part("gateway", "foo"), "invalid IP address: foo"),
        (asking("zz"), "invalid IP address zz"),
    ] {
        for command in ["ADD", "DEL", "CHECK"] {
            assert_eq!(c1.call(command, &config), refused(text), "{command} {config}");
        }
    }
    let two = with(&of_subnets(&["10.0.0.0/24", "10.1.0.0/24"]), json!({ "cniVersion": "0.2.0" }));
    let args = c1.with("CNI_ARGS", "IP=foo");
    for command in ["ADD", "DEL"] {
        let text = "CNI version 0.2.0 does not support more than 1 address per family";
        assert_eq!(c1.call(command, &two), refused(text));
        let text = r#"ARGS: error parsing value of pair "IP=foo": invalid IP address foo"#;
        assert_eq!(args.call(command, &subnet("10.0.0.0/24")), refused(text));
    }
    assert_eq!(machine.leases("n1"), [""; 0]);
}

#[test]
fn check_57_unusual_ranges_that_are_valid() {
    let machine = Machine::new();
    let slice = |start: &str, end: &str| json!([{ "subnet": "10.0.0.0/24", "rangeStart": start, "rangeEnd": end }]);
    let config = of(json!({ "ranges": [slice("10.0.0.9", "10.0.0.19"), slice("10.0.0.20", "10.0.0.29")] }));
    assert_eq!(ips(at(&machine, "c1", "eth0").add(&config)), ["10.0.0.9/24", "10.0.0.20/24"]);
    let outside = of_range(json!({ "subnet": "10.1.0.0/24", "gateway": "10.9.0.1" }));
    let result = at(&machine, "c2", "eth0").add(&outside).unwrap();
    assert_eq!(result["ips"], json!([{ "address": "10.1.0.1/24", "gateway": "10.9.0.1" }]));
}

#[test]
fn check_58_leases_of_old_that_name_no_interface() {
    let machine = Machine::new();
    let config = of_subnets(&["10.1.0.0/24"]);
    let c1 = at(&machine, "c1", "eth0");
    fs::create_dir_all(folder(&machine)).unwrap();
    fs::write(folder(&machine).join("10.1.0.7"), "c1").unwrap();
    assert_eq!(c1.call("CHECK", &config), Ok(Value::Null));
    let text = "failed to allocate for range 0: 10.1.0.7 has been allocated to c1, duplicate allocation is not allowed";
    assert_eq!(c1.add(&config), refused(text));
    c1.del(&config).unwrap();
    assert_eq!(machine.leases("n1"), [""; 0]);
    assert_eq!(c1.call("CHECK", &config), refused("host-local: Failed to find address added by container c1"));
}

#[test]
fn check_58_a_corrupt_last_reserved_ip_counts_as_none() {
    for content in ["10.1.0.9\n", "garbage", "", "10.2.0.9"] {
        let machine = Machine::new();
        fs::create_dir_all(folder(&machine)).unwrap();
        fs::write(folder(&machine).join("last_reserved_ip.0"), content).unwrap();
        let config = of_subnets(&["10.1.0.0/24"]);
        assert_eq!(ips(at(&machine, "c1", "eth0").add(&config)), ["10.1.0.2/24"], "{content:?}");
    }
}

#[test]
fn check_58_resolv_conf() {
    let machine = Machine::new();
    let file = machine.folder().join("resolv.conf");
    let text = "# c\n  nameserver 10.0.0.53\nnameserver fd00::53 more\nnameserver\nsearch a b\nsearch c\n\
                options x y:1\ndomain one\ndomain two\n;x y\nunknown z\n";
    fs::write(&file, text).unwrap();
    let config = |file: &Path| of(with(&host_local(&["10.1.0.0/24"]), json!({ "resolvConf": file })));
    let result = at(&machine, "c1", "eth0").add(&config(&file)).unwrap();
    let dns = json!({ "nameservers": ["10.0.0.53", "fd00::53"], "domain": "two", "search": ["a", "b", "c"],
        "options": ["x", "y:1"] });
    assert_eq!(result["dns"], dns);
    let missing = at(&machine, "c2", "eth0").add(&config(Path::new("/nonexistent")));
    assert_eq!(missing, refused("open /nonexistent: no such file or directory"));
    assert_eq!(machine.leases("n1"), ["10.1.0.2"]);
}

#[test]
fn check_58_forty_at_once() {
    let machine = Machine::new();
    let config = of_subnets(&["10.1.0.0/24", "fd00:10::/64"]);
    // The first call makes the link of this name.
    at(&machine, "c0", "eth0").call("VERSION", &config).unwrap();
    let given: Vec<_> = thread::scope(|scope| {
        let add = |i: u8| {
            let call = at(&machine, &format!("c{i}"), "eth0");
            let config = &config;
            scope.spawn(move || ips(call.add(config)))
        };
        let adds: Vec<_> = (0..40).map(add).collect();
        adds.into_iter().flat_map(|add| add.join().unwrap()).collect()
    });
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 80);
    assert_eq!(machine.leases("n1").len(), 80);
}
