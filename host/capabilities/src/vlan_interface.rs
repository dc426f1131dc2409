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

/// What a link is an interface of, whatever the two are called.
#[derive(Debug, PartialEq)]
struct Of {
    interface: Link,
    bridge: Link,
    /// The other end of its pair, if it is one.
    port: Option<u32>,
}

/// `link` is the interface or, of a pair, its port.
fn of(link: Link, get: impl Fn(u32) -> Option<Link>) -> Option<Of> {
    match link.kind.as_str() {
        "veth" => {
            let peer = get(link.parent).filter(|peer| peer.kind == "veth" && peer.parent == link.index)?;
            let (interface, port) = if link.master == 0 { (link, peer) } else { (peer, link) };
            let bridge = get(port.master).filter(|bridge| bridge.kind == "bridge")?;
            Some(Of { interface, bridge, port: Some(port.index) })
        }
        "vlan" => {
            let bridge = get(link.parent).filter(|bridge| bridge.kind == "bridge")?;
            Some(Of { interface: link, bridge, port: None })
        }
        _ => None,
    }
}

/// The bridge that a link of this namespace is such an interface of.
#[must_use]
pub fn bridge_of(space: &Space, link: &Link) -> Option<Link> {
    let (bridge, _) = named(&link.name)?;
    let get = |index| space.netlink(|netlink| netlink.link_get(LinkRef::Index(index))).ok();
    let of = of(link.clone(), get)?;
    (of.interface == *link && of.bridge.name == bridge).then_some(of.bridge)
}

/// Whether somebody uses an interface, or that of this port, by now: anything but its own port is in its VLAN. If that
/// can't be told, it is used.
#[must_use]
pub fn is_used(space: &Space, link: LinkRef<'_>) -> bool {
    let links = space.netlink(|netlink| netlink.links());
    let vlans = |port| space.netlink(|netlink| netlink.vlans(port));
    links.map_or(true, |links| is_used_among(&links, link, vlans))
}

fn is_used_among(links: &[Link], link: LinkRef<'_>, vlans: impl Fn(u32) -> Result<Vec<BridgeVlan>, Error>) -> bool {
    let get = |index: u32| links.iter().find(|link| link.index == index).cloned();
    let found = links.iter().find(|found| match link {
        LinkRef::Index(index) => found.index == index,
        LinkRef::Name(name) => found.name == name,
    });
    // Without a bridge nobody reaches it.
    let Some(Of { interface, bridge, port }) = found.and_then(|link| of(link.clone(), get)) else { return false };
    // Under another name it is another's.
    let Some((_, id)) = named(&interface.name) else { return true };
    let mut others = links.iter().filter(|link| link.master == bridge.index && Some(link.index) != port);
    let is_in = |vlan: &BridgeVlan| (vlan.first..=vlan.last).contains(&id);
    others.any(|port| vlans(port.index).map_or(true, |vlans| vlans.iter().any(is_in)))
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

    /// The bridge and the other end, if the link is an interface by more than its name.
    fn of_index(links: &[Link], index: u32) -> Option<(u32, Option<u32>)> {
        let get = |index: u32| links.iter().find(|link| link.index == index).cloned();
        of(get(index)?, get).filter(|of| of.interface.index == index).map(|of| (of.bridge.index, of.port))
    }

    #[test]
    fn an_interface_is_known_by_its_kind_and_what_it_is_on() {
        assert_eq!(of_index(&links(), 4), Some((2, Some(3))));
        assert_eq!(of_index(&links(), 3), None, "that is its port");
        let mut operators = links();
        operators[2] = link(4, "br0.100", "vlan", 2, 0);
        assert_eq!(of_index(&operators, 4), Some((2, None)));
        for (at, other) in [
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

    #[test]
    fn and_by_its_name() {
        assert_eq!(
            (named("br0.100"), named("a.b.1"), named("x.4094")),
            (Some(("br0", 100)), Some(("a.b", 1)), Some(("x", 4094)))
        );
        for name in ["br0", "br0.0100", "br0.4095", "br0.0", "br0.-1", "br0.+1", "br0.x", "br0."] {
            assert_eq!(named(name), None, "{name}");
        }
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
        let by_port = |ranges| is_used_among(&links(), LinkRef::Index(3), |port| Ok(vlans_of(port, ranges)));
        assert!(!by_port(&[(3, 100, 100)]) && by_port(&[(5, 100, 100)]));
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
        let mut renamed = links();
        renamed[2].name = "uplink".into();
        assert!(is_used_among(&renamed, LinkRef::Index(3), |_| Ok(Vec::new())));
        // Whatever the bridge is called.
        let mut renamed = links();
        renamed[0].name = "br9".into();
        assert!(is_used_among(&renamed, LinkRef::Index(3), |port| Ok(vlans_of(port, &[(5, 100, 100)]))));
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
