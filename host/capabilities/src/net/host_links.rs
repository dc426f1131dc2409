//! Whether a plugin's grants name the link that an operation is about. Of the host's
//! links a plugin has those that its attempt made; of a bridge that was there it
//! has what a gateway needs.

use std::sync::Arc;

use ipnet::IpNet;
use wasm_cni_kernel::{self as kernel, IFF_UP, Link, LinkAttrs, LinkKind};
use wasm_cni_spec::{command::Command, result::Interface};

use super::{commit::Commit, routers};
use crate::{
    bindings::types,
    convert,
    facts::Own,
    failure::kernel_error,
    grants::pattern::matches_any,
    space::{HOST, Place, Space},
    vlan_interface,
};

type Permitted = Result<(), types::Error>;

/// What is to be done to a link.
#[derive(Clone, Copy, Debug)]
pub enum Touch<'a> {
    /// Attributes are set.
    Attrs(&'a LinkAttrs),
    /// It gets an address.
    AddressAdded(IpNet),
    /// It loses an address.
    AddressRemoved(IpNet),
    /// A route to this destination leads through it.
    RouteAdded(IpNet),
    /// Whatever else concerns nobody but the link.
    Other,
}

impl Commit<'_> {
    /// Of the host's links, a plugin changes those that this attempt made; of
    /// bridges that were there, and of links that may move, what is needed, as far
    /// as it has a grant.
    pub fn may_touch(&self, space: &Space, index: u32, change: Touch<'_>, what: &str) -> Permitted {
        if space.label != HOST {
            return Ok(());
        }
        let own = self.facts().own(Place::Host, index).cloned();
        if let Some(own) = own {
            return self.may_change_own(space, index, &own, change, what);
        }
        if self.state.attempt.command == Command::Add && self.found_bridge(space, index)? {
            return self.may_change_bridge(space, index, change, what);
        }
        let link = found(space, index)?;
        if self.is_stray(&link, change) {
            return Ok(());
        }
        self.state.deny(what, &format!("to change the host's link {:?}", link.name))
    }

    /// A link that the attempt made: in its own ways, but not in those of the
    /// rest of the host.
    fn may_change_own(&self, space: &Space, index: u32, own: &Own, change: Touch<'_>, what: &str) -> Permitted {
        match change {
            Touch::Attrs(attrs) => {
                if let Some(name) = attrs.name.as_ref().filter(|_| own.bridge) {
                    self.may_have_bridge(name, what)?;
                }
                self.may_have_mtu(space, index, attrs.mtu, what)?;
                attrs.master.map_or(Ok(()), |master| self.may_join(space, master, what))
            }
            Touch::AddressAdded(address) if !self.facts().is_gateway(&address) => self.deny_gateway(address, what),
            Touch::RouteAdded(dst) if !self.facts().is_of_one_address(&dst) => {
                let text = format!("for a route of the host to {dst}, which no IPAM plugin gave to this attachment");
                self.state.deny(what, &text)
            }
            _ => Ok(()),
        }
    }

    /// A link of the host that comes to have IPv6 listens to routers at first: see [`routers`].
    fn may_have_mtu(&self, space: &Space, index: u32, mtu: Option<u32>, what: &str) -> Permitted {
        if mtu.is_none_or(|mtu| mtu < routers::MIN_MTU) || found(space, index)?.mtu >= routers::MIN_MTU {
            return Ok(());
        }
        let text = format!("to raise the MTU of a link of the host to {} and above: make it so", routers::MIN_MTU);
        self.state.deny(what, &text)
    }

    /// A bridge that was there is everybody's: it is set up, promiscuous, and
    /// has gateways' addresses, under a MAC that it had.
    fn may_change_bridge(&self, space: &Space, index: u32, change: Touch<'_>, what: &str) -> Permitted {
        match change {
            Touch::Attrs(attrs) => {
                let rest = LinkAttrs { up: None, promisc: None, mac: None, ..attrs.clone() };
                let on = |flag: Option<bool>| flag != Some(false);
                if rest != LinkAttrs::default() || !on(attrs.up) || !on(attrs.promisc) {
                    return self.deny_bridge(space, index, what);
                }
                let Some(mac) = &attrs.mac else { return Ok(()) };
                if self.facts().bridge_had(index, mac) || found(space, index)?.mac == *mac {
                    return Ok(());
                }
                self.deny_bridge(space, index, what)
            }
            Touch::AddressAdded(address) => match self.facts().is_gateway(&address) {
                true => Ok(()),
                false => self.deny_gateway(address, what),
            },
            Touch::AddressRemoved(address)
                if self.state.grants.force_address && self.facts().is_in_the_way(&address) =>
            {
                Ok(())
            }
            _ => self.deny_bridge(space, index, what),
        }
    }

    /// Is it a bridge that the plugin has a grant for, or such a bridge's
    /// interface in a VLAN?
    fn found_bridge(&self, space: &Space, index: u32) -> Result<bool, types::Error> {
        let granted = |name: &str| matches_any(&self.state.grants.host_links, name);
        if let Some(bridge) = self.facts().bridge(index) {
            return Ok(granted(&bridge.name));
        }
        let link = found(space, index)?;
        self.facts().observe(&link);
        if link.kind == "bridge" {
            return Ok(granted(&link.name));
        }
        Ok(vlan_interface::bridge_of(space, &link).is_some_and(|bridge| granted(&bridge.name)))
    }

    /// May a link become a port of this one?
    pub fn may_join(&self, space: &Space, master: u32, what: &str) -> Permitted {
        if space.label != HOST || self.facts().own(Place::Host, master).is_some() {
            return Ok(());
        }
        let named = |link: &Link| link.kind == "bridge" && matches_any(&self.state.grants.host_links, &link.name);
        if self.facts().bridge(master).is_some_and(named) {
            return Ok(());
        }
        let link = found(space, master)?;
        self.facts().observe(&link);
        if named(&link) {
            return Ok(());
        }
        self.state.deny(what, &format!("for a port of the host's link {:?}", link.name))
    }

    /// Whether a pair that is about to be made is the host's interface in a VLAN of a bridge, and its port.
    pub fn is_vlan_interface(
        &self,
        at: &Space,
        kind: &LinkKind,
        peer: Option<&(Place, String)>,
        attrs: &LinkAttrs,
    ) -> bool {
        let (LinkKind::Veth(_), HOST, Some((Place::Host, peer))) = (kind, at.label, peer) else { return false };
        let (Some((bridge, _)), Some(master)) = (vlan_interface::named(peer), attrs.master) else { return false };
        let facts = self.facts();
        let found = facts.bridge(master).map(|link| link.name.as_str());
        let own = facts.own(Place::Host, master).filter(|own| own.bridge).map(|own| own.name.as_str());
        own.or(found) == Some(bridge)
    }

    /// May this link be the parent of one in the container?
    ///
    /// # Errors
    ///
    /// `denied`, with what to add to the policy.
    pub fn may_be_parent(&self, space: &Space, parent: u32, what: &str) -> Permitted {
        if space.label != HOST {
            return Ok(());
        }
        let link = found(space, parent)?;
        if matches_any(&self.state.grants.parent_links, &link.name) {
            return Ok(());
        }
        let (name, plugin) = (&link.name, &self.state.plugin);
        let text = format!("for a link on the host's {name:?}: add {name:?} to `parent-links` of [plugins.{plugin}]");
        self.state.deny(what, &text)
    }

    /// May there be a bridge of this name on the host?
    pub fn may_have_bridge(&self, name: &str, what: &str) -> Permitted {
        match matches_any(&self.state.grants.host_links, name) {
            true => Ok(()),
            false => self.state.deny(what, "for a bridge of this name"),
        }
    }

    /// A link that the kernel has put here, down, when its container's namespace
    /// ended: it gets its name back.
    fn is_stray(&self, link: &Link, change: Touch<'_>) -> bool {
        let Touch::Attrs(attrs) = change else { return false };
        let rest = LinkAttrs { name: None, alias: None, ..attrs.clone() };
        let may_move = |name: &str| matches_any(&self.state.grants.move_links, name);
        rest == LinkAttrs::default()
            && link.flags & IFF_UP == 0
            && may_move(&link.name)
            && attrs.name.as_deref().is_none_or(may_move)
    }

    /// Of the host's links, a plugin deletes those that this attempt made, and in
    /// a DEL the end of a pair that the attachment's result says is its. An interface in a
    /// VLAN is such an end, and everybody's.
    pub fn may_delete(&self, space: &Arc<Space>, index: u32) -> Permitted {
        if space.label != HOST || self.facts().made(Place::Host, index) {
            return Ok(());
        }
        let what = format!("link-del {index}");
        if self.state.attempt.command == Command::Del
            && let Ok(Some(previous)) = &self.state.config.previous
        {
            let link = found(space, index)?;
            let is_it = |interface: &Interface| {
                interface.sandbox.is_empty()
                    && interface.name == link.name
                    && interface.mac == convert::mac_text(&link.mac)
            };
            let is_its = link.kind == "veth" && previous.success.interfaces.iter().any(is_it);
            if is_its && vlan_interface::bridge_of(space, &link).is_none() {
                return Ok(());
            }
        }
        self.state.deny(&what, "to delete links of the host")
    }

    fn deny_bridge(&self, space: &Space, index: u32, what: &str) -> Permitted {
        let name = self.facts().bridge(index).map(|bridge| bridge.name.clone());
        let name = name.map_or_else(|| found(space, index).map(|link| link.name), Ok)?;
        self.state
            .deny(what, &format!("for this change to the host's bridge {name:?}, which this attempt did not make"))
    }

    fn deny_gateway(&self, address: IpNet, what: &str) -> Permitted {
        self.state.deny(
            what,
            &format!("to add {address} on the host: it is not the gateway of an address that IPAM assigned"),
        )
    }
}

fn found(space: &Space, index: u32) -> Result<Link, types::Error> {
    space.netlink(|netlink| netlink.link_get(kernel::LinkRef::Index(index))).map_err(|e| kernel_error(&e))
}
