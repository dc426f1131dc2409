//! Links of its own on the host that are to listen to routers, and sysctls of links that are not its own.

use cni_plugin::bindings::interface::wasm_cni::net::net;
use cni_plugin::{Batch, Bridge, Failure, LinkAttr, LinkKind, LinkRef, Output, Tolerance, Veth};

use crate::Scene;
use crate::effects;
use crate::probes::{Record, shown};

fn pair(peer_name: &str, peer_ns: u32) -> LinkKind {
    LinkKind::Veth(Veth { peer_name: peer_name.into(), peer_ns, peer_mac: None, peer_mtu: None })
}

/// Links on the host, made in every way that there is, and told to listen to routers.
pub(crate) fn listen(scene: &Scene<'_>) -> Result<Output, Failure> {
    let (host, sandbox) = (scene.host()?, scene.sandbox()?);
    let listen = |batch: &mut Batch<'_>, name: &str| {
        batch.sysctl(&format!("net/ipv6/conf/{name}/accept_ra"), "2");
    };
    let mut batch = Batch::on(host);
    let there = batch.add_namespace(sandbox);
    batch.add_link("listen0", pair(&scene.call.at.ifname, there), [LinkAttr::Up(true)]);
    let here = batch.add_namespace(host);
    batch.add_link("listen1", pair("listen2", here), []);
    batch.add_link("listen3", LinkKind::Bridge(Bridge { vlan_filtering: false }), [LinkAttr::Up(true)]);
    ["listen0", "listen1", "listen2", "listen3"].iter().for_each(|name| listen(&mut batch, name));
    batch.commit()?;
    let mut batch = Batch::on(sandbox);
    let there = batch.add_namespace(host);
    batch.add_link("inner4", pair("listen4", there), [LinkAttr::Up(true)]);
    batch.commit()?;
    let mut batch = Batch::on(host);
    listen(&mut batch, "listen4");
    // A name is one thing, and the settings are another.
    batch.set_link(LinkRef::Name("listen4".into()), [LinkAttr::Name("listen5".into())]);
    listen(&mut batch, "listen5");
    batch.commit()?;
    Ok(effects::one_interface(scene))
}

/// Links whose names stand for all links, and one without IPv6 that is to come to have it: where a
/// star in a grant stands for a link of its own.
pub(crate) fn stars(scene: &Scene<'_>) -> Result<Output, Failure> {
    let host = scene.host()?;
    let mut batch = Batch::on(host);
    let there = batch.add_namespace(scene.sandbox()?);
    // Below 1280 it has no IPv6, and the kernel permits more names.
    batch.add_link("star0", pair(&scene.call.at.ifname, there), [LinkAttr::Mtu(1000)]);
    batch.commit()?;
    let star0 = || LinkRef::Name("star0".into());
    let mut record = Record::default();
    for name in ["all", "default"] {
        record.commit(host, &format!("make {name}"), |batch| {
            batch.add_link(name, LinkKind::Bridge(Bridge { vlan_filtering: false }), [LinkAttr::Mtu(1000)]);
        });
        record.commit(host, &format!("rename to {name}"), |batch| {
            batch.set_link(star0(), [LinkAttr::Name(name.into())]).tolerate(Tolerance::BestEffort);
        });
        for key in ["accept_ra", "accept_dad"] {
            let key = format!("net/ipv6/conf/{name}/{key}");
            record.commit(host, &format!("write {key}"), |batch| {
                batch.sysctl(&key, "0").tolerate(Tolerance::BestEffort);
            });
            let read = net::sysctl_get(host, std::slice::from_ref(&key)).map_err(|error| shown(&error));
            record.note(&format!("read {key}"), read);
        }
    }
    for key in ["net/ipv6/conf/*/accept_ra", "net/ipv6/conf/star0/../all/accept_ra", "net/ipv6/conf/star1/accept_dad"] {
        record.commit(host, &format!("write {key}"), |batch| {
            batch.sysctl(key, "0").tolerate(Tolerance::BestEffort);
        });
    }
    for mtu in [1280, 1500, 9000] {
        record.commit(host, &format!("an MTU of {mtu}"), |batch| {
            batch.set_link(star0(), [LinkAttr::Mtu(mtu)]).tolerate(Tolerance::BestEffort);
        });
    }
    record.finish()
}
