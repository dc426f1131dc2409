//! How the machine is set up: sysctls, and the programs of packet filters.

use std::{fs, path::Path};

use super::Report;

const FORWARDING: &str = "forwarding";
const FILTERS: &str = "filters";

pub(super) fn look(report: &mut Report) {
    for (family, key) in [("IPv4", "net/ipv4/ip_forward"), ("IPv6", "net/ipv6/conf/all/forwarding")] {
        match sysctl(key).as_deref() {
            None => report.ok(FORWARDING, format!("there is no {family} to forward")),
            Some("0") => report.warn(
                FORWARDING,
                format!("{family} is not forwarded: containers reach nothing beyond their bridge"),
                format!("`isGateway` and `ptp` switch it on at the first ADD; for good: sysctl -w {}=1", dotted(key)),
            ),
            Some(_) => report.ok(FORWARDING, format!("{family} is forwarded")),
        }
    }
    match sysctl("net/ipv4/conf/all/rp_filter").as_deref() {
        Some("1") => report.warn(
            "rp_filter",
            "strict: answers that come in by another interface than they would go out by are dropped",
            "with several networks for a container: sysctl -w net.ipv4.conf.all.rp_filter=2",
        ),
        Some(value) => report.ok("rp_filter", if value == "2" { "loose" } else { "off" }),
        None => report.ok("rp_filter", "there is none"),
    }
    bridged(report);
    filters(report);
}

/// Frames from port to port that pass by the filters of packets.
fn bridged(report: &mut Report) {
    let (v4, v6) = (sysctl("net/bridge/bridge-nf-call-iptables"), sysctl("net/bridge/bridge-nf-call-ip6tables"));
    match (v4.as_deref(), v6.as_deref()) {
        (None, None) => report.ok("br_netfilter", "not loaded: filters see routed packets only"),
        (Some("1"), _) | (_, Some("1")) => report.warn(
            "br_netfilter",
            "frames between containers of one bridge pass by iptables too: its FORWARD rules may drop them",
            "Kubernetes' services need it; else: sysctl -w net.bridge.bridge-nf-call-iptables=0 \
             net.bridge.bridge-nf-call-ip6tables=0",
        ),
        _ => report.ok("br_netfilter", "loaded, and off"),
    }
}

fn filters(report: &mut Report) {
    let folders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];
    let has = |name: &str| folders.iter().any(|folder| Path::new(folder).join(name).exists());
    report.ok(FILTERS, "nftables needs no program");
    match has("iptables") {
        true => report.ok(FILTERS, "iptables is installed: with `ipMasqBackend` unset it is what masquerades"),
        false => report.ok(FILTERS, "iptables is not installed: nftables is what masquerades"),
    }
    for table in ["ip_tables_names", "ip6_tables_names"] {
        let names = fs::read_to_string(Path::new("/proc/self/net").join(table)).unwrap_or_default();
        let names: Vec<_> = names.split_whitespace().collect();
        if !names.is_empty() {
            report.warn(
                FILTERS,
                format!("the older iptables has filled {} ({table}): they hold beside nftables'", names.join(", ")),
                "see `iptables-legacy-save`; use one of the two for all that filters on this machine",
            );
        }
    }
}

/// Of the namespace that this runs in.
fn sysctl(key: &str) -> Option<String> {
    Some(fs::read_to_string(Path::new("/proc/sys").join(key)).ok()?.trim().to_owned())
}

fn dotted(key: &str) -> String {
    key.replace('/', ".")
}
