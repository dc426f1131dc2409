//! What is other containers': ports of a bridge, the bridge that they share, and
//! the addresses and routes that lead to them. Of the plugin's own links, what
//! reaches beyond them.

use std::net::IpAddr;

use cni_plugin::{
    Batch, BridgeVlan, Failure, IpNet, LinkAttr, LinkRef, Netns, Output, Route, Tolerance, ip, ipam, veth,
};

use crate::Scene;
use crate::probes::{Record, bridge, veth as pair};

fn named(name: &str) -> LinkRef {
    LinkRef::Name(name.to_owned())
}

fn route(name: &str, dst: IpNet, table: u32) -> Route {
    Route { link: named(name), dst: dst.into(), gateway: None, src: None, table, metric: 0, scope: 253, protocol: 4 }
}

/// All that can be done to a link, and is done to `name`.
fn all(record: &mut Record, host: &Netns, name: &str, attrs: Vec<(&str, LinkAttr)>) -> Result<(), Failure> {
    for (what, attr) in attrs {
        for tolerance in [Tolerance::Strict, Tolerance::BestEffort] {
            record.commit(host, &format!("{name}: {what}"), |batch| {
                // With what a bridge may be told.
                let attrs = [LinkAttr::Up(true), attr.clone()];
                batch.set_link(named(name), attrs).tolerate(tolerance);
            });
        }
    }
    for address in ["198.51.100.1/24", "10.99.0.2/24", "10.99.0.9/32", "0.0.0.1/1", "10.99.0.1/8"] {
        let address = ip::parse_cidr(address)?;
        record.commit(host, &format!("{name}: add {address}"), |batch| {
            batch.add_address(named(name), address).tolerate(Tolerance::OkIfExists);
        });
        record.commit(host, &format!("{name}: delete {address}"), |batch| {
            batch.delete_address(named(name), address).tolerate(Tolerance::OkIfMissing);
        });
    }
    for dst in ["0.0.0.0/0", "10.99.0.0/24", "10.99.0.2/32"] {
        let dst = ip::parse_cidr(dst)?;
        record.commit(host, &format!("{name}: add the route to {dst}"), |batch| {
            batch.add_route(route(name, dst, 0));
        });
        record.commit(host, &format!("{name}: delete the route to {dst}"), |batch| {
            batch.delete_route(route(name, dst, 0)).tolerate(Tolerance::OkIfMissing);
        });
    }
    let vlans = || BridgeVlan { link: named(name), first: 1, last: 1, pvid: true, untagged: true };
    record.commit(host, &format!("{name}: add VLANs"), |batch| {
        batch.add_vlans(vlans());
    });
    record.commit(host, &format!("{name}: delete VLANs"), |batch| {
        batch.delete_vlans(vlans());
    });
    record.commit(host, &format!("{name}: announce"), |batch| {
        batch.announce(named(name));
    });
    record.commit(host, &format!("{name}: delete"), |batch| {
        batch.delete_link(named(name));
    });
    Ok(())
}

/// Changes to `other0`, a port of the bridge `outside`, and to that bridge, with
/// addresses from the IPAM plugin.
pub(crate) fn ports(scene: &Scene<'_>) -> Result<Output, Failure> {
    let host = scene.host()?;
    ipam::add(scene.ipam()?)?;
    let mut batch = Batch::on(host);
    batch.add_link(&scene.bridge, bridge(), [LinkAttr::Up(true)]);
    batch.commit()?;
    let mut record = Record::default();
    let shared = || {
        vec![
            ("down", LinkAttr::Up(false)),
            ("mtu", LinkAttr::Mtu(1300)),
            ("mac", LinkAttr::Mac(vec![2; 6])),
            ("master", LinkAttr::Master(named(&scene.bridge))),
            ("no master", LinkAttr::NoMaster),
            ("no promisc", LinkAttr::Promisc(false)),
            ("name", LinkAttr::Name("taken0".into())),
            ("alias", LinkAttr::Alias("mine".into())),
            ("hairpin", LinkAttr::Hairpin(true)),
            ("isolated", LinkAttr::Isolated(true)),
        ]
    };
    all(&mut record, host, "outside", shared())?;
    let port = shared().into_iter().chain([("up", LinkAttr::Up(true)), ("promisc", LinkAttr::Promisc(true))]);
    all(&mut record, host, "other0", port.collect())?;
    record.commit(host, "other0: add the gateway", |batch| {
        batch.add_address(named("other0"), IpNet::new_assert(IpAddr::from([10, 99, 0, 1]), 24));
    });
    record.finish()
}

