//! Attributes of links: what a guest may set, what the kernel takes, what they were before, what the trace shows.

use serde_json::{Map, Value};
use wasm_cni_kernel::{IFF_PROMISC, IFF_UP, Link, LinkAttrs};

use super::{change::Labels, commit::Commit};
use crate::{
    bindings::{net, types},
    convert,
    describe::{Describe, Scribe, mac, number, object},
    space::Space,
};

/// Attributes as the kernel takes them. Where a link goes to, `netns`, is the caller's to see to.
///
/// # Errors
///
/// The one that makes no sense.
pub fn checked(
    commit: &Commit<'_>,
    space: &Space,
    attrs: &[net::LinkAttr],
    what: &str,
) -> Result<LinkAttrs, types::Error> {
    let mut set = LinkAttrs::default();
    for attr in attrs {
        match attr {
            net::LinkAttr::Up(up) => set.up = Some(*up),
            net::LinkAttr::Mtu(mtu) => set.mtu = Some(*mtu),
            net::LinkAttr::Mac(mac) => set.mac = Some(convert::mac(mac, what)?),
            net::LinkAttr::Master(link) => set.master = Some(commit.link(space, link, what)?),
            net::LinkAttr::NoMaster => set.master = Some(0),
            net::LinkAttr::Promisc(on) => set.promisc = Some(*on),
            net::LinkAttr::Hairpin(on) => set.hairpin = Some(*on),
            net::LinkAttr::Isolated(on) => set.isolated = Some(*on),
            net::LinkAttr::Name(name) => {
                convert::link_name(name, what)?;
                set.name = Some(name.clone());
            }
            net::LinkAttr::Alias(alias) => {
                convert::alias(alias, what)?;
                set.alias = Some(alias.clone());
            }
            net::LinkAttr::Netns(_) => {}
        }
    }
    Ok(set)
}

/// What of these attributes was before they are set. `link` is what the kernel said then.
#[must_use]
pub fn before(link: &Link, attrs: &LinkAttrs) -> LinkAttrs {
    // By name, so that a new attribute is not forgotten here.
    let LinkAttrs { up, mtu, mac, master, promisc, hairpin, isolated, name, alias, netns: _, index: _ } = attrs;
    LinkAttrs {
        up: up.map(|_| link.flags & IFF_UP != 0),
        mtu: mtu.map(|_| link.mtu),
        // A bridge without ports may have none, and none can't be set.
        mac: mac.as_ref().map(|_| link.mac.clone()).filter(|mac| mac.iter().any(|&byte| byte != 0)),
        master: master.map(|_| link.master),
        promisc: promisc.map(|_| link.flags & IFF_PROMISC != 0),
        // A port starts with neither, and both go when it leaves its bridge.
        hairpin: hairpin.map(|_| false),
        isolated: isolated.map(|_| false),
        name: name.as_ref().map(|_| link.name.clone()),
        alias: alias.as_ref().map(|_| link.alias.clone()),
        netns: None,
        index: None,
    }
}

/// As the trace shows them. Of several of a kind the last one counts.
pub fn describe(attrs: &[net::LinkAttr], labels: &Labels<'_>, scribe: &mut Scribe<'_>) -> Map<String, Value> {
    let mut map = Map::new();
    for attr in attrs {
        let (name, value) = match attr {
            net::LinkAttr::Up(up) => ("up", (*up).into()),
            net::LinkAttr::Mtu(mtu) => ("mtu", (*mtu).into()),
            net::LinkAttr::Mac(bytes) => ("mac", mac(bytes, scribe)),
            net::LinkAttr::Master(link) => ("master", link.describe(scribe)),
            net::LinkAttr::NoMaster => ("master", Value::Null),
            net::LinkAttr::Promisc(on) => ("promisc", (*on).into()),
            net::LinkAttr::Hairpin(on) => ("hairpin", (*on).into()),
            net::LinkAttr::Isolated(on) => ("isolated", (*on).into()),
            net::LinkAttr::Name(name) => ("new-name", scribe.text(name)),
            net::LinkAttr::Alias(alias) => ("alias", scribe.text(alias)),
            net::LinkAttr::Netns(ns) => ("netns", labels.of(*ns, scribe)),
        };
        map.insert(name.to_owned(), value);
    }
    map
}

impl Describe for net::Link {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let Self { index, name, kind, mac: bytes, mtu, flags, operstate, master, parent, promiscuity, alias } = self;
        let alias = if alias.is_empty() { Value::Null } else { scribe.text(alias) };
        object([
            ("index", (*index).into()),
            ("name", scribe.text(name)),
            ("kind", scribe.text(kind)),
            ("mac", mac(bytes, scribe)),
            ("mtu", (*mtu).into()),
            ("flags", (*flags).into()),
            ("operstate", (*operstate).into()),
            ("master", number(*master)),
            ("parent", number(*parent)),
            ("promiscuity", number(*promiscuity)),
            ("alias", alias),
        ])
    }
}

/// A name or an index as such.
impl Describe for net::LinkRef {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        match self {
            Self::Index(index) => (*index).into(),
            Self::Name(name) => scribe.text(name),
            Self::Made(operation) => serde_json::json!({ "made": operation }),
        }
    }
}
