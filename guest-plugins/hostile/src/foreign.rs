//! What is the host's: its links, routes and sysctls, and other containers' ends
//! of their pairs.

use cni_plugin::bindings::interface::wasm_cni::cni::delegate;
use cni_plugin::bindings::interface::wasm_cni::filter::{masquerade, spoof_check};
use cni_plugin::bindings::interface::wasm_cni::net::net;
use cni_plugin::{BridgeVlan, Failure, IpNet, LinkAttr, LinkRef, Output, Route, Tolerance, ip};

use crate::Scene;
use crate::probes::{Record, shown};

/// The host's way to the world, its loopback, and one end of another pair.
const LINKS: [&str; 3] = ["uplink", "lo", "other0"];

fn named(name: &str) -> LinkRef {
    LinkRef::Name(name.to_owned())
}

/// Changes to links that are neither bridges nor ports, and deletions of any.
pub(crate) fn links(scene: &Scene<'_>) -> Result<Output, Failure> {
    let host = scene.host()?;
    let mut record = Record::default();
    let address: IpNet = ip::parse_cidr("198.51.100.1/32")?;
    for name in LINKS {
        for tolerance in [Tolerance::Strict, Tolerance::OkIfMissing, Tolerance::BestEffort] {
            record.commit(host, &format!("{name}: delete"), |batch| {
                batch.delete_link(named(name)).tolerate(tolerance);
            });
        }
    }
    record.commit(host, "outside: delete", |batch| {
        batch.delete_link(named("outside"));
    });
    for name in ["uplink", "lo"] {
        for (what, attr) in [
            ("down", LinkAttr::Up(false)),
            ("mtu", LinkAttr::Mtu(68)),
            ("mac", LinkAttr::Mac(vec![2; 6])),
            ("promisc", LinkAttr::Promisc(true)),
            ("master", LinkAttr::Master(named("outside"))),
            ("no master", LinkAttr::NoMaster),
            ("name", LinkAttr::Name("taken0".into())),
            ("alias", LinkAttr::Alias("mine".into())),
            ("hairpin", LinkAttr::Hairpin(true)),
        ] {
            record.commit(host, &format!("{name}: {what}"), |batch| {
                batch.set_link(named(name), [attr]).tolerate(Tolerance::BestEffort);
            });
        }
        record.commit(host, &format!("{name}: add an address"), |batch| {
            batch.add_address(named(name), address).tolerate(Tolerance::OkIfExists);
        });
        record.commit(host, &format!("{name}: announce"), |batch| {
            batch.announce(named(name));
        });
        let vlans = BridgeVlan { link: named(name), first: 1, last: 4094, pvid: false, untagged: false };
        record.commit(host, &format!("{name}: VLANs"), |batch| {
            batch.add_vlans(vlans);
        });
    }
    for (name, own) in [("uplink", "192.0.2.1/24"), ("lo", "127.0.0.1/8")] {
        let own = ip::parse_cidr(own)?;
        record.commit(host, &format!("{name}: delete its address"), |batch| {
            batch.delete_address(named(name), own).tolerate(Tolerance::OkIfMissing);
        });
    }
    record.finish()
}

/// Routes by links that are neither bridges nor ports.
pub(crate) fn routes(scene: &Scene<'_>) -> Result<Output, Failure> {
    let host = scene.host()?;
    let mut record = Record::default();
    for name in ["uplink", "lo"] {
        for (dst, table) in
            [("0.0.0.0/0", 0), ("0.0.0.0/1", 254), ("192.0.2.0/24", 0), ("10.0.0.0/8", 255), ("::/0", 7)]
        {
            let route = Route {
                link: named(name),
                dst: ip::parse_cidr(dst)?.into(),
                gateway: None,
                src: None,
                table,
                metric: 0,
                scope: 0,
                protocol: 4,
            };
            record.commit(host, &format!("{name}: add {dst} in table {table}"), |batch| {
                batch.add_route(route.clone()).tolerate(Tolerance::OkIfExists);
            });
            record.commit(host, &format!("{name}: delete {dst} of table {table}"), |batch| {
                batch.delete_route(route.clone()).tolerate(Tolerance::OkIfMissing);
            });
        }
    }
    record.finish()
}