/// `outside.7`, whose other end is a port of `outside`, has a gateway's address
/// and nothing more; `outside.8`, which is anybody's, has none.
pub(crate) fn vlan(scene: &Scene<'_>) -> Result<Output, Failure> {
    let host = scene.host()?;
    ipam::add(scene.ipam()?)?;
    let gateway = ip::parse_cidr("10.99.0.1/24")?;
    let mut batch = Batch::on(host);
    batch.add_address(named("outside.7"), gateway);
    batch.set_link(named("outside.7"), [LinkAttr::Up(true)]);
    batch.commit()?;
    let mut record = Record::default();
    record.commit(host, "outside.8: add the gateway", |batch| {
        batch.add_address(named("outside.8"), gateway);
    });
    all(&mut record, host, "outside.7", vec![("down", LinkAttr::Up(false)), ("mac", LinkAttr::Mac(vec![2; 6]))])?;
    record.finish()
}

/// Links of its own, both ends of a pair on the host: with addresses and routes
/// of others, and as ports of the host's links.
pub(crate) fn reach(scene: &Scene<'_>) -> Result<Output, Failure> {
    let host = scene.host()?;
    ipam::add(scene.ipam()?)?;
    let names = [veth::random_name(), veth::random_name()];
    let mut batch = Batch::on(host);
    batch.add_link(&scene.bridge, bridge(), [LinkAttr::Up(true)]);
    let peer = pair(&names[1], batch.add_namespace(host));
    batch.add_link(&names[0], peer, [LinkAttr::Master(named(&scene.bridge)), LinkAttr::Up(true)]);
    // What is its own to do.
    batch.set_link(named(&names[1]), [LinkAttr::Up(true), LinkAttr::Mtu(1400)]);
    batch.add_address(named(&names[1]), ip::parse_cidr("10.99.0.1/32")?);
    batch.add_route(route(&names[1], ip::parse_cidr("10.99.0.2/32")?, 0));
    batch.commit()?;
    let mut record = Record::default();
    for name in names.iter().chain([&scene.bridge]) {
        for address in ["0.0.0.1/1", "10.99.0.1/8", "10.99.0.3/24", "192.0.2.1/32", "192.0.2.254/24", "fd00::1/64"] {
            let address = ip::parse_cidr(address)?;
            record.commit(host, &format!("own: add {address}"), |batch| {
                batch.add_address(named(name), address).tolerate(Tolerance::OkIfExists);
            });
        }
        for dst in ["0.0.0.0/0", "0.0.0.0/1", "10.99.0.0/24", "10.99.0.3/32", "192.0.2.254/32", "::/0", "fd00::1/128"] {
            let dst = ip::parse_cidr(dst)?;
            for table in [0, 7, 255] {
                record.commit(host, &format!("own: add the route to {dst} in table {table}"), |batch| {
                    batch.add_route(route(name, dst, table)).tolerate(Tolerance::OkIfExists);
                });
            }
        }
        for master in ["uplink", "lo", "other0"] {
            record.commit(host, &format!("own: a port of {master}"), |batch| {
                batch.set_link(named(name), [LinkAttr::Master(named(master))]).tolerate(Tolerance::BestEffort);
            });
        }
    }
    record.commit(host, "a new port of uplink", |batch| {
        batch.add_link("hostile0", bridge(), [LinkAttr::Master(named("uplink"))]);
    });
    record.finish()
}
