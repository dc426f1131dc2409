//! Of `net`: operations by the kernel's notions, links, addresses, routes.

use serde_json::{Map, Value, json};
use wasmtime::component::Resource;

use super::{Describe, Scribe, at, case, mac, number, object};
use crate::{bindings::net, host::net::Namespace};

/// Operations, with the namespaces that they are in.
pub(in crate::host) struct Operations<'a>(
    pub(in crate::host) &'a [Resource<Namespace>],
    pub(in crate::host) &'a [net::Op],
);

impl Operations<'_> {
    fn label(&self, ns: u32, scribe: &mut Scribe<'_>) -> Value {
        let handle = usize::try_from(ns).ok().and_then(|ns| self.0.get(ns));
        handle.map_or_else(|| ns.into(), |handle| handle.describe(scribe))
    }

    fn one(&self, op: &net::Op, scribe: &mut Scribe<'_>) -> Value {
        let (name, act) = match &op.act {
            net::Action::LinkAdd(new) => ("link-add", self.link_add(new, scribe)),
            net::Action::LinkSet(set) => {
                let mut attrs = self.attrs(&set.attrs, scribe);
                attrs.insert("link".to_owned(), set.link.describe(scribe));
                ("link-set", attrs.into())
            }
            net::Action::LinkDel(link) => ("link-del", link.describe(scribe)),
            net::Action::AddrAdd(address) => ("addr-add", address.describe(scribe)),
            net::Action::AddrDel(address) => ("addr-del", address.describe(scribe)),
            net::Action::RouteAdd(route) => ("route-add", route.describe(scribe)),
            net::Action::RouteDel(route) => ("route-del", route.describe(scribe)),
            net::Action::VlanAdd(vlan) => ("vlan-add", vlan.describe(scribe)),
            net::Action::VlanDel(vlan) => ("vlan-del", vlan.describe(scribe)),
            net::Action::SysctlSet(set) => {
                ("sysctl-set", json!({ "key": scribe.text(&set.key), "value": scribe.text(&set.value) }))
            }
            net::Action::Announce(link) => ("announce", link.describe(scribe)),
        };
        let strict = matches!(op.tolerate, net::Tolerance::Strict);
        let tolerate = if strict { Value::Null } else { case(op.tolerate) };
        object([("ns", self.label(op.ns, scribe)), (name, act), ("tolerate", tolerate)])
    }

    fn link_add(&self, new: &net::LinkNew, scribe: &mut Scribe<'_>) -> Value {
        let mut link = self.attrs(&new.attrs, scribe);
        link.insert("name".to_owned(), scribe.text(&new.name));
        match &new.kind {
            net::LinkKind::Bridge(bridge) => {
                link.insert("kind".to_owned(), "bridge".into());
                link.insert("vlan-filtering".to_owned(), bridge.vlan_filtering.into());
            }
            net::LinkKind::Veth(veth) => {
                let peer = object([
                    ("name", scribe.text(&veth.peer_name)),
                    ("ns", self.label(veth.peer_ns, scribe)),
                    ("mac", veth.peer_mac.as_ref().map_or(Value::Null, |octets| mac(octets, scribe))),
                    ("mtu", veth.peer_mtu.into()),
                ]);
                link.insert("kind".to_owned(), "veth".into());
                link.insert("peer".to_owned(), peer);
            }
        }
        link.into()
    }

    /// Of several of a kind the last one counts.
    fn attrs(&self, attrs: &[net::LinkAttr], scribe: &mut Scribe<'_>) -> Map<String, Value> {
        let mut map = Map::new();
        for attr in attrs {
            let (name, value) = match attr {
                net::LinkAttr::Up(up) => ("up", (*up).into()),
                net::LinkAttr::Mtu(mtu) => ("mtu", (*mtu).into()),
                net::LinkAttr::Mac(octets) => ("mac", mac(octets, scribe)),
                net::LinkAttr::Master(link) => ("master", link.describe(scribe)),
                net::LinkAttr::Promisc(on) => ("promisc", (*on).into()),
                net::LinkAttr::Hairpin(on) => ("hairpin", (*on).into()),
                net::LinkAttr::Isolated(on) => ("isolated", (*on).into()),
                net::LinkAttr::Name(name) => ("new-name", scribe.text(name)),
                net::LinkAttr::Alias(alias) => ("alias", scribe.text(alias)),
                net::LinkAttr::Netns(ns) => ("netns", self.label(*ns, scribe)),
            };
            map.insert(name.to_owned(), value);
        }
        map
    }
}

impl Describe for Operations<'_> {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        scribe.list(self.1, |op, scribe| self.one(op, scribe))
    }
}

impl Describe for net::CommitError {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        at(self.at, &self.cause, scribe)
    }
}

impl Describe for net::Made {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        json!({ "index": self.index, "existed": self.existed })
    }
}

/// A name or an index as such.
impl Describe for net::LinkRef {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        match self {
            Self::Index(index) => (*index).into(),
            Self::Name(name) => scribe.text(name),
            Self::Made(operation) => json!({ "made": operation }),
        }
    }
}

impl Describe for net::Address {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let (link, ip) = (self.link.describe(scribe), self.ip.describe(scribe));
        object([("link", link), ("ip", ip), ("flags", number(self.flags))])
    }
}

impl Describe for net::Route {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        object([
            ("link", self.link.describe(scribe)),
            ("dst", self.dst.describe(scribe)),
            ("gateway", self.gateway.describe(scribe)),
            ("src", self.src.describe(scribe)),
            ("table", number(self.table)),
            ("metric", number(self.metric)),
            ("scope", number(self.scope.into())),
            ("protocol", number(self.protocol.into())),
        ])
    }
}

impl Describe for net::BridgeVlan {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let Self { first, last, pvid, untagged, .. } = self;
        json!({ "link": self.link.describe(scribe), "first": first, "last": last, "pvid": pvid, "untagged": untagged })
    }
}

impl Describe for net::Link {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        object([
            ("index", self.index.into()),
            ("name", scribe.text(&self.name)),
            ("kind", scribe.text(&self.kind)),
            ("mac", mac(&self.mac, scribe)),
            ("mtu", self.mtu.into()),
            ("flags", self.flags.into()),
            ("operstate", self.operstate.into()),
            ("master", number(self.master)),
            ("parent", number(self.parent)),
        ])
    }
}

impl Describe for net::Snapshot {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let list = |name, items: Value| (name, if items == json!([]) { Value::Null } else { items });
        object([
            list("links", self.links.describe(scribe)),
            list("addresses", self.addresses.describe(scribe)),
            list("routes", self.routes.describe(scribe)),
            list("bridge-vlans", self.bridge_vlans.describe(scribe)),
        ])
    }
}

impl Describe for net::Query {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let all = [
            (net::Tables::LINKS, "links"),
            (net::Tables::ADDRESSES, "addresses"),
            (net::Tables::ROUTES, "routes"),
            (net::Tables::BRIDGE_VLANS, "bridge-vlans"),
        ];
        let asked = all.into_iter().filter(|(table, _)| self.tables.contains(*table)).map(|(_, name)| name);
        object([("tables", asked.collect()), ("link", self.link.describe(scribe))])
    }
}

impl Describe for net::Condition {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        case(self)
    }
}
