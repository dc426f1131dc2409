//! `host-device`: a device goes into the container, and comes back as it was.

use serde_json::{Value, json};

use crate::machine::{Machine, text};

/// Two devices, `d0` and `d1`, with a cable to elsewhere.
pub(crate) const DEVICES: &str = "ip netns add wire; for i in 0 1; do \
     ip link add d$i address 02:00:00:00:aa:0$i type veth peer name w$i netns wire; ip -n wire link set w$i up; done";

/// A sysfs that has the devices as hardware.
pub(crate) const SYSFS: &str = "ip netns add wire; for i in 0 1; do \
     ip link add d$i address 02:00:00:00:aa:0$i type veth peer name w$i netns wire; ip -n wire link set w$i up; done; \
     mount -t tmpfs tmpfs /sys; P=/sys/bus/pci; A=/sys/bus/auxiliary/devices; \
     mkdir -p $P/drivers/e1000e $P/drivers/vfio-pci; \
     pci() { mkdir -p $P/devices/0000:00:$1.0/${3-}; ln -s ../../drivers/$2 $P/devices/0000:00:$1.0/driver; }; \
     pci 19 e1000e net/d0; pci 1a e1000e virtio3/net/d0; pci 1b vfio-pci; mkdir $P/devices/0000:00:1c.0; \
     pci 1d e1000e; pci 1e e1000e net; pci 1f e1000e net/nope; pci 20 e1000e virtio3/net; \
     pci 22 e1000e virtio0; mkdir -p $P/devices/0000:00:22.0/virtio1/net/d0; \
     mkdir -p $A/mlx5_core.sf.2/net/d0 $A/two/net/d1 $A/two/net/d0 $A/none $A/empty/net $A/wrong/net/nope; \
     mkdir /sys/devices; cd /sys/devices; mkdir -p x/net/d0 y none empty/net wrong/net/nope";

/// What is there of links: names, aliases, whether they are up, sizes, bridges
/// that they are in, addresses.
pub(crate) fn shown(machine: &Machine) -> Vec<String> {
    let mut lines = Vec::new();
    for of in ["", "-n c1 "] {
        for link in machine.ip(&format!("{of}addr show")).as_array().unwrap() {
            let up = link["flags"].as_array().unwrap().contains(&json!("UP"));
            let addresses = link["addr_info"].as_array().into_iter().flatten();
            let addresses: Vec<_> = addresses
                .filter(|a| a["scope"] == "global")
                .map(|a| format!("{}/{}", a["local"], a["prefixlen"]))
                .collect();
            let members = ["ifname", "ifalias", "address", "mtu", "master"].map(|key| link[key].to_string());
            lines.push(format!("{of}{} up={up} {}", members.join(" "), addresses.join(" ")));
        }
    }
    lines.sort();
    lines
}

/// A machine with the devices and a container.
fn machine() -> (Machine, String) {
    let machine = Machine::new();
    run(&machine, DEVICES);
    let netns = machine.netns("c1");
    (machine, netns)
}

fn run(machine: &Machine, script: &str) {
    let output = machine.command("sh").args(["-euc", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", text(&output));
}

fn network(machine: &Machine, members: Value) -> String {
    let mut plugin = json!({ "type": "host-device", "device": "d0" });
    plugin.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    machine.network("n1", plugin)
}

fn ipam() -> Value {
    json!({ "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24" }]] })
}

/// The error of a command that fails.
fn refused(machine: &Machine, arguments: &[&str]) -> String {
    let output = machine.wasm_cni(arguments).output().unwrap();
    assert!(!output.status.success(), "{}", text(&output));
    text(&output)
}

#[test]
fn host_device_46_goes_and_comes_back_down_without_an_alias() {
    for selector in [json!({}), json!({ "device": "", "hwaddr": "02:00:00:00:AA:00" })] {
        let (machine, netns) = machine();
        let before = shown(&machine);
        let network = network(&machine, selector);
        let result = machine.add(&network, &netns);
        assert_eq!(result["interfaces"], json!([{ "name": "eth0", "mac": "02:00:00:00:aa:00", "sandbox": netns }]));
        assert_eq!(machine.devices(""), ["lo", "d1"]);
        let eth0 = &machine.ip("-n c1 link show eth0")[0];
        assert_eq!(eth0["ifalias"], "d0");
        assert!(eth0["flags"].as_array().unwrap().contains(&json!("UP")), "{eth0}");
        machine.del(&network, &netns);
        assert_eq!(shown(&machine), before);
        assert!(machine.ip("link show d0")[0].get("ifalias").is_none(), "not even an empty one");
    }
}

