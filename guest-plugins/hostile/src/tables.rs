//! Routes, rules and neighbours beyond what `net` has: the host's, and in the sandbox those
//! that make no sense.

use std::net::IpAddr;

use cni_plugin::neighbours::{self, Neighbour};
use cni_plugin::routes::{self, Hop, How, Kind, Route};
use cni_plugin::rules::{self, Family, Rule};
use cni_plugin::{Failure, IpNet, LinkRef, OtherChange, Output, Tolerance, ip};

use crate::Scene;
use crate::probes::Record;

const KINDS: [Kind; 5] = [Kind::Unicast, Kind::Blackhole, Kind::Unreachable, Kind::Prohibit, Kind::Throw];

fn named(name: &str) -> LinkRef {
    LinkRef::Name(name.to_owned())
}

fn gateway() -> IpAddr {
    IpAddr::from([192, 0, 2, 254])
}

/// Changes to the host's tables, whatever links they name.
pub(crate) fn foreign(scene: &Scene<'_>) -> Result<Output, Failure> {
    let host = scene.host()?;
    let mut record = Record::default();
    let mut other = |what: &str, change: &dyn Fn() -> OtherChange| {
        for tolerance in [Tolerance::Strict, Tolerance::BestEffort] {
            record.commit(host, what, |batch| {
                batch.other(change()).tolerate(tolerance);
            });
        }
    };
    for dst in ["0.0.0.0/0", "192.0.2.0/24", "10.99.0.0/24", "::/0"] {
        let dst: IpNet = ip::parse_cidr(dst)?;
        for kind in KINDS {
            for table in [0, 255] {
                let hops = if kind == Kind::Unicast { vec![Hop::by(named("uplink"))] } else { vec![] };
                let route = Route { kind, table, ..Route::to(dst, hops) };
                for how in [How::Append, How::Create, How::Replace] {
                    other(&format!("{how:?} {kind:?} {dst} in table {table}"), &|| routes::add(&route, how));
                }
                other(&format!("delete {kind:?} {dst} of table {table}"), &|| routes::delete(&route));
            }
        }
    }
    for family in [Family::Inet, Family::Inet6] {
        for rule in [
            Rule::all(family, 7),
            Rule { priority: Some(0), ..Rule::all(family, 7) },
            Rule { priority: Some(32766), ..Rule::all(family, 254) },
            Rule { iif: "uplink".into(), ..Rule::all(family, 7) },
            Rule { mark: Some((1, 1)), ..Rule::all(family, 7) },
        ] {
            other(&format!("add {rule:?}"), &|| rules::add(&rule));
            other(&format!("delete {rule:?}"), &|| rules::delete(&rule));
        }
    }
    for name in ["uplink", "lo", "other0", "outside"] {
        let permanent = || Neighbour::permanent(named(name), gateway(), vec![2; 6]);
        other(&format!("{name}: a neighbour"), &|| neighbours::add(&permanent()));
        other(&format!("{name}: no neighbour"), &|| neighbours::delete(&permanent()));
        other(&format!("{name}: answers for others"), &|| neighbours::add(&Neighbour::proxy(named(name), gateway())));
    }
    record.finish()
}

/// In the sandbox: what is out of range, or names what there is not.
pub(crate) fn bad(scene: &Scene<'_>) -> Result<Output, Failure> {
    let sandbox = scene.sandbox()?;
    let mut record = Record::default();
    let mut other = |what: &str, change| record.other(sandbox, what, change);
    let net: IpNet = ip::parse_cidr("10.99.0.0/24")?;
    let by = |hop: Hop| Route::to(net, [hop]);
    let lo = || Hop::by(named("lo"));
    let mut long = Route::to(net, [lo()]);
    long.dst.prefix = 33;
    for (what, route) in [
        ("a prefix of 33", long),
        ("no hop", Route::to(net, [])),
        ("a blackhole with a hop", Route { kind: Kind::Blackhole, ..by(lo()) }),
        ("1000 hops", Route::to(net, vec![lo(); 1000])),
        ("a weight of 0", Route::to(net, [lo(), Hop { weight: 0, ..lo() }])),
        ("a weight of 257", Route::to(net, [lo(), Hop { weight: 257, ..lo() }])),
        ("a hop made 99", by(Hop::by(LinkRef::Made(99)))),
        ("a hop made by itself", by(Hop::by(LinkRef::Made(0)))),
        ("a hop 0xffffffff", by(Hop::by(LinkRef::Index(u32::MAX)))),
        ("a hop with a long name", by(Hop::by(named(&"x".repeat(1 << 20))))),
        ("a gateway of the other family", by(Hop { gateway: Some(IpAddr::from([0; 16]).into()), ..lo() })),
        ("a source of the other family", Route { src: Some(IpAddr::from([0; 16]).into()), ..by(lo()) }),
    ] {
        other(&format!("add a route with {what}"), routes::add(&route, How::Create));
        other(&format!("delete a route with {what}"), routes::delete(&route));
    }
    let v6: IpNet = ip::parse_cidr("fd00::/64")?;
    let mut long = Rule::from_source(net, 7);
    long.src = long.src.map(|mut src| {
        src.prefix = 33;
        src
    });
    for (what, rule) in [
        ("a prefix of 33", long),
        ("a source of the other family", Rule { src: Some(v6.into()), ..Rule::all(Family::Inet, 7) }),
        ("a destination of the other family", Rule { dst: Some(net.into()), ..Rule::all(Family::Inet6, 7) }),
        ("a long name", Rule { iif: "x".repeat(1 << 20), ..Rule::all(Family::Inet, 7) }),
        ("a name with a slash", Rule { oif: "a/b".into(), ..Rule::all(Family::Inet, 7) }),
    ] {
        other(&format!("add a rule with {what}"), rules::add(&rule));
        other(&format!("delete a rule with {what}"), rules::delete(&rule));
    }
    let of_lo = |mac| Neighbour::permanent(named("lo"), gateway(), mac);
    for (what, neighbour) in [
        ("a MAC of 33 bytes", of_lo(vec![2; 33])),
        ("a MAC of a mebibyte", of_lo(vec![2; 1 << 20])),
        ("no link", Neighbour { link: LinkRef::Index(0), ..of_lo(vec![2; 6]) }),
        ("a link made 99", Neighbour { link: LinkRef::Made(99), ..of_lo(vec![2; 6]) }),
        ("an absent link", Neighbour { link: named("absent0"), ..of_lo(vec![2; 6]) }),
    ] {
        other(&format!("add a neighbour with {what}"), neighbours::add(&neighbour));
        other(&format!("delete a neighbour with {what}"), neighbours::delete(&neighbour));
    }
    record.finish()
}
