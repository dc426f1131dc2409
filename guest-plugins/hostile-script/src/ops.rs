//! A list of operations, from JSON.
//!
//! An operation has `on` (`host` if absent, `sandbox`), `tolerate` (`exists`, `missing`, `best`), `repeat`, and an `op`:
//!
//! | `op` | |
//! |---|---|
//! | `bridge` | `name`, `attrs` |
//! | `veth` | `name`, `peer`, `peer_on`, `peer_mtu`, `attrs` |
//! | `set` | `link`, `attrs`: `up`, `promisc`, `hairpin`, `isolated`, `mtu`, `mac`, `master`, `name`, `alias`, `netns` |
//! | `del`, `announce` | `link` |
//! | `addr`, `addr-del` | `link`, `ip` |
//! | `route` | `link`, `dst`, `table` |
//! | `sysctl` | `key`, `value` |
//!
//! A `link` is a name or an index.

use cni_plugin::bindings::interface::wasm_cni::net::net::{Action, LinkNew, LinkSet, Op, Sysctl, commit as do_all};
use cni_plugin::{Address, Bridge, Error, LinkAttr, LinkKind, LinkRef, Netns, Route, Tolerance, Veth, ip, mac};
use serde_json::Value;

use crate::{Scene, flag, list, number, text};

/// `RT_SCOPE_LINK` and `RTPROT_STATIC` (linux/rtnetlink.h).
const SCOPE_LINK: u8 = 253;
const PROTOCOL_STATIC: u8 = 4;

/// No namespace has this index.
const NOWHERE: u32 = 9;

/// Names of the namespaces of a commit, in their order.
type Places = Vec<&'static str>;

/// The step's `ops` in one commit: index of what was made, and whether it was there before.
pub(crate) fn commit(scene: &Scene<'_>, step: &Value) -> Result<String, String> {
    let (mut places, mut spaces): (Places, Vec<&Netns>) = (Vec::new(), Vec::new());
    for which in ["host", "sandbox"] {
        if let Ok(netns) = scene.netns(which) {
            places.push(which);
            spaces.push(netns);
        }
    }
    let mut ops = Vec::new();
    for op in list(step, "ops") {
        for _ in 0..number(op, "repeat", 1) {
            ops.push(operation(op, &places)?);
        }
    }
    match do_all(&spaces, ops) {
        Ok(made) => Ok(format!("{:?}", made.iter().flatten().map(|m| (m.index, m.existed)).collect::<Vec<_>>())),
        Err(error) => Err(format!("at {}: {}", error.at, shown(&error.cause))),
    }
}

fn place(places: &Places, which: &str) -> u32 {
    places.iter().position(|name| *name == which).map_or(NOWHERE, |at| at as u32)
}

fn operation(op: &Value, places: &Places) -> Result<Op, String> {
    let tolerate = match text(op, "tolerate") {
        "exists" => Tolerance::OkIfExists,
        "missing" => Tolerance::OkIfMissing,
        "best" => Tolerance::BestEffort,
        _ => Tolerance::Strict,
    };
    let name = || text(op, "name").to_owned();
    let link = || link_ref(&op["link"]);
    let attrs = || attrs(&op["attrs"], places);
    let address = || Ok::<_, String>(Address { link: link(), ip: ip::parse_cidr(text(op, "ip"))?.into(), flags: 0 });
    let act = match text(op, "op") {
        "bridge" => {
            let kind = LinkKind::Bridge(Bridge { vlan_filtering: false });
            Action::LinkAdd(LinkNew { name: name(), kind, attrs: attrs()? })
        }
        "veth" => {
            let kind = LinkKind::Veth(Veth {
                peer_name: text(op, "peer").to_owned(),
                peer_ns: place(places, text(op, "peer_on")),
                peer_mac: None,
                peer_mtu: op["peer_mtu"].as_u64().map(|mtu| mtu as u32),
            });
            Action::LinkAdd(LinkNew { name: name(), kind, attrs: attrs()? })
        }
        "set" => Action::LinkSet(LinkSet { link: link(), attrs: attrs()? }),
        "del" => Action::LinkDel(link()),
        "announce" => Action::Announce(link()),
        "addr" => Action::AddrAdd(address()?),
        "addr-del" => Action::AddrDel(address()?),
        "route" => Action::RouteAdd(Route {
            link: link(),
            dst: ip::parse_cidr(text(op, "dst"))?.into(),
            gateway: None,
            src: None,
            table: number(op, "table", 0) as u32,
            metric: 0,
            scope: SCOPE_LINK,
            protocol: PROTOCOL_STATIC,
        }),
        "sysctl" => Action::SysctlSet(Sysctl { key: text(op, "key").into(), value: text(op, "value").into() }),
        other => return Err(format!("unknown operation {other:?}")),
    };
    Ok(Op { ns: place(places, op["on"].as_str().unwrap_or("host")), act, tolerate })
}

fn link_ref(link: &Value) -> LinkRef {
    match link.as_u64() {
        Some(index) => LinkRef::Index(index as u32),
        None => LinkRef::Name(link.as_str().unwrap_or_default().to_owned()),
    }
}

fn attrs(attrs: &Value, places: &Places) -> Result<Vec<LinkAttr>, String> {
    let members = attrs.as_object().into_iter().flatten();
    let attr = |(key, value): (&String, &Value)| {
        let text = text(attrs, key);
        Ok(match key.as_str() {
            "up" => LinkAttr::Up(flag(attrs, key)),
            "promisc" => LinkAttr::Promisc(flag(attrs, key)),
            "hairpin" => LinkAttr::Hairpin(flag(attrs, key)),
            "isolated" => LinkAttr::Isolated(flag(attrs, key)),
            "mtu" => LinkAttr::Mtu(number(attrs, key, 0) as u32),
            "mac" => LinkAttr::Mac(mac::parse(text)?),
            "master" => LinkAttr::Master(link_ref(value)),
            "name" => LinkAttr::Name(text.to_owned()),
            "alias" => LinkAttr::Alias(text.to_owned()),
            "netns" => LinkAttr::Netns(place(places, text)),
            other => return Err(format!("unknown attribute {other:?}")),
        })
    };
    members.map(attr).collect()
}

pub(crate) fn shown(error: &Error) -> String {
    format!("{:?} {} {} {}", error.code, error.errno, error.what, error.msg)
}
