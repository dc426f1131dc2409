//! Everything that the grants of `loopback` do not name: for a component that holds more plugins than one, and so imports
//! more than some of them may use.

use cni_plugin::bindings::interface::wasm_cni::cni::delegate;
use cni_plugin::bindings::interface::wasm_cni::filter::{masquerade, spoof_check};
use cni_plugin::bindings::interface::wasm_cni::net::net;
use cni_plugin::devices::{self, Bus};
use cni_plugin::macvlan::{self, Macvlan, Mode};
use cni_plugin::neighbours::{self, Neighbour};
use cni_plugin::routes::{self, How, Kind, Route};
use cni_plugin::rules::{self, Family, Rule};
use cni_plugin::{Error, Failure, LinkRef, Output, dummy, ip, memo};

use crate::Scene;
use crate::probes::{Record, bridge, shown, veth};

/// One call of each function, as it would succeed with a grant.
pub(crate) fn all(scene: &Scene<'_>) -> Result<Output, Failure> {
    let sandbox = scene.sandbox()?;
    let mut record = Record::default();
    if scene.host.is_some() {
        record.note("the host's namespace", Ok(()));
    }
    links(scene, &mut record)?;
    let dst = ip::parse_cidr("10.99.0.0/24")?;
    let route = Route { kind: Kind::Blackhole, ..Route::to(dst, vec![]) };
    record.other(sandbox, "add a route", routes::add(&route, How::Create));
    record.other(sandbox, "replace a route", routes::add(&route, How::Replace));
    record.other(sandbox, "delete a route", routes::delete(&route));
    let rule = Rule::all(Family::Inet, 7);
    record.other(sandbox, "add a rule", rules::add(&rule));
    record.other(sandbox, "delete a rule", rules::delete(&rule));
    let neighbour = Neighbour::permanent(lo(), [192, 0, 2, 1].into(), vec![2; 6]);
    record.other(sandbox, "add a neighbour", neighbours::add(&neighbour));
    record.other(sandbox, "delete a neighbour", neighbours::delete(&neighbour));
    let mut note = |what: &str, done: Result<(), Error>| record.note(what, done.map_err(|e| shown(&e)));
    note("read a sysctl", net::sysctl_get(sandbox, &["net/ipv4/conf/lo/arp_notify".into()]).map(drop));
    note("masquerade", masquerade::add(sandbox, &[], None));
    note("no masquerade", masquerade::remove(sandbox, &[]));
    note("status of masquerade", masquerade::status(sandbox, None));
    note("a spoof check", spoof_check::add(sandbox, "eth0", &[2; 6]));
    note("no spoof check", spoof_check::remove(sandbox));
    note("a device", devices::exists(Bus::Pci, "0000:00:00.0").map(drop));
    note("its driver", devices::driver(Bus::Pci, "0000:00:00.0").map(drop));
    note("its interfaces", devices::interfaces(Bus::Pci, "0000:00:00.0").map(drop));
    note("interfaces at a path", devices::interfaces_at("/sys/devices").map(drop));
    note("put a memo", memo::put(b"x"));
    note("get a memo", memo::get().map(drop));
    note("forget a memo", memo::forget());
    let mut note = |what: &str, done: Result<(), Failure>| record.note(what, done.map_err(|failure| failure.msg));
    let ipam = scene.ipam()?;
    note("delegate ADD", delegate::add(ipam).map(drop));
    note("delegate DEL", delegate::del(ipam));
    note("delegate CHECK", delegate::check(ipam));
    note("delegate STATUS", delegate::status(ipam));
    note("delegate GC", delegate::gc(ipam, &[]));
    record.finish()
}

fn links(scene: &Scene<'_>, record: &mut Record) -> Result<(), Failure> {
    let sandbox = scene.sandbox()?;
    for (what, kind) in [("bridge", bridge()), ("veth", veth("hostile1", 0))] {
        record.commit(sandbox, what, |batch| {
            batch.add_link("hostile0", kind, []);
        });
    }
    record.other(sandbox, "dummy", dummy::add("hostile0", []));
    let macvlan = Macvlan { name: "hostile0", parent: lo(), parent_ns: 0, mode: Mode::Bridge, bc_queue_len: None };
    record.other(sandbox, "macvlan", macvlan::add(&macvlan, []));
    record.commit(sandbox, "delete a link", |batch| {
        batch.delete_link(lo());
    });
    let address = ip::parse_cidr("10.99.0.2/24")?;
    record.commit(sandbox, "add an address", |batch| {
        batch.add_address(lo(), address);
    });
    record.commit(sandbox, "set a sysctl", |batch| {
        batch.sysctl("net/ipv4/conf/lo/arp_notify", "1");
    });
    Ok(())
}

fn lo() -> LinkRef {
    LinkRef::Name("lo".into())
}
