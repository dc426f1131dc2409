//! Calls that the host must refuse: links that go elsewhere, packet filters,
//! hardware.

use cni_plugin::bindings::interface::wasm_cni::filter::{masquerade, spoof_check};
use cni_plugin::bindings::interface::wasm_cni::types::types::{IpAddr, IpNet};
use cni_plugin::devices::{self, Bus};
use cni_plugin::{Attachment, Failure, LinkAttr, LinkRef, Output, Tolerance};

use crate::Scene;
use crate::probes::{Record, bridge, shown};

/// Links of the host that are to come, links of the sandbox that are to go, and
/// names and aliases for either.
pub(crate) fn moves(scene: &Scene<'_>) -> Result<Output, Failure> {
    let (host, sandbox) = (scene.host()?, scene.sandbox()?);
    let mut record = Record::default();
    let outside = || LinkRef::Name(scene.outside.clone().unwrap_or_default());
    for tolerance in [Tolerance::Strict, Tolerance::OkIfMissing] {
        record.commit(host, "take the host's link", |batch| {
            let sandbox = batch.add_namespace(sandbox);
            batch.set_link(outside(), [LinkAttr::Netns(sandbox), LinkAttr::Up(true)]).tolerate(tolerance);
        });
        record.commit(sandbox, "give the host a link", |batch| {
            let host = batch.add_namespace(host);
            batch.set_link(LinkRef::Name("lo".into()), [LinkAttr::Netns(host)]).tolerate(tolerance);
        });
        record.commit(sandbox, "give the host a port", |batch| {
            let host = batch.add_namespace(host);
            let attrs = [LinkAttr::Netns(host), LinkAttr::Master(LinkRef::Index(1))];
            batch.set_link(LinkRef::Name("lo".into()), attrs).tolerate(tolerance);
        });
        record.commit(sandbox, "move to namespace 9", |batch| {
            batch.set_link(LinkRef::Name("lo".into()), [LinkAttr::Netns(9)]).tolerate(tolerance);
        });
    }
    let long = "a".repeat(256);
    for alias in [long.as_str(), "two\nlines", "nul\0"] {
        record.commit(sandbox, "a bad alias", |batch| {
            batch.set_link(LinkRef::Name("lo".into()), [LinkAttr::Alias(alias.to_owned())]);
        });
    }
    for name in ["a/b", "exactly-16-bytes", "", "..", "x%d"] {
        record.commit(sandbox, &format!("rename to {name:?}"), |batch| {
            batch.set_link(LinkRef::Name("lo".into()), [LinkAttr::Name(name.to_owned())]);
        });
    }
    for attr in [LinkAttr::Name("hostile1".into()), LinkAttr::Netns(0)] {
        record.commit(sandbox, "make it elsewhere", |batch| {
            batch.add_link("hostile0", bridge(), [attr.clone()]);
        });
    }
    record.commit(sandbox, "announce nothing", |batch| {
        batch.announce(LinkRef::Index(u32::MAX));
    });
    record.finish()
}

/// Filters in the wrong namespace, for too many addresses, of no link's name.
pub(crate) fn filters(scene: &Scene<'_>) -> Result<Output, Failure> {
    let (host, sandbox) = (scene.host()?, scene.sandbox()?);
    let mut record = Record::default();
    let v4 = |prefix| IpNet { addr: IpAddr::V4(0x0a63_0002), prefix };
    let live = [Attachment { container_id: "../x".into(), ifname: "\n".into() }];
    let mut note = |what: &str, done: Result<(), cni_plugin::Error>| record.note(what, done.map_err(|e| shown(&e)));
    note("masquerade in the sandbox", masquerade::add(sandbox, &[v4(24)], None));
    note("no masquerade in the sandbox", masquerade::remove(sandbox, &[]));
    note("gc in the sandbox", masquerade::gc(sandbox, &live));
    note("status in the sandbox", masquerade::status(sandbox, None));
    note("a prefix of 33", masquerade::add(host, &[v4(33)], Some(masquerade::Backend::Nftables)));
    note("257 addresses", masquerade::add(host, &[v4(24); 257], Some(masquerade::Backend::Nftables)));
    note("spoof check in the sandbox", spoof_check::add(sandbox, "eth0", &[2; 6]));
    note("no spoof check in the sandbox", spoof_check::remove(sandbox));
    note("gc of spoof checks in the sandbox", spoof_check::gc(sandbox, &live));
    for port in ["", "a b", "exactly-16-bytes", "x%d", "\" drop"] {
        note(&format!("port {port:?}"), spoof_check::add(host, port, &[2; 6]));
    }
    for mac in [&[][..], &[2; 5], &[2; 7], &[2; 4096]] {
        note(&format!("{} bytes", mac.len()), spoof_check::add(host, "eth0", mac));
    }
    record.finish()
}

/// Any of them: there is no grant for it.
pub(crate) fn devices() -> Result<Output, Failure> {
    let mut record = Record::default();
    for name in ["0000:00:00.0", "../../..", "a/b", "", "\0"] {
        for bus in [Bus::Pci, Bus::Auxiliary] {
            record.note(&format!("exists {name:?}"), devices::exists(bus, name).map_err(|e| shown(&e)));
            record.note(&format!("driver {name:?}"), devices::driver(bus, name).map_err(|e| shown(&e)));
            record.note(&format!("interfaces {name:?}"), devices::interfaces(bus, name).map_err(|e| shown(&e)));
        }
    }
    for path in ["/sys/devices", "/sys/devices/../../etc", "/etc", "etc", "", "/sys/devices\0"] {
        record.note(&format!("interfaces at {path:?}"), devices::interfaces_at(path).map_err(|e| shown(&e)));
    }
    record.finish()
}
