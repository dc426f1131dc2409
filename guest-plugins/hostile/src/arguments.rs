//! Arguments that are too long, too many, or out of range.

use cni_plugin::bindings::interface::wasm_cni::cni::delegate;
use cni_plugin::bindings::interface::wasm_cni::filter::masquerade;
use cni_plugin::bindings::interface::wasm_cni::net::net;
use cni_plugin::{BridgeVlan, Failure, IpNet, LinkAttr, LinkRef, Output, Query, Tables, devices, spoof_check};

use crate::Scene;
use crate::probes::{Record, bridge, shown, veth};

/// Long, and short enough to reach the host's own checks.
const LONG: usize = 1 << 20;

/// A text of a mebibyte wherever a text may be.
pub(crate) fn huge(scene: &Scene<'_>) -> Result<Output, Failure> {
    let (host, sandbox) = (scene.host()?, scene.sandbox()?);
    let long = "x".repeat(LONG);
    let link = || LinkRef::Name(long.clone());
    let mut record = Record::default();
    record.commit(sandbox, "link-add", |batch| {
        batch.add_link(&long, bridge(), []);
    });
    record.commit(sandbox, "link-add of a peer", |batch| {
        batch.add_link("hostile0", veth(&long, 0), []);
    });
    for (what, attr) in [
        ("name", LinkAttr::Name(long.clone())),
        ("alias", LinkAttr::Alias(long.clone())),
        ("mac", LinkAttr::Mac(vec![2; LONG])),
        ("master", LinkAttr::Master(link())),
    ] {
        record.commit(sandbox, what, |batch| {
            batch.set_link(LinkRef::Name("lo".into()), [attr]);
        });
    }
    record.commit(sandbox, "link-set", |batch| {
        batch.set_link(link(), [LinkAttr::Up(true)]);
    });
    record.commit(sandbox, "link-del", |batch| {
        batch.delete_link(link());
    });
    record.commit(sandbox, "addr-add", |batch| {
        batch.add_address(link(), IpNet::from(std::net::IpAddr::from([10, 0, 0, 1])));
    });
    record.commit(sandbox, "announce", |batch| {
        batch.announce(link());
    });
    record.commit(sandbox, "sysctl key", |batch| {
        batch.sysctl(&format!("net/ipv4/conf/{long}/arp_notify"), "1");
    });
    record.commit(sandbox, "sysctl value", |batch| {
        batch.sysctl("net/ipv4/conf/lo/arp_notify", &long);
    });
    let read = net::read(sandbox, &Query { tables: Tables::LINKS, link: Some(link()) });
    record.note("read", read.map_err(|e| shown(&e)));
    record.note("spoof check", spoof_check::add(host, &long, &[2; 6]).map_err(|e| shown(&e)));
    record.note("delegate", delegate::add(&long).map_err(|failure| failure.msg));
    record.note("device", devices::exists(devices::Bus::Pci, &long).map_err(|e| shown(&e)));
    record.finish()
}

/// One more of everything than there may be.
pub(crate) fn lists(scene: &Scene<'_>) -> Result<Output, Failure> {
    let (host, sandbox) = (scene.host()?, scene.sandbox()?);
    let mut record = Record::default();
    record.commit(sandbox, "1025 operations", |batch| {
        for _ in 0..1025 {
            batch.sysctl("net/ipv4/conf/lo/arp_notify", "1");
        }
    });
    let keys = vec!["net/ipv4/conf/lo/arp_notify".to_owned(); 100_000];
    record.note("100000 sysctls", net::sysctl_get(sandbox, &keys).map_err(|e| shown(&e)));
    let address = masquerade::add(host, &[IpNet::from(std::net::IpAddr::from([10, 0, 0, 1])).into(); 257], None);
    record.note("257 addresses", address.map_err(|e| shown(&e)));
    record.finish()
}

/// VLANs that do not exist.
pub(crate) fn vlans(scene: &Scene<'_>) -> Result<Output, Failure> {
    let sandbox = scene.sandbox()?;
    let mut record = Record::default();
    for (first, last) in [(0, 0), (0, 10), (4095, 4095), (1, 4095), (10, 9), (u16::MAX, u16::MAX), (1, u16::MAX)] {
        for add in [true, false] {
            let vlans = BridgeVlan { link: LinkRef::Name("lo".into()), first, last, pvid: false, untagged: false };
            record.commit(sandbox, &format!("{first} to {last}"), |batch| {
                if add {
                    batch.add_vlans(vlans)
                } else {
                    batch.delete_vlans(vlans)
                };
            });
        }
    }
    record.finish()
}
