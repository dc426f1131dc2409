//! Names are not identity: what has the name of something recorded is not that, and what was recorded is found under another
//! name. A record is no fact, and has no power.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::Stdio,
};

use serde_json::{Value, json};

use crate::machine::{Machine, bridge, feed, installed, script, text};

/// A pair that stands for a device of the host; its other end is on the host, or elsewhere.
const DEVICE: &str = "ip link add d0 address 02:00:00:00:aa:00 type veth peer name wire0; ip link set wire0 up";
const DEVICE_ELSEWHERE: &str = "ip netns add wire; ip link add d0 address 02:00:00:00:aa:00 type veth \
     peer name wire0 netns wire; ip -n wire link set wire0 up";

fn machine(device: &str) -> (Machine, String, String) {
    let machine = Machine::new();
    script(&machine, device);
    let netns = machine.netns("c1");
    let network = machine.network("n1", json!({ "type": "host-device", "device": "d0" }));
    (machine, netns, network)
}

#[test]
fn a_device_comes_home_whatever_the_container_does_with_it() {
    let ways = [
        "ip -n c1 link set eth0 down; ip -n c1 link set eth0 name kept",
        "ip -n c1 link set eth0 down; ip -n c1 link set eth0 name kept; ip -n c1 link add eth0 type bridge; \
         ip -n c1 link set eth0 alias x9",
        "ip -n c1 link set eth0 alias ''",
        "ip netns exec c1 sh -c \"ip link set eth0 alias $(printf '\\377')\"",
        "ip -n c1 link set eth0 alias lo",
        "ip -n c1 link set eth0 alias a/b",
        "ip -n c1 link set eth0 alias eno2",
        "ip -n c1 link set eth0 address 02:00:00:00:bb:01 mtu 1300",
        "ip -n c1 link property add dev eth0 altname wire0 altname d0",
        // It goes by the kernel's index there.
        "ip -n c1 link set eth0 netns c1 || true; ip netns add n; ip -n c1 link set eth0 netns n; \
         ip -n n link set eth0 netns c1",
    ];
    for way in ways {
        for device in [DEVICE, DEVICE_ELSEWHERE] {
            if way.contains("altname wire0") && device == DEVICE_ELSEWHERE {
                continue;
            }
            let (machine, netns, network) = machine(device);
            machine.add(&network, &netns);
            script(&machine, way);
            let output = machine.wasm_cni(&["del", &network, &netns]).output().unwrap();
            assert!(output.status.success(), "{way}: {}", text(&output));
            let d0 = &machine.ip("link show d0")[0];
            assert_eq!((&d0["address"], &d0["mtu"]), (&json!("02:00:00:00:aa:00"), &json!(1500)), "{way}");
            assert_eq!(d0.get("ifalias"), None, "{way}");
            machine.del(&network, &netns);
        }
    }
}

#[test]
fn of_a_device_in_a_namespace_of_the_container_s_own_the_error_says_where_it_is() {
    let (machine, netns, network) = machine(DEVICE);
    machine.add(&network, &netns);
    script(&machine, "ip netns add nested; ip -n c1 link set eth0 netns nested");
    let output = machine.wasm_cni(&["del", &network, &netns]).output().unwrap();
    assert!(
        !output.status.success() && text(&output).contains("moved it to another network namespace"),
        "{}",
        text(&output)
    );
    // Wherever it comes back from.
    script(&machine, "ip -n nested link set eth0 netns c1");
    machine.del(&network, &netns);
    assert_eq!(machine.ip("link show d0")[0]["address"], "02:00:00:00:aa:00");
}

#[test]
fn of_a_device_whose_namespace_has_lost_its_path_the_error_says_where_it_is() {
    let over = ["touch /run/plain; mount --bind /run/plain", "ip netns add c2; mount --bind /run/netns/c2"];
    for over in over.into_iter().chain(["mount --bind /proc/self/ns/net"]) {
        let (machine, netns, network) = machine(DEVICE);
        machine.add(&network, &netns);
        script(&machine, &format!("{over} {netns}"));
        for _ in 0..2 {
            let output = machine.wasm_cni(&["del", &network, &netns]).output().unwrap();
            let text = text(&output);
            assert!(
                !output.status.success() && text.contains("and is still there: the host numbers it"),
                "{over}: {text}"
            );
        }
        script(&machine, &format!("umount {netns}"));
        machine.del(&network, &netns);
        assert_eq!(machine.ip("link show d0")[0]["address"], "02:00:00:00:aa:00", "{over}");
    }
    // One that has ended took the device along.
    let (machine, netns, network) = machine(DEVICE);
    machine.add(&network, &netns);
    script(&machine, "ip netns del c1");
    machine.del(&network, &netns);
}