#[test]
fn host_device_46_addresses_and_a_second_del_after_it_is_in_use_again() {
    let (machine, netns) = machine();
    let network = network(&machine, json!({ "ipam": ipam() }));
    let result = machine.add(&network, &netns);
    assert_eq!((&result["ips"][0]["address"], &result["ips"][0]["interface"]), (&json!("10.1.0.2/24"), &json!(0)));
    machine.del(&network, &netns);
    assert_eq!(machine.leases("n1"), [""; 0]);
    // The host uses it, under an alias of its own: nothing of that is DEL's.
    run(&machine, "ip link set d0 up alias uplink; ip addr add 10.5.0.1/24 dev d0");
    let before = shown(&machine);
    machine.del(&network, &netns);
    assert_eq!(shown(&machine), before);
}

#[test]
fn host_device_47_a_clash_in_the_container_leaves_the_device_alone() {
    let (machine, netns) = machine();
    run(&machine, "ip link set d0 up; ip addr add 10.5.0.1/24 dev d0; ip -n c1 link add eth0 type bridge");
    let before = shown(&machine);
    let refusal = refused(&machine, &["add", &network(&machine, json!({})), &netns]);
    let text = r#"failed to move link failed to move "eth0" (host: "d0") to container NS: file exists"#;
    assert!(refusal.contains(text), "{refusal}");
    assert_eq!(shown(&machine), before);
}

