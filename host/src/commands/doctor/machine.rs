//! The machine's settings: sysctls, and the programs of packet filters.

use std::{fs, path::Path};

use super::Report;

const FORWARDING: &str = "forwarding";
const FILTERS: &str = "filters";

pub(super) fn look(report: &mut Report) {
    for (family, key) in [("IPv4", "net/ipv4/ip_forward"), ("IPv6", "net/ipv6/conf/all/forwarding")] {
        match sysctl(key).as_deref() {
            None => report.ok(FORWARDING, format!("{family} is not available")),
            Some("0") => report.warn(
                FORWARDING,
                format!("{family} forwarding is off: containers reach nothing beyond their bridge"),
                format!(
                    "`isGateway` and `ptp` enable it at the first ADD; to enable it now: sysctl -w {}=1",
                    dotted(key)
                ),
            ),
            Some(_) => report.ok(FORWARDING, format!("{family} forwarding is on")),
        }
    }
    disabled(report);
    match sysctl("net/ipv4/conf/all/rp_filter").as_deref() {
        Some("1") => report.warn(
            "rp_filter",
            "strict: replies that arrive on another interface than they would leave by are dropped",
            "if containers have several networks: sysctl -w net.ipv4.conf.all.rp_filter=2",
        ),
        Some(value) => report.ok("rp_filter", if value == "2" { "loose" } else { "off" }),
        None => report.ok("rp_filter", "not available"),
    }
    bridged(report);
    filters(report);
}

/// Whether new links, such as a bridge, have IPv6: without it they can't be the gateways of its addresses.
fn disabled(report: &mut Report) {
    let off: Vec<_> = ["all", "default"]
        .iter()
        .map(|which| format!("net/ipv6/conf/{which}/disable_ipv6"))
        .filter(|key| sysctl(key).is_some_and(|value| value != "0"))
        .map(|key| dotted(&key))
        .collect();
    if !off.is_empty() {
        report.warn(
            "disable_ipv6",
            format!("IPv6 is switched off for new links ({}=1): ADD fails where it has addresses", off.join("=1, ")),
            format!("for networks with IPv6: sysctl -w {}=0", off.join("=0 ")),
        );
    }
}

/// Whether packet filters see frames between ports of a bridge.
fn bridged(report: &mut Report) {
    let (v4, v6) = (sysctl("net/bridge/bridge-nf-call-iptables"), sysctl("net/bridge/bridge-nf-call-ip6tables"));
    match (v4.as_deref(), v6.as_deref()) {
        (None, None) => report.ok("br_netfilter", "not loaded: packet filters see routed packets only"),
        (Some("1"), _) | (_, Some("1")) => report.warn(
            "br_netfilter",
            "iptables filters traffic between containers on one bridge: its FORWARD rules may drop it",
            "Kubernetes services need this; without them: sysctl -w net.bridge.bridge-nf-call-iptables=0 \
             net.bridge.bridge-nf-call-ip6tables=0",
        ),
        _ => report.ok("br_netfilter", "loaded, but off"),
    }
}

fn filters(report: &mut Report) {
    let directories = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];
    let has = |name: &str| directories.iter().any(|directory| Path::new(directory).join(name).exists());
    report.ok(FILTERS, "nftables needs no program");
    match has("iptables") {
        true => report.ok(FILTERS, "iptables is installed: it masquerades unless `ipMasqBackend` says nftables"),
        false => report.ok(FILTERS, "iptables is not installed: nftables masquerades"),
    }
    for table in ["ip_tables_names", "ip6_tables_names"] {
        let names = fs::read_to_string(Path::new("/proc/self/net").join(table)).unwrap_or_default();
        let names: Vec<_> = names.split_whitespace().collect();
        if !names.is_empty() {
            report.warn(
                FILTERS,
                format!(
                    "legacy iptables has rules in {} ({table}), which apply beside those of nftables",
                    names.join(", ")
                ),
                "see `iptables-legacy-save`; use only one of the two on this machine",
            );
        }
    }
}

/// A sysctl of this process's namespace.
fn sysctl(key: &str) -> Option<String> {
    Some(fs::read_to_string(Path::new("/proc/sys").join(key)).ok()?.trim().to_owned())
}

fn dotted(key: &str) -> String {
    key.replace('/', ".")
}