#[test]
fn a_link_of_the_container_s_own_stays_there() {
    // The last has all that can be chosen: index, MAC, and the other end's index, in a namespace of its own.
    let fakes = [
        "ip -n c1 link add eth0 type veth peer name evil1",
        "ip -n c1 link add eth0 index $index address 02:00:00:00:aa:00 type veth peer name evil1",
        "ip netns add nested; \
         ip -n c1 link add eth0 address 02:00:00:00:aa:00 type veth peer name evil1 netns nested",
    ];
    for fake in fakes {
        for alias in ["eno2", "cni0", "d0"] {
            let (machine, netns, network) = machine(DEVICE);
            machine.add(&network, &netns);
            let index = machine.ip("-n c1 link show eth0")[0]["ifindex"].to_string();
            let fake = fake.replace("$index", if fake.contains("index $index") { "4711" } else { &index });
            script(
                &machine,
                &format!(
                    "ip -n c1 link set eth0 down; ip -n c1 link set eth0 name kept; {fake}; \
                     ip -n c1 link set eth0 alias {alias}"
                ),
            );
            machine.del(&network, &netns);
            assert_eq!(machine.devices(""), ["lo", "wire0", "d0"], "{fake} {alias}");
            assert_eq!(machine.ip("link show d0")[0]["link"], "wire0", "{fake} {alias}");
            assert!(machine.devices("-n c1 ").contains(&"eth0".to_owned()), "{fake} {alias}");
        }
    }
}

/// The ADD that made the tables of filters is killed, and others use them before it is taken back.
#[test]
fn a_table_with_another_s_chain_stays_when_its_add_is_taken_back() {
    if !installed(&["nft"]) {
        return;
    }
    let tables = [("inet", "cni_plugins_masquerade"), ("bridge", "nat")];
    let mut stayed = 0;
    for at in 8..40 {
        let machine = Machine::new();
        let netns = machine.netns("c1");
        let mut plugin = bridge(&["10.1.0.0/24"]);
        plugin["ipMasq"] = json!(true);
        plugin["ipMasqBackend"] = json!("nftables");
        plugin["macspoofchk"] = json!(true);
        let network = machine.network("n1", plugin);
        let mut command = machine.wasm_cni(&["add", &network, &netns]);
        if command.env("WASM_CNI_FAULT", format!("kill:{at}")).output().unwrap().status.success() {
            break;
        }
        let chain = |(family, table)| {
            let list = machine.command("nft").args(["list", "chain", family, table, "theirs"]).output().unwrap();
            list.status.success().then_some(list.stdout)
        };
        for (family, table) in tables {
            // It fails where there is no such table.
            let add = format!(
                "nft add chain {family} {table} theirs && nft add rule {family} {table} theirs ether type ip accept"
            );
            machine.command("sh").args(["-c", &add]).output().unwrap();
        }
        let before = tables.map(chain);
        stayed += before.iter().flatten().count();
        let output = machine.wasm_cni(&["recover"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        assert_eq!(tables.map(chain), before, "killed at {at}");
    }
    assert!(stayed > 2, "{stayed}");
}

/// The name of the host's end of an attachment.
fn host_end(result: &Value) -> String {
    let interfaces = result["interfaces"].as_array().unwrap();
    let end = interfaces.iter().find(|i| i["name"].as_str().unwrap().starts_with("veth"));
    end.unwrap()["name"].as_str().unwrap().to_owned()
}

#[test]
fn a_link_that_only_has_the_name_is_left_alone() {
    for kind in ["veth peer name other", "bridge"] {
        let machine = Machine::new();
        let netns = machine.netns("c1");
        let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
        let end = host_end(&machine.add(&network, &netns));
        // The operator takes it away, and later has another one of that name.
        script(
            &machine,
            &format!("ip link del {end}; ip link add {end} type {kind}; ip addr add 192.0.2.1/24 dev {end}"),
        );
        // The plugin finds nothing in the container: the record is what is left.
        fs::remove_dir_all(machine.root().join("var/lib/cni/results")).unwrap();
        machine.del(&network, &netns);
        assert!(machine.devices("").contains(&end), "{kind}");
        assert_eq!(machine.leases("n1"), [""; 0]);
    }
}

#[test]
fn a_link_is_found_under_another_name() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let end = host_end(&machine.add(&network, &netns));
    // Out of the plugin's sight at both ends.
    script(
        &machine,
        &format!(
            "ip link set {end} down; ip link set {end} name renamed; ip -n c1 link set eth0 down; \
             ip netns add nested; ip -n c1 link set eth0 netns nested"
        ),
    );
    machine.del(&network, &netns);
    assert_eq!(machine.devices(""), ["lo", "br0"]);
}

#[test]
fn new_links_have_macs_that_udev_leaves_alone() {
    let read = "mount -t sysfs sysfs /sys; cat /sys/class/net/$0/addr_assign_type /sys/class/net/$1/addr_assign_type";
    // A gateway's bridge keeps its MAC for its containers, too.
    for plugin in [json!({ "type": "bridge", "bridge": "br0" }), bridge(&["10.1.0.0/24", "fd00:10::/64"])] {
        let machine = Machine::new();
        let network = machine.network("n1", plugin);
        let mut macs = Vec::new();
        for container in ["c1", "c2", "c3"] {
            let end = host_end(&machine.add(&network, &machine.netns(container)));
            let output = machine.command("unshare").args(["--mount", "sh", "-c", read, "br0", &end]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), "3\n3\n", "{}", text(&output));
            macs.push(machine.ip("link show br0")[0]["address"].clone());
        }
        assert!(macs.iter().all(|mac| *mac == macs[0]), "{macs:?}");
    }
}

