//! Calls that the host must refuse, and a record of whether it did.

use cni_plugin::bindings::interface::wasm_cni::cni::delegate;
use cni_plugin::bindings::interface::wasm_cni::net::net;
use cni_plugin::{
    Batch, Bridge, Condition, Failure, LinkAttr, LinkKind, LinkRef, Netns, OtherChange, Output, Query, Tables,
    Tolerance, Veth,
};

use crate::Scene;

/// The code of a failure that lists nothing but refusals.
pub const REFUSED: u32 = 120;
/// The code of a failure that names a call that was not refused.
pub const NOT_REFUSED: u32 = 998;

/// Namespaces, links and operations that do not exist.
pub(crate) fn handles(scene: &Scene<'_>) -> Result<Output, Failure> {
    let sandbox = scene.sandbox()?;
    let mut record = Record::default();
    let up = || [LinkAttr::Up(true)];
    for (what, link) in [
        ("index 0xffffffff", LinkRef::Index(u32::MAX)),
        ("index 0", LinkRef::Index(0)),
        ("made 99", LinkRef::Made(99)),
        ("made by itself", LinkRef::Made(0)),
    ] {
        record.commit(sandbox, &format!("set link {what}"), |batch| {
            batch.set_link(link.clone(), up());
        });
        let query = Query { tables: Tables::LINKS, link: Some(link.clone()) };
        let read = net::read(sandbox, &query).map_err(|error| shown(&error));
        record.note(&format!("read link {what}"), read);
        let waited = net::wait(sandbox, &link, Condition::OperUp, 1);
        let waited = waited.map_err(|error| shown(&error));
        record.note(&format!("wait for link {what}"), waited);
    }
    record.commit(sandbox, "veth peer in namespace 7", |batch| {
        batch.add_link("hostile0", veth("hostile1", 7), []);
    });
    let change =
        net::Op { ns: 7, act: net::Action::LinkDel(LinkRef::Name("lo".into())), tolerate: Tolerance::OkIfMissing };
    let committed = net::commit(&[sandbox], vec![change]).map_err(|error| shown(&error.cause));
    record.note("operation in namespace 7", committed);
    record.finish()
}

/// Names that are no names of links, and a link that is not the plugin's.
pub(crate) fn names(scene: &Scene<'_>) -> Result<Output, Failure> {
    let sandbox = scene.sandbox()?;
    let mut record = Record::default();
    for name in ["a/b", "exactly-16-bytes", "nul\0", "", ".", "..", "a b", "a\nb", "a:b", "x%d", "all", "default"] {
        record.commit(sandbox, &format!("add {name:?}"), |batch| {
            batch.add_link(name, bridge(), []);
        });
        record.commit(sandbox, &format!("add peer {name:?}"), |batch| {
            batch.add_link("hostile0", veth(name, 0), []);
        });
        record.commit(sandbox, &format!("set {name:?}"), |batch| {
            batch.set_link(LinkRef::Name(name.into()), [LinkAttr::Up(true)]);
        });
    }
    if let (Some(host), Some(outside)) = (scene.host, &scene.outside) {
        record.commit(host, &format!("delete {outside:?}"), |batch| {
            batch.delete_link(LinkRef::Name(outside.clone()));
        });
    }
    record.finish()
}

/// Keys outside the network's part of /proc/sys, and values of two lines.
pub(crate) fn sysctls(scene: &Scene<'_>) -> Result<Output, Failure> {
    let mut record = Record::default();
    let keys = [
        "kernel/core_pattern",
        "net/../kernel/hostname",
        "net/ipv4/conf/../../../kernel/hostname",
        "/proc/sys/kernel/hostname",
        "/net/ipv4/ip_forward",
        "net//ipv4/ip_forward",
        "net/ipv4/./ip_forward",
        "net/ipv4/ip_forward\0",
        "net/ipv4",
        "net",
        "",
        "..",
    ];
    for namespace in [scene.sandbox, scene.host].into_iter().flatten() {
        let place = namespace.label();
        for key in keys {
            for tolerance in [Tolerance::Strict, Tolerance::BestEffort] {
                record.commit(namespace, &format!("{place}: write {key:?}"), |batch| {
                    batch.sysctl(key, "1").tolerate(tolerance);
                });
            }
            let read = match net::sysctl_get(namespace, &[key.to_owned()]) {
                Ok(values) if values.iter().all(Option::is_none) => Err("none".to_owned()),
                Ok(_) => Ok(()),
                Err(error) => Err(shown(&error)),
            };
            record.note(&format!("{place}: read {key:?}"), read);
        }
    }
    for value in ["1\n", "0\n1", "1\0", &"1".repeat(1 << 16)] {
        let start: String = value.chars().take(4).collect();
        record.commit(scene.sandbox()?, &format!("write value {start:?}"), |batch| {
            batch.sysctl("net/ipv4/ip_forward", value);
        });
    }
    record.finish()
}

/// Names that are no names of plugins.
pub(crate) fn delegates() -> Result<Output, Failure> {
    let mut record = Record::default();
    for plugin in ["../x", "/bin/sh", "", ".", "..", "a\0b", "no-such-plugin"] {
        let added = delegate::add(plugin).map_err(|failure| failure.msg);
        record.note(&format!("add by {plugin:?}"), added);
        let deleted = delegate::del(plugin).map_err(|failure| failure.msg);
        record.note(&format!("del by {plugin:?}"), deleted);
    }
    record.finish()
}

#[derive(Debug, Default)]
pub(crate) struct Record {
    refused: Vec<String>,
    passed: Vec<String>,
}

impl Record {
    pub(crate) fn commit<'n>(&mut self, ns: &'n Netns, what: &str, fill: impl FnOnce(&mut Batch<'n>)) {
        let mut batch = Batch::on(ns);
        fill(&mut batch);
        let committed = batch.commit().map_err(|failed| shown(&failed.cause));
        self.note(what, committed);
    }

    pub(crate) fn other(&mut self, ns: &Netns, what: &str, change: OtherChange) {
        self.commit(ns, what, |batch| {
            batch.other(change);
        });
    }

    pub(crate) fn note<T>(&mut self, what: &str, outcome: Result<T, String>) {
        match outcome {
            Ok(_) => self.passed.push(what.to_owned()),
            Err(why) => self.refused.push(format!("{what}: {why}")),
        }
    }

    pub(crate) fn finish(self) -> Result<Output, Failure> {
        Err(if self.passed.is_empty() {
            Failure::new(REFUSED, self.refused.join("\n"), "")
        } else {
            let passed = self.passed.join("\n");
            Failure::new(NOT_REFUSED, passed, self.refused.join("\n"))
        })
    }
}

pub(crate) fn shown(error: &cni_plugin::Error) -> String {
    let what: String = error.what.chars().take(40).collect();
    format!("{:?}: {what}: {}", error.code, error.msg)
}

pub(crate) fn bridge() -> LinkKind {
    LinkKind::Bridge(Bridge { vlan_filtering: false })
}

pub(crate) fn veth(peer_name: &str, peer_ns: u32) -> LinkKind {
    LinkKind::Veth(Veth { peer_name: peer_name.to_owned(), peer_ns, peer_mac: None, peer_mtu: None })
}
