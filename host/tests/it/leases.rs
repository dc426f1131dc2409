//! `leases`: who has which address, and which leases are stale.

use std::{
    fs::{self, File},
    io::Read as _,
    process::Stdio,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use crate::machine::{Machine, bridge, script, text};

/// Three attachments of one network: the second one's namespace is gone, of the
/// third one there is neither a cached result nor a record.
fn scene() -> (Machine, String) {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24", "fd00:10::/64"]));
    for name in ["c1", "c2", "c3"] {
        let netns = machine.netns(name);
        let output = machine.wasm_cni(&["add", &network, &netns, "--container-id", name]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    script(&machine, "ip netns del c2");
    fs::remove_file(machine.root().join("var/lib/cni/results/n1-c3-eth0")).unwrap();
    script(&machine, &format!("rm {}/run/wasm-cni/attachments/*/list:n1:c3:eth0", machine.root().display()));
    (machine, network)
}

fn leases(machine: &Machine, more: &[&str]) -> Value {
    let output = machine.wasm_cni(&["leases", "-o", "json"]).args(more).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)))
}

fn states(machine: &Machine) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let all = leases(machine, &[]);
    let leases = all[0]["leases"].as_array().unwrap();
    leases.iter().map(|lease| (word(&lease["containerId"]), word(&lease["state"]))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(id, state)| ((*id).to_owned(), (*state).to_owned())).collect()
}

