//! What a link is known by in a record. Its name is not enough: whoever owns the namespace can give it to another link, and
//! a note is written before it is known whether there will be such a link at all.

use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use wasm_cni_kernel::{Error, Link, LinkRef};

use crate::space::RouteSocket;

/// Bytes of a MAC address.
const MAC_LEN: usize = 6;

/// What a link is known by in its namespace.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct LinkId {
    /// `IFLA_IFNAME` when it was noted: for messages, and to find it faster.
    pub name: String,
    /// `ifi_index`; none before the link is there.
    pub index: Option<u32>,
    /// `IFLA_INFO_KIND`.
    kind: String,
    /// `IFLA_ADDRESS`. Before the link is there, one that the host has chosen at random.
    mac: Vec<u8>,
    /// `IFLA_LINK`: of a veth, the index of its other end; 0 for none.
    #[serde(default)]
    peer: u32,
    /// `IFLA_PERM_ADDRESS`; empty without hardware.
    #[serde(default)]
    permanent_mac: Vec<u8>,
    /// `IFLA_PARENT_DEV_NAME` with its bus; empty without hardware.
    #[serde(default)]
    device: String,
}

/// What has become of a link.
#[derive(Debug)]
pub enum Found {
    /// It is there, under whichever name.
    Here(Box<Link>),
    /// It is not there any more, or never was.
    Gone,
    /// Another one has its place: what is different about it, for people.
    Another(String),
}

impl LinkId {
    /// Of a link that is about to be made with this MAC.
    #[must_use]
    pub fn chosen(name: &str, kind: &str, mac: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            index: None,
            kind: kind.to_owned(),
            mac: mac.to_vec(),
            peer: 0,
            permanent_mac: Vec::new(),
            device: String::new(),
        }
    }

    /// Of a link that is there.
    #[must_use]
    pub fn of(link: &Link) -> Self {
        Self {
            name: link.name.clone(),
            index: Some(link.index),
            kind: link.kind.clone(),
            mac: link.mac.clone(),
            peer: link.parent,
            permanent_mac: link.permanent_mac.clone(),
            device: link.device.clone(),
        }
    }

    /// Of the other end of a pair that has been made: the kernel says of an end what its peer's index is.
    #[must_use]
    pub fn of_pair(self, end: &Link) -> Self {
        Self { index: Some(end.parent).filter(|index| *index != 0), peer: end.index, ..self }
    }

    /// Whether a link is this one. A container has its way with the MAC, the alias and the names of a link that is in it, and
    /// whoever is root on the host with those of a link there: then the other end or the hardware has to be the same.
    #[must_use]
    pub fn is(&self, link: &Link) -> bool {
        if (&self.kind, &self.device, &self.permanent_mac) != (&link.kind, &link.device, &link.permanent_mac) {
            return false;
        }
        let same_mac = self.mac == link.mac;
        match self.index {
            Some(index) => {
                let is_backed = !self.device.is_empty() || (self.peer != 0 && self.peer == link.parent);
                index == link.index && (same_mac || is_backed) && (self.peer == link.parent || self.peer == 0)
            }
            None => same_mac && !self.mac.is_empty(),
        }
    }

    /// Looks for it in its namespace.
    ///
    /// # Errors
    ///
    /// If the kernel cannot say.
    pub fn find(&self, netlink: &mut dyn RouteSocket) -> Result<Found, Error> {
        self.find_by(netlink, |netlink, by| netlink.link_get(by), |netlink| netlink.links())
    }

    /// The same, asking whoever can answer: a model, for example.
    ///
    /// # Errors
    ///
    /// Those of `get`, but for `ENODEV`, and of `all`.
    pub fn find_by<K: ?Sized>(
        &self,
        kernel: &mut K,
        get: impl FnOnce(&mut K, LinkRef<'_>) -> Result<Link, Error>,
        all: impl FnOnce(&mut K) -> Result<Vec<Link>, Error>,
    ) -> Result<Found, Error> {
        let found = match get(kernel, self.index.map_or(LinkRef::Name(&self.name), LinkRef::Index)) {
            Ok(found) => Some(found),
            Err(e) if e.errno() == nix::libc::ENODEV => None,
            Err(e) => return Err(e),
        };
        match found {
            Some(link) if self.is(&link) => return Ok(Found::Here(Box::new(link))),
            Some(link) if self.index.is_some() => return Ok(Found::Another(self.difference(&link))),
            None if self.index.is_some() => return Ok(Found::Gone),
            _ => {}
        }
        // Made under its name, and renamed before its index was on the record.
        let link = all(kernel)?.into_iter().find(|link| self.is(link));
        Ok(link.map_or(Found::Gone, |link| Found::Here(Box::new(link))))
    }

    fn difference(&self, link: &Link) -> String {
        let Self { name, kind, .. } = self;
        let Link { index, name: other, kind: other_kind, .. } = link;
        format!("index {index} is now link {other:?} of kind {other_kind:?}, which is not {name:?} of kind {kind:?}")
    }
}