/// Files below this directory.
fn files(directory: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(path) } else { vec![path] }).collect()
}

#[test]
fn a_record_has_no_power() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    machine.add(&network, &netns);
    let run = machine.root().join("run/wasm-cni");
    let kept = files(run.join("attachments"));
    let heading = fs::read_to_string(&kept[0]).unwrap().lines().next().unwrap().to_owned();
    let heading = heading.replace("\"c1\"", "\"c9\"").replace("cnitool-", "other-");

    let (secret, victim) = (machine.folder().join("secret"), machine.folder().join("victim"));
    fs::create_dir_all(&secret).unwrap();
    fs::write(secret.join("key"), "text").unwrap();
    let ran = machine.folder().join("ran");
    fs::write(&victim, format!("#!/bin/sh\ntouch {}\n", ran.display())).unwrap();
    script(&machine, &format!("chmod +x {}", victim.display()));
    let text_of = |value: &str| value.bytes().collect::<Vec<_>>();
    let powers = [
        json!({ "entry-created": { "folder": secret, "key": "key", "value": text_of("text") } }),
        json!({ "entry-removed": { "folder": secret, "key": "new", "value": text_of("text") } }),
        json!({ "entry-replaced": { "folder": secret, "key": "key", "value": text_of("text"), "old": text_of("x") } }),
        json!({ "cached-result": { "directory": secret } }),
        json!({ "memo": { "plugin": "../../../..", "value": [], "old": text_of("x") } }),
        json!({ "delegated": { "kind": victim, "args": "", "stdin": text_of("{}") } }),
        json!({ "delegated": { "kind": "../victim", "args": "", "stdin": text_of("{}") } }),
        json!({ "sysctl": { "at": "host", "key": "../../etc/passwd", "old": "x" } }),
    ];
    for power in powers {
        fs::create_dir_all(run.join("journal")).unwrap();
        let record = format!("{heading}\n{}\n", json!({ "undo": [0, power] }));
        let path = run.join("journal/0000-1-0");
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        fs::write(&path, record).unwrap();
        let before = files(secret.clone());
        let output = machine.wasm_cni(&["recover"]).env("CNI_PATH", machine.folder().join("none")).output().unwrap();
        assert!(output.status.code().is_some(), "{power}: {}", text(&output));
        assert_eq!(files(secret.clone()), before, "{power}");
        assert_eq!(fs::read_to_string(secret.join("key")).unwrap(), "text", "{power}");
        assert!(!ran.exists(), "{power}");
        for left in files(run.join("journal")) {
            fs::remove_file(left).unwrap();
        }
    }
    machine.del(&network, &netns);
}

#[test]
fn an_add_whose_result_cannot_be_written_is_undone() {
    let machine = Machine::new();
    let netns = machine.netns("c1");
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let output = machine.wasm_cni(&["add", &network, &netns]).stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));

    let plugin = machine.folder().join("bridge");
    std::os::unix::fs::symlink(crate::machine::PROGRAM, &plugin).unwrap();
    let mut command = machine.command("sh");
    command.args(["-c", "exec \"$0\" >/dev/full"]).arg(&plugin);
    let env = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_NETNS", &netns),
        ("CNI_PATH", "/nonexistent"),
    ];
    command.envs(env);
    let mut config = bridge(&["10.1.0.0/24"]);
    config["cniVersion"] = json!("1.1.0");
    config["name"] = json!("n1");
    let output = feed(command, &config.to_string());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));

    assert_eq!(machine.devices(""), ["lo"]);
    assert_eq!(machine.leases("n1"), [""; 0]);
    for state in ["run/wasm-cni/journal", "var/lib/cni/results"] {
        assert_eq!(files(machine.root().join(state)), Vec::<PathBuf>::new());
    }
}
