//! What the kernel holds now: snapshots of a namespace.

use serde_json::{Value, json};
use wasm_cni_kernel as kernel;

use crate::{
    attempt::Attempt,
    bindings::{net, types},
    convert,
    describe::{Describe, Scribe, case, object},
    failure::{kernel_error, refuse},
    space::{HOST, Space},
};

/// The index of a link that is referred to from outside a commit.
///
/// # Errors
///
/// `not-found`; `invalid` for `made`.
pub fn resolve(space: &Space, link: &net::LinkRef, what: &str) -> Result<u32, types::Error> {
    match link {
        net::LinkRef::Index(index) => Ok(*index),
        net::LinkRef::Name(name) => find(space, name).map(|link| link.index),
        net::LinkRef::Made(_) => Err(refuse(types::Code::Invalid, what, "made() has a meaning in commit only")),
    }
}

fn find(space: &Space, name: &str) -> Result<kernel::Link, types::Error> {
    convert::link_name(name, "link")?;
    space.netlink(|netlink| netlink.link_get(kernel::LinkRef::Name(name))).map_err(|e| kernel_error(&e))
}

/// Reads what was asked for.
///
/// # Errors
///
/// `not-found` if the link is missing; what the kernel says.
pub(super) fn read(attempt: &Attempt, space: &Space, what: &net::Query) -> Result<net::Snapshot, types::Error> {
    let mut links = Vec::new();
    let mut index = None;
    match &what.link {
        Some(net::LinkRef::Name(name)) => {
            let link = find(space, name)?;
            index = Some(link.index);
            links.push(link);
        }
        Some(reference) => {
            let number = resolve(space, reference, "read")?;
            index = Some(number);
            if what.tables.contains(net::Tables::LINKS) {
                links.push(
                    space
                        .netlink(|netlink| netlink.link_get(kernel::LinkRef::Index(number)))
                        .map_err(|e| kernel_error(&e))?,
                );
            }
        }
        None => {}
    }
    if let (HOST, [link]) = (space.label, &links[..]) {
        attempt.facts().observe(link);
    }
    space
        .netlink(|netlink| {
            let tables = what.tables;
            if tables.contains(net::Tables::LINKS) && index.is_none() {
                links = netlink.links()?;
            }
            let addresses =
                if tables.contains(net::Tables::ADDRESSES) { netlink.addresses(index)? } else { Vec::new() };
            let routes = if tables.contains(net::Tables::ROUTES) { netlink.routes(index)? } else { Vec::new() };
            let vlans = match index {
                Some(index) if tables.contains(net::Tables::BRIDGE_VLANS) => netlink.vlans(index)?,
                _ => Vec::new(),
            };
            Ok(net::Snapshot {
                links: std::mem::take(&mut links).into_iter().map(convert::wit_link).collect(),
                addresses: addresses.iter().map(convert::wit_address).collect(),
                routes: routes.iter().map(convert::wit_route).collect(),
                bridge_vlans: vlans.iter().map(convert::wit_vlan).collect(),
            })
        })
        .map_err(|e| kernel_error(&e))
}

impl Describe for net::Snapshot {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let Self { links, addresses, routes, bridge_vlans } = self;
        let list = |name, items: Value| (name, if items == json!([]) { Value::Null } else { items });
        object([
            list("links", links.describe(scribe)),
            list("addresses", addresses.describe(scribe)),
            list("routes", routes.describe(scribe)),
            list("bridge-vlans", bridge_vlans.describe(scribe)),
        ])
    }
}

impl Describe for net::Query {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let Self { tables, link } = self;
        let all = [
            (net::Tables::LINKS, "links"),
            (net::Tables::ADDRESSES, "addresses"),
            (net::Tables::ROUTES, "routes"),
            (net::Tables::BRIDGE_VLANS, "bridge-vlans"),
        ];
        let asked = all.into_iter().filter(|(table, _)| tables.contains(*table)).map(|(_, name)| name);
        object([("tables", asked.collect()), ("link", link.describe(scribe))])
    }
}

impl Describe for net::Condition {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        case(self)
    }
}
