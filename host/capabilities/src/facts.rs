//! What an attempt has learned: which links are its own, which bridges it has
//! found on the host, which addresses its attachment was given. Permits
//! go by this, so that they cost no request of the kernel. What a delegate has taken
//! back is not the attachment's any more.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use wasm_cni_kernel::Link;
use wasm_cni_spec::result::IpConfig;

use crate::{bindings::cni::Attachment, space::Place};

/// Most addresses that are kept: more than a result can have.
const MAX_IPS: usize = 8192;
/// Most MACs of a bridge that are kept: it has as many in an attempt's time as
/// other attempts give it first ports.
const MAX_MACS: usize = 64;

/// A link that is the attempt's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// Its name now.
    pub name: String,
    /// Whether it is a bridge.
    pub bridge: bool,
    /// It was not made, but came from the container.
    pub moved: bool,
}

impl Own {
    /// Does all that is done to it go with it? A bridge that was made may have
    /// others' ports by then.
    pub fn is_alone(&self) -> bool {
        !self.bridge && !self.moved
    }
}

/// A bridge that was found.
#[derive(Debug)]
struct Bridge {
    /// As it was at first.
    link: Link,
    /// Until somebody gives it a MAC, it has the lowest of its ports'.
    macs: BTreeSet<Vec<u8>>,
}

/// An address that the attachment was given.
#[derive(Debug)]
struct Given {
    ip: IpConfig,
    /// The plugin that gave it; empty for the runtime.
    by: String,
    /// Something that was permitted on account of it is there.
    used: Cell<bool>,
}

/// Shared by every instance that takes part in the operation.
#[derive(Debug, Default)]
pub struct Facts {
    own: BTreeMap<(Place, u32), Own>,
    bridges: BTreeMap<u32, Bridge>,
    ips: Vec<Given>,
    live: BTreeSet<(String, String)>,
}

impl Facts {
    /// A link has become the attempt's own.
    pub fn insert_own(&mut self, at: Place, index: u32, own: Own) {
        self.own.insert((at, index), own);
    }

    /// It is gone, or elsewhere: whoever comes to have its index or its name is
    /// another one.
    pub fn remove_own(&mut self, at: Place, index: u32) {
        self.own.remove(&(at, index));
    }

    /// The attempt's own link with this index.
    pub fn own(&self, at: Place, index: u32) -> Option<&Own> {
        self.own.get(&(at, index))
    }

    /// Has the attempt made it?
    pub fn made(&self, at: Place, index: u32) -> bool {
        self.own(at, index).is_some_and(|own| !own.moved)
    }

    /// A link of the attempt's own has a new name.
    pub fn renamed(&mut self, at: Place, index: u32, name: &str) {
        if let Some(own) = self.own.get_mut(&(at, index)) {
            name.clone_into(&mut own.name);
        }
    }

    /// The attempt's own link of this name.
    pub fn own_named(&self, at: Place, name: &str) -> Option<(u32, &Own)> {
        let found = self.own.iter().find(|((place, _), own)| *place == at && own.name == name);
        found.map(|((_, index), own)| (*index, own))
    }

    /// A link of the host has been seen. Of a bridge it is remembered how it was
    /// at first, and which MACs it had.
    pub fn observe(&mut self, link: &Link) {
        if link.kind == "bridge" {
            let new = || Bridge { link: link.clone(), macs: BTreeSet::new() };
            let bridge = self.bridges.entry(link.index).or_insert_with(new);
            if bridge.macs.len() < MAX_MACS {
                bridge.macs.insert(link.mac.clone());
            }
        }
    }

    /// A bridge of the host, as it was when it was first seen.
    pub fn bridge(&self, index: u32) -> Option<&Link> {
        self.bridges.get(&index).map(|bridge| &bridge.link)
    }

    /// A bridge of the host, by its name when it was first seen.
    pub fn bridge_named(&self, name: &str) -> Option<&Link> {
        self.bridges.values().map(|bridge| &bridge.link).find(|link| link.name == name)
    }

    /// Has the bridge had this MAC since it was first seen?
    pub fn bridge_had(&self, index: u32, mac: &[u8]) -> bool {
        self.bridges.get(&index).is_some_and(|bridge| bridge.macs.contains(mac))
    }