/// A MAC address that no other link has: random, locally administered, of one station (IEEE 802-2014, 8.4).
///
/// # Errors
///
/// If the kernel has no random bytes.
pub fn random_mac() -> std::io::Result<Vec<u8>> {
    let mut mac = [0; MAC_LEN];
    getrandom(&mut mac, GetRandomFlags::empty())?;
    mac[0] = mac[0] & !1 | 2;
    Ok(mac.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veth() -> Link {
        Link {
            index: 7,
            name: "veth1".to_owned(),
            kind: "veth".to_owned(),
            mac: vec![2, 0, 0, 0, 0, 1],
            parent: 4,
            ..Link::default()
        }
    }

    #[test]
    fn a_link_is_known_under_another_name() {
        let id = LinkId::of(&veth());
        assert!(id.is(&veth()) && id.is(&Link { name: "other".to_owned(), alias: "x".to_owned(), ..veth() }));
    }

    #[test]
    fn another_link_with_its_name_is_another() {
        let id = LinkId::of(&veth());
        for other in [
            Link { index: 8, ..veth() },
            Link { kind: "dummy".to_owned(), ..veth() },
            Link { parent: 5, ..veth() },
            Link { mac: vec![2, 0, 0, 0, 0, 2], parent: 5, ..veth() },
            Link { device: "pci/0000:00:19.0".to_owned(), ..veth() },
        ] {
            assert!(!id.is(&other), "{other:?}");
        }
    }

    #[test]
    fn a_pair_is_known_by_its_other_end_when_its_mac_has_changed() {
        assert!(LinkId::of(&veth()).is(&Link { mac: vec![2, 0, 0, 0, 0, 9], ..veth() }));
        let alone = Link { parent: 0, kind: "dummy".to_owned(), ..veth() };
        assert!(!LinkId::of(&alone).is(&Link { mac: vec![2, 0, 0, 0, 0, 9], ..alone.clone() }));
    }

    #[test]
    fn hardware_is_known_whatever_its_mac() {
        let nic = Link { kind: String::new(), parent: 0, device: "pci/0000:00:19.0".to_owned(), ..veth() };
        let id = LinkId::of(&nic);
        assert!(id.is(&Link { mac: vec![2, 0, 0, 0, 0, 9], ..nic.clone() }));
        assert!(!id.is(&Link { device: "pci/0000:00:1a.0".to_owned(), ..nic }));
    }

    #[test]
    fn before_it_is_there_it_is_known_by_its_mac() {
        let id = LinkId::chosen("veth1", "veth", &[2, 0, 0, 0, 0, 1]);
        assert!(id.is(&veth()) && !id.is(&Link { mac: vec![2, 0, 0, 0, 0, 2], ..veth() }));
        assert!(!LinkId::chosen("veth1", "veth", &[]).is(&Link { mac: Vec::new(), ..veth() }));
    }

    #[test]
    fn a_random_mac_is_of_one_station_and_local() {
        let mac = random_mac().unwrap();
        assert_eq!((mac.len(), mac[0] & 3), (6, 2));
        assert_ne!(mac, random_mac().unwrap());
    }
}