#[test]
fn host_device_47_a_clash_on_the_host_leaves_it_in_the_container() {
    let (machine, netns) = machine();
    let network = network(&machine, json!({ "ipam": ipam() }));
    machine.add(&network, &netns);
    run(&machine, "ip link add d0 type bridge");
    let before = shown(&machine);
    let refusal = refused(&machine, &["del", &network, &netns]);
    assert!(refusal.contains(r#"failed to move "d0" to hostNS: file exists"#), "{refusal}");
    assert_eq!(shown(&machine), before);
    assert_eq!(machine.leases("n1"), [""; 0]);
    run(&machine, "ip link del d0");
    machine.del(&network, &netns);
    assert_eq!(machine.devices("-n c1 "), ["lo"]);
}

#[test]
fn host_device_48_a_selector_that_finds_nothing_is_refused() {
    let (machine, netns) = machine();
    for (selector, text) in [
        (json!({ "device": "" }), r#"specify either "device", "hwaddr", "kernelpath" or "pciBusID""#),
        (json!({ "device": "nope" }), "failed to find host device: Link not found"),
        (
            json!({ "device": "", "hwaddr": "zz" }),
            r#"failed to parse MAC address "zz": address zz: invalid MAC address"#,
        ),
        (json!({ "device": "", "kernelpath": "/foo" }), r#"kernel device path "/foo" must be absolute"#),
        (json!({ "pciBusID": "0000:ff:ff.7" }), "error with host device: lstat /sys/bus/pci/devices/0000:ff:ff.7"),
    ] {
        let network = network(&machine, selector);
        let refusal = refused(&machine, &["add", &network, &netns]);
        assert!(refusal.contains(text), "{refusal}");
    }
}

#[test]
fn indices_that_are_in_use_do_not_matter() {
    let (machine, netns) = machine();
    let index = |of: &str, name: &str| machine.ip(&format!("{of}link show {name}"))[0]["ifindex"].clone();
    let old = index("", "d0");
    run(&machine, &format!("ip -n c1 link add index {old} x0 type bridge"));
    let before = shown(&machine);
    let network = network(&machine, json!({ "ipam": ipam() }));
    machine.add(&network, &netns);
    let new = index("-n c1 ", "eth0");
    assert_ne!(new, old);
    // It may be in use already.
    run(&machine, &format!("ip link add index {new} x0 type bridge || true"));
    machine.del(&network, &netns);
    assert_ne!(index("", "d0"), new);
    run(&machine, "ip link del x0 || true");
    assert_eq!(shown(&machine), before);
}

/// As the kernel leaves hardware whose namespace ends.
#[test]
fn a_device_that_the_kernel_has_put_back_gets_its_name() {
    for (name, selector) in
        [("eth0", json!({})), ("dev17", json!({})), ("eth0", json!({ "device": "", "hwaddr": "02:00:00:00:aa:00" }))]
    {
        let (machine, netns) = machine();
        let network = network(&machine, merge(selector, json!({ "ipam": ipam() })));
        let before = shown(&machine);
        machine.add(&network, &netns);
        run(&machine, &format!("ip -n c1 link set eth0 down name {name}; ip -n c1 link set {name} netns $$"));
        run(&machine, "ip netns del c1");
        machine.del(&network, &netns);
        assert_eq!(machine.leases("n1"), [""; 0]);
        machine.netns("c1");
        assert_eq!(shown(&machine), before);
    }
}

#[test]
fn an_alias_of_the_host_s_own_is_no_name() {
    for script in [
        "ip link set d0 alias d9 name eth0; ip link set eth0 up",
        "ip link set d0 alias 'to switch 7' name eth0",
        "ip link set d0 alias d9 name ens3",
        "ip link set d0 alias d1 name eth0",
    ] {
        let (machine, netns) = machine();
        let network = network(&machine, json!({ "device": "", "hwaddr": "02:00:00:00:aa:00" }));
        run(&machine, script);
        let before = shown(&machine);
        run(&machine, "ip netns del c1");
        machine.del(&network, &netns);
        machine.netns("c1");
        assert_eq!(shown(&machine), before, "{script}");
    }
}

#[test]
fn del_gives_addresses_back_whatever_has_become_of_the_device() {
    for (script, netns) in [
        ("ip -n c1 link del eth0", "/run/netns/c1"),
        ("ip netns del c1", "/run/netns/c1"),
        ("ip netns del c1", ""),
        ("rm -r /sys/bus/pci/devices/*", "/run/netns/c1"),
        ("rm -r /sys/bus/pci/devices/*", ""),
    ] {
        let machine = Machine::new();
        run(&machine, SYSFS);
        machine.netns("c1");
        let plugin = json!({ "cniVersion": "1.1.0", "name": "n1", "type": "host-device", "pciBusID": "0000:00:19.0", "ipam": ipam() });
        let call = |command, netns| {
            let env = [
                ("CNI_COMMAND", command),
                ("CNI_CONTAINERID", "c1"),
                ("CNI_IFNAME", "eth0"),
                ("CNI_NETNS", netns),
                ("CNI_PATH", "/nonexistent"),
            ];
            let output = machine.plugin("host-device", &env, &plugin.to_string());
            assert!(output.status.success(), "{}", text(&output));
        };
        call("ADD", "/run/netns/c1");
        assert_eq!(machine.leases("n1"), ["10.1.0.2"]);
        run(&machine, script);
        for _ in 0..2 {
            call("DEL", netns);
            assert_eq!(machine.leases("n1"), [""; 0], "{script}");
        }
        if script.contains("/sys") && !netns.is_empty() {
            assert_eq!(machine.devices(""), ["lo", "d0", "d1"], "by its alias");
        }
    }
}

/// A chained plugin that fails: what it changed before is taken back with the move.
#[test]
fn a_failure_further_on_takes_the_device_back_whatever_it_is_called_by_then() {
    let (machine, netns) = machine();
    let script = "#!/bin/sh\n\
                  [ $CNI_COMMAND = ADD ] || exit 0\n\
                  ip -n c1 link set eth0 down\n\
                  ip -n c1 link set eth0 name renamed address 02:00:00:00:bb:01 mtu 1300\n\
                  echo '{ \"cniVersion\": \"1.1.0\", \"code\": 100, \"msg\": \"no\" }'; exit 1\n";
    let folder = machine.folder().join("plugins");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("spoil"), script).unwrap();
    run(&machine, &format!("chmod +x {}/spoil", folder.display()));
    run(&machine, "ip link set d0 up; ip addr add 10.5.0.1/24 dev d0; ip route add default via 10.5.0.9 metric 5");
    let list = json!({ "cniVersion": "1.1.0", "name": "n1", "plugins": [
        { "type": "host-device", "device": "d0", "ipam": ipam() }, { "type": "spoil" },
    ] });
    std::fs::write(machine.conf_dir().join("n1.conflist"), list.to_string()).unwrap();
    let state = || (shown(&machine), machine.ip("route show"));
    let before = state();
    let output = machine.wasm_cni(&["add", "n1", &netns]).env("CNI_PATH", &folder).output().unwrap();
    assert!(!output.status.success() && text(&output).contains("no"), "{}", text(&output));
    assert_eq!(state(), before);
}

#[test]
fn status_asks_for_a_selector_and_not_for_the_device() {
    let (machine, netns) = machine();
    let status = |members: Value| {
        let network = network(&machine, members);
        machine.wasm_cni(&["status", &network]).output().unwrap()
    };
    assert!(status(json!({ "device": "nope" })).status.success());
    assert!(status(json!({ "device": "", "capabilities": { "deviceID": true } })).status.success());
    let output = status(json!({ "device": "" }));
    assert!(!output.status.success() && text(&output).contains("specify either"), "{}", text(&output));
    machine.add(&network(&machine, json!({})), &netns);
    assert!(status(json!({})).status.success(), "it is in use");
}

#[test]
fn gc_returns_devices_of_invalid_attachments() {
    let (machine, netns) = machine();
    let plugin = json!({ "cniVersion": "1.1.0", "name": "n1", "type": "host-device", "device": "d0", "ipam": ipam() });
    let call = |command, plugin: &Value| {
        let env = [
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", "c1"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_NETNS", &netns),
            ("CNI_PATH", "/nonexistent"),
        ];
        let output = machine.plugin("host-device", &env, &plugin.to_string());
        assert!(output.status.success(), "{}", text(&output));
    };
    call("ADD", &plugin);
    let valid = |attachments: Value| merge(plugin.clone(), json!({ "cni.dev/valid-attachments": attachments }));
    call("GC", &valid(json!([{ "containerID": "c1", "ifname": "eth0" }])));
    assert_eq!(machine.leases("n1"), ["10.1.0.2"]);
    call("GC", &valid(json!([])));
    assert_eq!(machine.leases("n1"), [""; 0]);
}

fn merge(mut config: Value, members: Value) -> Value {
    config.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    config
}