    /// Somebody who is to be believed has given the attachment addresses: a plugin or, without a name, the runtime.
    pub fn record_addresses(&mut self, by: &str, ips: &[IpConfig]) {
        let room = MAX_IPS.saturating_sub(self.ips.len());
        let given = |ip: &IpConfig| Given { ip: ip.clone(), by: by.to_owned(), used: Cell::new(false) };
        self.ips.extend(ips.iter().take(room).map(given));
    }

    /// A plugin is about to take back what it gave.
    ///
    /// # Errors
    ///
    /// An address that something is there for already: it cannot be given back without taking that away.
    pub fn give_back(&mut self, by: &str) -> Result<(), IpNet> {
        if let Some(used) = self.ips.iter().find(|given| given.by == by && given.used.get()) {
            return Err(used.ip.address);
        }
        self.ips.retain(|given| given.by != by);
        Ok(())
    }

    /// Whether one of the addresses is such, which is used from now on.
    fn permits(&self, such: impl Fn(&IpConfig) -> bool) -> bool {
        let mut found = false;
        for given in self.ips.iter().filter(|given| such(&given.ip)) {
            given.used.set(true);
            found = true;
        }
        found
    }

    /// Was the attachment given this address, with this prefix?
    pub fn has_address(&self, address: &IpNet) -> bool {
        self.permits(|ip| ip.address == *address)
    }

    /// Does this prefix hold an address of the attachment and nothing else?
    pub fn is_of_one_address(&self, prefix: &IpNet) -> bool {
        prefix.prefix_len() == prefix.max_prefix_len() && self.permits(|ip| ip.address.addr() == prefix.addr())
    }

    /// Is this a gateway of the attachment, in the network of its address or
    /// alone?
    pub fn is_gateway(&self, address: &IpNet) -> bool {
        let prefixes = |ip: &IpConfig| [ip.address.prefix_len(), ip.address.max_prefix_len()];
        self.permits(|ip| gateway_of(ip) == address.addr() && prefixes(ip).contains(&address.prefix_len()))
    }

    /// Is this an address that a bridge cannot have beside a gateway of the
    /// attachment: any of IPv4, one of the same network of IPv6?
    pub fn is_in_the_way(&self, address: &IpNet) -> bool {
        self.permits(|ip| {
            let gateway = gateway_of(ip);
            match (address, gateway) {
                (IpNet::V4(_), IpAddr::V4(_)) => true,
                (IpNet::V6(_), IpAddr::V6(_)) => {
                    let network = IpNet::new(gateway, ip.address.prefix_len());
                    address.contains(&gateway) || network.is_ok_and(|network| network.contains(&address.addr()))
                }
                _ => false,
            }
        })
    }

    /// These attachments are valid, says the caller.
    pub fn set_live(&mut self, live: &[Attachment]) {
        self.live = live.iter().map(|at| (at.container_id.clone(), at.ifname.clone())).collect();
    }

    /// Whether the caller said that this attachment is valid.
    pub fn is_live(&self, container_id: &str, ifname: &str) -> bool {
        self.live.contains(&(container_id.to_owned(), ifname.to_owned()))
    }

    /// What a guest says is valid, with what it has left out.
    pub fn with_all_live(&self, mut said: Vec<Attachment>) -> Vec<Attachment> {
        let known: BTreeSet<_> = said.iter().map(|at| (&*at.container_id, &*at.ifname)).collect();
        let left_out = self.live.iter().filter(|(id, ifname)| !known.contains(&(&**id, &**ifname)));
        let left_out: Vec<_> = left_out.cloned().collect();
        said.extend(left_out.into_iter().map(|(container_id, ifname)| Attachment { container_id, ifname }));
        said
    }
}

