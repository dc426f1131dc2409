//! What is on the machine that is not ours, as iproute2, nft and iptables show it.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::machine::Machine;

/// Links of the host by their index: what is known of each.
pub(super) type Links = BTreeMap<u64, Value>;

/// Sysctls of all links and of theirs, routes, rules and filters, but for ours; the other container. A section that a program
/// is missing for is empty.
const SHOW: &str = "\
    cd /proc/sys/net; grep -s . ipv4/ip_forward ipv[46]/conf/all/* ipv[46]/conf/default/* ipv[46]/conf/admin0/*; \
    ip route show dev admin0; ip rule show; ip -6 rule show; ip route show table 100; \
    ip -n c2 -br link show; ip -n c2 -br addr show scope global; \
    for t in 'table inet other' 'chain inet cni_plugins_masquerade theirs' 'chain bridge nat theirs'; do \
        nft list $t 2>/dev/null; done; \
    for t in iptables-save ip6tables-save; do $t -t nat 2>/dev/null | grep -i theirs; done";

/// The same of ours that a DEL takes away: rules, chains, and what is left of them in the other container.
const OURS: &str = "\
    nft list chain inet cni_plugins_masquerade masq_checks 2>/dev/null | grep saddr; \
    nft list table bridge nat 2>/dev/null | grep -e cni-br-iface -e macspoofchk; \
    for t in iptables-save ip6tables-save; do $t -t nat 2>/dev/null | grep -e CNI- -e 'name: '; done";

/// Every link of the host.
pub(super) fn links(machine: &Machine) -> Links {
    let known = |link: &Value| {
        // What is up depends on others; an address of IPv6 may be tentative.
        let addresses: Vec<_> =
            link["addr_info"].as_array().into_iter().flatten().map(|a| a["local"].clone()).collect();
        let addresses: Vec<_> =
            addresses.into_iter().filter(|a| !a.as_str().unwrap_or_default().contains(':')).collect();
        let keys = ["ifname", "address", "mtu", "master", "ifalias", "altnames"];
        let mut known: Vec<_> = keys.iter().map(|key| link[key].clone()).collect();
        known.extend([link["linkinfo"]["info_kind"].clone(), json!(addresses)]);
        (link["ifindex"].as_u64().unwrap(), json!(known))
    };
    machine.ip("addr show").as_array().unwrap().iter().map(known).collect()
}

/// The name of a link.
pub(super) fn name(link: &Value) -> &str {
    link[0].as_str().unwrap()
}

pub(super) fn shown(machine: &Machine) -> String {
    text(machine, SHOW)
}

/// Rules of ours that are there.
pub(super) fn filters_of_ours(machine: &Machine) -> String {
    text(machine, OURS)
}

fn text(machine: &Machine, script: &str) -> String {
    let output = machine.command("sh").args(["-c", script]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The names of the files in a directory and below it, but for locks and theirs.
pub(super) fn files_of_ours(machine: &Machine, directory: &str, theirs: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let root = machine.root();
    let mut directories = vec![root.join(directory)];
    let mut found = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true => directories.push(path),
                false if name.contains("lock") || name.contains("last_reserved_ip") || theirs.contains_key(&name) => {}
                false => found.push(name),
            }
        }
    }
    found
}
