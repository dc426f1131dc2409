//! Routes, rules and neighbours beyond what `net` has: the host's, and in the sandbox those
//! that make no sense.

use std::net::IpAddr;

use cni_plugin::neighbours::{self, Neighbour};
use cni_plugin::routes::{self, Hop, How, Kind, Route};
use cni_plugin::rules::{self, Family, Rule};
use cni_plugin::{Batch, Failure, IpNet, LinkRef, Netns, OtherChange, Output, Tolerance, ip};

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

/// In the sandbox: what is out of range, or names what does not exist.
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

/// Each kind of change to what the test has put into the sandbox, on its link `t0`. What lists say
/// of it must be what was asked for.
pub(crate) fn change(sandbox: &Netns) -> Result<(), Failure> {
    let net = |text: &str| ip::parse_cidr(text);
    let via = |gateway: &str| -> Result<Hop, Failure> {
        let gateway = gateway.parse::<IpAddr>().map_err(|error| error.to_string())?;
        Ok(Hop { link: Some(named("t0")), ..Hop::via(gateway) })
    };
    let mut batch = Batch::on(sandbox);
    let mut add = |route: &Route, how| {
        batch.other(routes::add(route, how));
    };
    add(&Route { kind: Kind::Blackhole, ..Route::to(net("10.6.0.0/16")?, []) }, How::Create);
    add(&Route { mtu: 1400, ..Route::to(net("10.7.0.0/16")?, [via("10.5.0.8")?, via("10.5.0.9")?]) }, How::Create);
    add(&Route::to(net("10.8.0.0/16")?, [via("10.5.0.7")?]), How::Replace);
    add(&Route::to(net("10.10.0.0/16")?, [via("10.5.0.7")?]), How::Append);
    add(&Route { table: 7, ..Route::to(net("10.6.0.0/16")?, [via("10.5.0.7")?]) }, How::Replace);
    add(&Route::to(net("fd08::/48")?, [via("fd05::7")?]), How::Replace);
    add(&Route::to(net("fd07::/48")?, [via("fd05::7")?]), How::Create);
    for dst in ["10.9.0.0/16", "10.11.0.0/16"] {
        batch.other(routes::delete(&Route::to(net(dst)?, [])));
    }
    batch.other(routes::delete(&Route::to(net("fd09::/48")?, [via("fd05::9")?])));
    batch.other(rules::add(&Rule::from_source(net("10.5.0.1/32")?, 7)));
    batch.other(rules::add(&Rule { priority: Some(50), ..Rule::all(Family::Inet6, 7) }));
    batch.other(rules::delete(&Rule { mark: Some((1, 0xff)), ..Rule::all(Family::Inet, 9) }));
    let of_t0 = |ip: [u8; 4], mac: u8| Neighbour::permanent(named("t0"), ip.into(), vec![2, 0, 0, 0, 0, mac]);
    batch.other(neighbours::add(&of_t0([10, 5, 0, 7], 7)));
    batch.other(neighbours::add(&of_t0([10, 5, 0, 8], 7)));
    batch.other(neighbours::delete(&of_t0([10, 5, 0, 9], 0)));
    batch.other(neighbours::add(&Neighbour::proxy(named("t0"), [10, 5, 0, 77].into())));
    batch.commit()?;
    let listed = routes::list(sandbox, Some(0), Some(&named("t0")))?;
    let multipath = listed.iter().find(|route| route.hops.len() == 2 && route.mtu == 1400);
    let rules = rules::list(sandbox, Some(Family::Inet))?;
    let neighbours = neighbours::list(sandbox, Some(&named("t0")))?;
    let found = neighbours.iter().filter(|neighbour| neighbour.mac == [2, 0, 0, 0, 0, 7]).count();
    if multipath.is_none() || !rules.iter().any(|rule| rule.table == 7) || found != 2 {
        return Err(format!("not listed: {listed:?} {rules:?} {neighbours:?}").into());
    }
    Ok(())
}