/// What the result says, or else the first address of the network.
fn gateway_of(ip: &IpConfig) -> IpAddr {
    ip.gateway.unwrap_or_else(|| match ip.address.network() {
        IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits().wrapping_add(1)).into(),
        IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits().wrapping_add(1)).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn knowing(ips: &[(&str, Option<&str>)]) -> Facts {
        let ip = |(address, gateway): &(&str, Option<&str>)| IpConfig {
            address: net(address),
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            interface: None,
        };
        let mut known = Facts::default();
        known.record_addresses("ipam", &ips.iter().map(ip).collect::<Vec<_>>());
        known
    }

    #[test]
    fn a_gateway_is_what_the_result_says_or_the_first_address() {
        let known = knowing(&[("10.1.0.7/24", None), ("10.2.0.7/24", Some("10.2.0.254")), ("fd00::7/64", None)]);
        for gateway in ["10.1.0.1/24", "10.1.0.1/32", "10.2.0.254/24", "fd00::1/64", "fd00::1/128"] {
            assert!(known.is_gateway(&net(gateway)), "{gateway}");
        }
        for other in ["10.1.0.1/8", "10.1.0.7/24", "10.1.0.9/32", "10.2.0.1/24", "0.0.0.1/0", "fd00::1/16"] {
            assert!(!known.is_gateway(&net(other)), "{other}");
        }
        assert!(!Facts::default().is_gateway(&net("10.1.0.1/24")));
    }

    #[test]
    fn routes_and_rules_are_for_the_addresses_given() {
        let known = knowing(&[("10.1.0.7/24", None)]);
        assert!(known.has_address(&net("10.1.0.7/24")) && known.is_of_one_address(&net("10.1.0.7/32")));
        for other in ["10.1.0.7/32", "10.1.0.8/24", "0.0.0.0/0", "10.1.0.0/24"] {
            assert!(!known.has_address(&net(other)), "{other}");
        }
        for other in ["10.1.0.7/24", "10.1.0.8/32", "0.0.0.0/0", "fd00::7/128"] {
            assert!(!known.is_of_one_address(&net(other)), "{other}");
        }
    }

    #[test]
    fn what_was_given_back_is_nobody_s_grant() {
        let mut known = knowing(&[("10.1.0.7/24", None)]);
        known.give_back("another").unwrap();
        known.give_back("ipam").unwrap();
        assert!(!known.has_address(&net("10.1.0.7/24")) && !known.is_of_one_address(&net("10.1.0.7/32")));
        assert!(!known.is_gateway(&net("10.1.0.1/24")) && !known.is_in_the_way(&net("192.0.2.1/24")));
    }

    #[test]
    fn what_is_used_cannot_be_given_back() {
        let mut known = knowing(&[("10.1.0.7/24", None), ("10.1.0.8/24", None)]);
        assert!(known.is_of_one_address(&net("10.1.0.8/32")));
        assert_eq!(known.give_back("ipam"), Err(net("10.1.0.8/24")));
        assert!(known.has_address(&net("10.1.0.7/24")), "nothing has been given back");
    }

    #[test]
    fn in_the_way_is_what_cannot_be_beside_a_gateway() {
        let known = knowing(&[("10.1.0.7/24", None), ("fd00:1::7/64", None)]);
        assert!(known.is_in_the_way(&net("192.0.2.1/24")) && known.is_in_the_way(&net("fd00:1::1/48")));
        assert!(known.is_in_the_way(&net("fd00:1::9/128")) && !known.is_in_the_way(&net("fd00:2::1/64")));
        assert!(!knowing(&[("fd00:1::7/64", None)]).is_in_the_way(&net("192.0.2.1/24")));
    }

    #[test]
    fn a_bridge_is_remembered_as_it_was_first_seen_and_with_every_mac() {
        let link = |kind: &str, mac: u8| Link {
            index: 3,
            kind: kind.into(),
            mac: vec![2, 0, 0, 0, 0, mac],
            ..Link::default()
        };
        let mut known = Facts::default();
        known.observe(&link("veth", 1));
        assert_eq!(known.bridge(3), None);
        known.observe(&link("bridge", 2));
        known.observe(&link("bridge", 3));
        assert_eq!(known.bridge(3).unwrap().mac[5], 2);
        let had = |mac: u8| known.bridge_had(3, &[2, 0, 0, 0, 0, mac]);
        assert_eq!([had(1), had(2), had(3), had(4)], [false, true, true, false]);
    }
}
