//! The host's own interface in a VLAN of a bridge, `br0.100`: the end of a pair whose other end is a port of the bridge, or an
//! operator's own link of kind `vlan`. It is the gateway of all containers of the VLAN, and shared as the bridge is.

use wasm_cni_kernel::{BridgeVlan, Error, Link, LinkRef};

use crate::space::Space;

/// The name of the bridge and the VLAN's ID, if a link may be such an interface by its name.
#[must_use]
pub fn named(name: &str) -> Option<(&str, u16)> {
    let (bridge, id) = name.rsplit_once('.')?;
    // Of each VLAN there is one: `br0.0100` is another link's name.
    let id: u16 = id.parse().ok().filter(|number: &u16| number.to_string() == id)?;
    (1..=4094).contains(&id).then_some((bridge, id))
}

/// What a link is an interface of.
#[derive(Debug, PartialEq)]
struct Of {
    bridge: Link,
    id: u16,
    /// The other end of its pair, if it is one.
    port: Option<u32>,
}

fn of(link: &Link, get: impl Fn(u32) -> Option<Link>) -> Option<Of> {
    let (name, id) = named(&link.name)?;
    let (bridge, port) = match link.kind.as_str() {
        "veth" => {
            let port = get(link.parent)?;
            let is_its = port.kind == "veth" && port.parent == link.index && port.master != 0;
            (is_its.then(|| get(port.master)).flatten()?, Some(port.index))
        }
        "vlan" => (get(link.parent)?, None),
        _ => return None,
    };
    (bridge.kind == "bridge" && bridge.name == name).then_some(Of { bridge, id, port })
}

/// The bridge that a link of this namespace is such an interface of.
#[must_use]
pub fn bridge_of(space: &Space, link: &Link) -> Option<Link> {
    named(&link.name)?;
    Some(of(link, |index| space.netlink(|netlink| netlink.link_get(LinkRef::Index(index))).ok())?.bridge)
}

/// Whether somebody uses the interface by now: anything but its own port is in its VLAN. If that can't be told, it is used.
#[must_use]
pub fn is_used(space: &Space, interface: LinkRef<'_>) -> bool {
    let links = space.netlink(|netlink| netlink.links());
    let vlans = |port| space.netlink(|netlink| netlink.vlans(port));
    links.map_or(true, |links| is_used_among(&links, interface, vlans))
}

fn is_used_among(
    links: &[Link],
    interface: LinkRef<'_>,
    vlans: impl Fn(u32) -> Result<Vec<BridgeVlan>, Error>,
) -> bool {
    let get = |index: u32| links.iter().find(|link| link.index == index).cloned();
    let found = links.iter().find(|link| match interface {
        LinkRef::Index(index) => link.index == index,
        LinkRef::Name(name) => link.name == name,
    });
    // Without a bridge nobody reaches it.
    let Some(Of { bridge, id, port }) = found.and_then(|link| of(link, get)) else { return false };
    let others = links.iter().filter(|link| link.master == bridge.index && Some(link.index) != port);
    let is_in = |vlan: &BridgeVlan| (vlan.first..=vlan.last).contains(&id);
    others.into_iter().any(|port| vlans(port.index).map_or(true, |vlans| vlans.iter().any(is_in)))
}

#[cfg(test)]
mod tests {
    use nix::libc::EOPNOTSUPP;

    use super::*;

    fn link(index: u32, name: &str, kind: &str, parent: u32, master: u32) -> Link {
        Link { index, name: name.into(), kind: kind.into(), parent, master, ..Link::default() }
    }

    /// `br0` with the interface of VLAN 100, 4, and its port, 3.
    fn links() -> Vec<Link> {
        vec![
            link(2, "br0", "bridge", 0, 0),
            link(3, "veth0", "veth", 4, 2),
            link(4, "br0.100", "veth", 3, 0),
            link(5, "veth1", "veth", 9, 2),
        ]
    }

    fn of_index(links: &[Link], index: u32) -> Option<(u32, u16, Option<u32>)> {
        let get = |index: u32| links.iter().find(|link| link.index == index).cloned();
        of(&get(index)?, get).map(|of| (of.bridge.index, of.id, of.port))
    }

    #[test]
    fn an_interface_is_known_by_its_name_its_kind_and_what_it_is_on() {
        assert_eq!(of_index(&links(), 4), Some((2, 100, Some(3))));
        let mut operators = links();
        operators[2] = link(4, "br0.100", "vlan", 2, 0);
        assert_eq!(of_index(&operators, 4), Some((2, 100, None)));
        for (at, other) in [
            (2, link(4, "br1.100", "veth", 3, 0)),
            (2, link(4, "br0.0100", "veth", 3, 0)),
            (2, link(4, "br0.4095", "veth", 3, 0)),
            (2, link(4, "br0.100", "dummy", 0, 0)),
            (2, link(4, "br0.100", "vlan", 5, 0)),
            (1, link(3, "veth0", "veth", 4, 0)),
            // A container's end has this index where it is.
            (1, link(3, "veth0", "veth", 7, 2)),
            (0, link(2, "br0", "dummy", 0, 0)),
        ] {
            let mut links = links();
            links[at] = other;
            assert_eq!(of_index(&links, 4), None, "{links:?}");
        }
        assert_eq!(of_index(&links(), 5), None);
    }

    fn vlans_of(port: u32, ranges: &[(u32, u16, u16)]) -> Vec<BridgeVlan> {
        let ours = ranges.iter().filter(|(of, ..)| *of == port);
        ours.map(|(link, first, last)| BridgeVlan {
            link: *link,
            first: *first,
            last: *last,
            pvid: false,
            untagged: false,
        })
        .collect()
    }

    #[test]
    fn whoever_else_is_in_the_vlan_uses_it() {
        let used = |ranges: &[(u32, u16, u16)]| {
            is_used_among(&links(), LinkRef::Name("br0.100"), |port| Ok(vlans_of(port, ranges)))
        };
        // Its own port is nobody else.
        assert!(!used(&[(3, 100, 100)]));
        assert!(!used(&[(3, 100, 100), (5, 1, 99), (5, 101, 4094)]));
        assert!(used(&[(5, 100, 100)]) && used(&[(5, 1, 4094)]));
        // What is not a port of this bridge is not in its VLAN.
        assert!(!used(&[(4, 100, 100)]));
    }

    #[test]
    fn what_cannot_be_told_is_in_use() {
        let fails = |_| Err(Error::of_errno("vlans", EOPNOTSUPP));
        assert!(is_used_among(&links(), LinkRef::Index(4), fails));
        assert!(!is_used_among(&links()[..3], LinkRef::Index(4), fails), "there is nobody to ask");
    }

    #[test]
    fn an_interface_that_is_gone_or_on_no_bridge_is_not_used() {
        let all = |port| Ok(vlans_of(port, &[(5, 100, 100)]));
        assert!(!is_used_among(&links(), LinkRef::Name("br0.200"), all));
        let mut alone = links();
        alone[1].master = 0;
        assert!(!is_used_among(&alone, LinkRef::Index(4), all));
    }
}