/// As if it had been given an hour ago.
fn an_hour_old(machine: &Machine, address: &str) {
    let path = machine.root().join("var/lib/cni/networks/n1").join(address);
    let then = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

#[test]
fn every_lease_is_alive_stale_or_not_known_to_be_either() {
    let (machine, _) = scene();
    let expected = [("c1", "alive"), ("c2", "stale"), ("c3", "unknown")];
    // An address of each family.
    assert_eq!(states(&machine), pairs(&[expected, expected].concat()));
    an_hour_old(&machine, "10.1.0.4");
    assert_eq!(states(&machine)[2], ("c3".to_owned(), "stale".to_owned()));

    let all = leases(&machine, &["n1"]);
    let pool = &all[0];
    let ranges = json!([
        { "subnet": "10.1.0.0/24", "size": 253, "free": 250 },
        { "subnet": "fd00:10::/64", "size": "18446744073709551614", "free": "18446744073709551611" },
    ]);
    assert_eq!((&pool["network"], &pool["ranges"]), (&json!("n1"), &ranges));
    assert_eq!((&pool["used"], &pool["stale"]), (&json!(3), &json!(3)));
    let first = &pool["leases"][0];
    assert_eq!((&first["address"], &first["ifName"]), (&json!("10.1.0.2"), &json!("eth0")));
    assert!(first["since"].as_u64().is_some(), "{first}");

    let table = machine.wasm_cni(&["leases"]).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    let line = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{table}"));
    assert_eq!(line("n1       10.1.0.2   "), "n1       10.1.0.2    c1         eth0       0s   alive");
    assert!(line("n1       10.1.0.3   ").ends_with("stale: its namespace /run/netns/c2 is gone"), "{table}");
    assert!(!table.contains('\u{1b}'), "{table}");
    let unknown = machine.wasm_cni(&["leases", "nope"]).output().unwrap();
    assert!(text(&unknown).contains("no network \"nope\" with addresses"), "{}", text(&unknown));
}

#[test]
fn without_a_cached_result_the_record_of_the_add_counts() {
    let (machine, _) = scene();
    fs::remove_file(machine.root().join("var/lib/cni/results/n1-c1-eth0")).unwrap();
    an_hour_old(&machine, "10.1.0.2");
    assert_eq!(states(&machine)[0], ("c1".to_owned(), "alive".to_owned()));
    // Where nobody keeps results, nothing is known of those that others made.
    fs::remove_dir_all(machine.root().join("var/lib/cni/results")).unwrap();
    an_hour_old(&machine, "10.1.0.4");
    assert_eq!(states(&machine)[2], ("c3".to_owned(), "unknown".to_owned()));
}

#[test]
fn pruning_removes_what_is_stale_and_nothing_else() {
    let (machine, network) = scene();
    let folder = machine.root().join("var/lib/cni/networks/n1");
    let others = ["last_reserved_ip.0", "last_reserved_ip.1", "lock"].map(|name| fs::read(folder.join(name)).unwrap());
    let all = machine.leases("n1");
    let prune = |more: &[&str]| {
        let output = machine.wasm_cni(&["leases", "--prune"]).args(more).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let dry = prune(&["--dry-run"]);
    assert_eq!(machine.leases("n1"), all);
    let real = prune(&[]);
    assert_eq!(dry, real, "the same words");
    let line = "network n1: remove 10.1.0.3, container c2, interface eth0: its namespace /run/netns/c2 is gone\n";
    assert!(real.contains(line) && real.lines().count() == 2, "{real}");
    assert_eq!(machine.leases("n1"), ["10.1.0.2", "10.1.0.4", "fd00:10::2", "fd00:10::4"]);
    let left = ["last_reserved_ip.0", "last_reserved_ip.1", "lock"].map(|name| fs::read(folder.join(name)).unwrap());
    assert_eq!(left, others);
    assert_eq!(prune(&[]), "");

    // It waits for whoever has the lock, and goes by what is there by then.
    fs::write(folder.join("10.1.0.9"), "").unwrap();
    let script = format!("echo held; sleep 0.5; rm {}/10.1.0.9", folder.display());
    let mut holder = machine.command("flock");
    holder.arg(folder.join("lock")).args(["-c", &script]).stdout(Stdio::piped());
    let mut holder = holder.spawn().expect("this test needs `flock` (util-linux)");
    holder.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    assert_eq!(prune(&[]), "");
    assert!(holder.wait().unwrap().success());

    // A dead container's DEL comes late.
    machine.del(&network, "/run/netns/c1");
}

#[test]
fn leases_from_before_the_last_boot_are_stale() {
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let netns = machine.netns("c1");
    machine.add(&network, &netns);
    let lease = machine.root().join("var/lib/cni/networks/n1/10.1.0.2");
    if rustix::fs::getxattr(&lease, "user.wasm-cni.boot", &mut [0; 128]).is_err() {
        return eprintln!("skipped: leases_from_before_the_last_boot_are_stale: leases bear no mark here");
    }
    fs::write(machine.folder().join("boot_id"), "11111111-2222-3333-4444-555555555555\n").unwrap();
    script(&machine, &format!("mount --bind {}/boot_id /proc/sys/kernel/random/boot_id", machine.folder().display()));
    let all = leases(&machine, &[]);
    assert_eq!(all[0]["leases"][0]["why"], "from before the last boot");
    assert!(machine.wasm_cni(&["leases", "--prune", "n1"]).status().unwrap().success());
    assert_eq!(machine.leases("n1"), [""; 0]);
}

#[test]
fn networks_without_a_configuration_or_with_their_own_directory_are_listed() {
    let machine = Machine::new();
    let mut plugin = bridge(&["10.0.0.0/8"]);
    plugin["ipam"]["dataDir"] = json!("/var/lib/cni/own");
    let network = machine.network("n2", plugin);
    let netns = machine.netns("c1");
    machine.add(&network, &netns);
    let old = machine.root().join("var/lib/cni/networks/old");
    fs::create_dir_all(&old).unwrap();
    fs::write(old.join("10.9.0.2"), "c9").unwrap();
    let all = leases(&machine, &[]);
    let facts = |i: usize| (&all[i]["network"], &all[i]["used"], &all[i]["ranges"][0]["free"]);
    assert_eq!(facts(0), (&json!("n2"), &json!(1), &json!(16_777_212)));
    assert_eq!(facts(1), (&json!("old"), &json!(1), &Value::Null));
    assert_eq!(all[0]["directory"], json!(machine.root().join("var/lib/cni/own/n2")));
}

/// As after a power loss, by the file system; or by another program.
#[test]
fn leases_that_are_empty_are_free_and_shown_on_a_line_each() {
    let machine = Machine::new();
    let folder = machine.root().join("var/lib/cni/networks/n1");
    fs::create_dir_all(&folder).unwrap();
    for (address, content) in [
        ("10.1.0.2", &b"\0\0\0\0\0\0"[..]),
        ("10.1.0.3", b""),
        ("10.1.0.4", b"\r\n \r\n"),
        ("10.1.0.5", b"c\x1b[31m\r\nx\r\neth0"),
        ("10.1.0.6", b"c6\neth0\n"),
    ] {
        fs::write(folder.join(address), content).unwrap();
    }
    let network = machine.network("n1", bridge(&["10.1.0.0/24"]));
    let output = machine.wasm_cni(&["leases"]).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(out.lines().filter(|line| line.starts_with("n1  ") && line.contains(" 10.1.0.")).count(), 6, "{out}");
    assert!(!out.contains(|c: char| c.is_control() && c != '\n'), "{out:?}");
    for (address, name) in [("10.1.0.2", "c1"), ("10.1.0.3", "c2"), ("10.1.0.4", "c3"), ("10.1.0.7", "c4")] {
        let result = machine.add(&network, &machine.netns(name));
        assert_eq!(result["ips"][0]["address"], format!("{address}/24"));
    }
    assert_eq!(fs::read(folder.join("10.1.0.2")).unwrap()[..8], *b"cnitool-");
}