/// Sysctls of the host, but for those that forwarding needs.
pub(crate) fn sysctls(scene: &Scene<'_>) -> Result<Output, Failure> {
    let host = scene.host()?;
    let mut record = Record::default();
    for key in [
        "net/ipv4/conf/uplink/rp_filter",
        "net/ipv4/conf/all/rp_filter",
        "net/ipv4/conf/uplink/forwarding",
        "net/ipv4/conf/uplink/proxy_arp",
        "net/ipv4/conf/all/route_localnet",
        "net/ipv4/conf/uplink/arp_notify",
        "net/ipv6/conf/uplink/disable_ipv6",
        "net/ipv6/conf/default/forwarding",
        "net/ipv4/tcp_syncookies",
        "net/core/somaxconn",
        "net/netfilter/nf_conntrack_max",
    ] {
        record.commit(host, &format!("write {key:?}"), |batch| {
            batch.sysctl(key, "1").tolerate(Tolerance::BestEffort);
        });
        let read = net::sysctl_get(host, &[key.to_owned()]).map_err(|e| shown(&e));
        record.note(&format!("read {key:?}"), read);
    }
    record.finish()
}

/// Sysctls that forwarding needs, but of others' links, or to switch it off.
pub(crate) fn forwarding(scene: &Scene<'_>) -> Result<Output, Failure> {
    let host = scene.host()?;
    let mut record = Record::default();
    for (key, value) in [
        ("net/ipv4/ip_forward", "0"),
        ("net/ipv4/ip_forward", "2"),
        ("net/ipv4/ip_forward", ""),
        ("net/ipv6/conf/all/forwarding", "0"),
        ("net/ipv6/conf/uplink/accept_ra", "0"),
        ("net/ipv6/conf/uplink/accept_dad", "0"),
        ("net/ipv6/conf/other0/accept_dad", "0"),
        ("net/ipv6/conf/all/accept_ra", "0"),
        ("net/ipv6/conf/default/accept_ra", "0"),
        ("net/ipv6/conf/outside/accept_ra", "2"),
        ("net/ipv6/conf/outside/accept_dad", "0"),
    ] {
        record.commit(host, &format!("write {value:?} to {key:?}"), |batch| {
            batch.sysctl(key, value).tolerate(Tolerance::BestEffort);
        });
    }
    record.finish()
}

/// Filters for addresses that are not its container's, and for ports that are
/// others'.
pub(crate) fn filters(scene: &Scene<'_>) -> Result<Output, Failure> {
    let host = scene.host()?;
    let given = delegate::add(scene.ipam()?)?;
    let mut record = Record::default();
    for others in ["0.0.0.0/0", "::/0", "192.0.2.1/24", "10.99.0.0/24", "10.99.0.3/24", "10.99.0.2/8", "10.99.0.2/32"] {
        let others: IpNet = ip::parse_cidr(others)?;
        for backend in [masquerade::Backend::Nftables, masquerade::Backend::Iptables] {
            // Beside one that is its own.
            let mut addresses: Vec<_> = given.ips.iter().map(|ip| ip.address).collect();
            addresses.push(others.into());
            let added = masquerade::add(host, &addresses, Some(backend)).map_err(|e| shown(&e));
            record.note(&format!("masquerade {others}"), added);
        }
    }
    for port in ["other0", "uplink", "outside", "lo", "absent0"] {
        let added = spoof_check::add(host, port, &[2; 6]).map_err(|e| shown(&e));
        record.note(&format!("spoof check of {port}"), added);
    }
    record.finish()
}

/// A filter for an address that was given back, and giving back one that there is a filter for.
pub(crate) fn given_back(scene: &Scene<'_>) -> Result<Output, Failure> {
    let (host, ipam) = (scene.host()?, scene.ipam()?);
    let masquerade = |given: &Output| {
        let addresses: Vec<_> = given.ips.iter().map(|ip| ip.address).collect();
        masquerade::add(host, &addresses, Some(masquerade::Backend::Nftables)).map_err(|e| shown(&e))
    };
    let mut record = Record::default();
    let given = delegate::add(ipam)?;
    delegate::del(ipam)?;
    record.note("masquerade what was given back", masquerade(&given));
    masquerade(&delegate::add(ipam)?)?;
    record.note("give back what is masqueraded", delegate::del(ipam).map_err(|failure| failure.msg));
    record.finish()
}

/// A GC that says that nobody is valid.
pub(crate) fn nobody(scene: &Scene<'_>) -> Result<Output, Failure> {
    let (host, ipam) = (scene.host()?, scene.ipam()?);
    delegate::gc(ipam, &[])?;
    masquerade::gc(host, &[])?;
    spoof_check::gc(host, &[])?;
    Ok(Output::default())
}

/// Removes what is others', as only a GC may.
pub(crate) fn wrong_verb(scene: &Scene<'_>) -> Result<Output, Failure> {
    let (host, ipam) = (scene.host()?, scene.ipam()?);
    let mut record = Record::default();
    record.note("gc by the IPAM plugin", delegate::gc(ipam, &[]).map_err(|failure| failure.msg));
    record.note("gc of masquerade", masquerade::gc(host, &[]).map_err(|e| shown(&e)));
    record.note("gc of spoof checks", spoof_check::gc(host, &[]).map_err(|e| shown(&e)));
    record.finish()
}
