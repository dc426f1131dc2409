//! Whether a plugin's grants name what an operation is about. Of the host's
//! links a plugin has those that its attempt made; of a bridge that was there it
//! has what a gateway needs.

use std::sync::{Arc, MutexGuard};

use ipnet::IpNet;
use wasm_cni_kernel::{self as kernel, Link, LinkAttrs};

use super::{
    State, convert, kernel_error,
    ops::Commit,
    refuse,
    space::{HOST, Place, Space},
};
use crate::{
    bindings::{net, types},
    grants::{matches_any, sysctl_matches, sysctl_stars},
    known::{Known, Own},
    plugin::Command,
    policy::{Operation, Sysctl},
    result::Interface,
};

/// linux/if.h
const IFF_UP: u32 = 0x1;

/// Other attachments rely on these: they are switched on, and never off.
const FORWARDING: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];

type Permitted = Result<(), types::Error>;

/// What is to be done to a link.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change<'a> {
    Attrs(&'a LinkAttrs),
    AddressAdded(IpNet),
    AddressRemoved(IpNet),
    RouteAdded(IpNet),
    /// Whatever else concerns nobody but the link.
    Other,
}

impl Commit<'_> {
    /// Of the host's links, a plugin changes those that this attempt made; of
    /// bridges that were there, and of links that may move, what is needed, as far
    /// as it has a grant.
    pub(super) fn may_change(&self, space: &Space, index: u32, change: Change<'_>, what: &str) -> Permitted {
        if space.label != HOST {
            return Ok(());
        }
        let own = self.known().own(Place::Host, index).cloned();
        if let Some(own) = own {
            return self.may_change_own(space, &own, change, what);
        }
        if self.state.attempt.command == Command::Add && self.found_bridge(space, index)? {
            return self.may_change_bridge(space, index, change, what);
        }
        let link = found(space, index)?;
        if self.is_stray(&link, change) {
            return Ok(());
        }
        self.deny(what, &format!("to change the host's link {:?}", link.name))
    }

    /// A link that the attempt made: in its own ways, but not in those of the
    /// rest of the host.
    fn may_change_own(&self, space: &Space, own: &Own, change: Change<'_>, what: &str) -> Permitted {
        match change {
            Change::Attrs(attrs) => {
                if let Some(name) = attrs.name.as_ref().filter(|_| own.bridge) {
                    self.may_have_bridge(name, what)?;
                }
                attrs.master.map_or(Ok(()), |master| self.may_join(space, master, what))
            }
            Change::AddressAdded(address) if !self.known().is_gateway(&address) => self.deny_gateway(address, what),
            Change::RouteAdded(dst) if !self.known().is_of_one_address(&dst) => {
                let text = format!("for a route of the host to {dst}, which no IPAM plugin gave to this attachment");
                self.deny(what, &text)
            }
            _ => Ok(()),
        }
    }

    /// A bridge that was there is everybody's: it is set up, promiscuous, and
    /// has gateways' addresses, under a MAC that it had.
    fn may_change_bridge(&self, space: &Space, index: u32, change: Change<'_>, what: &str) -> Permitted {
        match change {
            Change::Attrs(attrs) => {
                let rest = LinkAttrs { up: None, promisc: None, mac: None, ..attrs.clone() };
                let on = |flag: Option<bool>| flag != Some(false);
                if rest != LinkAttrs::default() || !on(attrs.up) || !on(attrs.promisc) {
                    return self.deny_bridge(space, index, what);
                }
                let Some(mac) = &attrs.mac else { return Ok(()) };
                if self.known().bridge_had(index, mac) || found(space, index)?.mac == *mac {
                    return Ok(());
                }
                self.deny_bridge(space, index, what)
            }
            Change::AddressAdded(address) => match self.known().is_gateway(&address) {
                true => Ok(()),
                false => self.deny_gateway(address, what),
            },
            Change::AddressRemoved(address)
                if self.state.grants.force_address && self.known().is_in_the_way(&address) =>
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
        if let Some(bridge) = self.known().bridge(index) {
            return Ok(granted(&bridge.name));
        }
        let link = found(space, index)?;
        self.known().saw(&link);
        if link.kind == "bridge" {
            return Ok(granted(&link.name));
        }
        let Some((name, vlan)) = link.name.rsplit_once('.') else { return Ok(false) };
        if link.kind != "veth" || link.parent == 0 || vlan.parse::<u16>().is_err() || !granted(name) {
            return Ok(false);
        }
        // Its other end is a port of the bridge.
        let Ok(port) = found(space, link.parent) else { return Ok(false) };
        if port.parent != link.index || port.master == 0 {
            return Ok(false);
        }
        Ok(found(space, port.master).is_ok_and(|bridge| bridge.kind == "bridge" && bridge.name == name))
    }

    /// May a link become a port of this one?
    pub(super) fn may_join(&self, space: &Space, master: u32, what: &str) -> Permitted {
        if space.label != HOST || self.known().own(Place::Host, master).is_some() {
            return Ok(());
        }
        let named = |link: &Link| link.kind == "bridge" && matches_any(&self.state.grants.host_links, &link.name);
        if self.known().bridge(master).is_some_and(named) {
            return Ok(());
        }
        let link = found(space, master)?;
        self.known().saw(&link);
        if named(&link) {
            return Ok(());
        }
        self.deny(what, &format!("for a port of the host's link {:?}", link.name))
    }

    /// May there be a bridge of this name on the host?
    pub(super) fn may_have_bridge(&self, name: &str, what: &str) -> Permitted {
        match matches_any(&self.state.grants.host_links, name) {
            true => Ok(()),
            false => self.deny(what, "for a bridge of this name"),
        }
    }

    /// A link that the kernel has put here, down, when its container's namespace
    /// ended: it gets its name back.
    fn is_stray(&self, link: &Link, change: Change<'_>) -> bool {
        let Change::Attrs(attrs) = change else { return false };
        let rest = LinkAttrs { name: None, alias: None, ..attrs.clone() };
        let may_move = |name: &str| matches_any(&self.state.grants.move_links, name);
        rest == LinkAttrs::default()
            && link.flags & IFF_UP == 0
            && may_move(&link.name)
            && attrs.name.as_deref().is_none_or(may_move)
    }

    /// Does the plugin have a grant for this kind of change?
    pub(super) fn may_do(&self, operation: &net::Op) -> Permitted {
        let kind = match operation.act {
            net::Action::LinkAdd(_) => Operation::LinkAdd,
            net::Action::LinkSet(_) => Operation::LinkSet,
            net::Action::LinkDel(_) => Operation::LinkDel,
            net::Action::AddrAdd(_) => Operation::AddrAdd,
            net::Action::AddrDel(_) => Operation::AddrDel,
            net::Action::RouteAdd(_) => Operation::RouteAdd,
            net::Action::RouteDel(_) => Operation::RouteDel,
            net::Action::VlanAdd(_) => Operation::VlanAdd,
            net::Action::VlanDel(_) => Operation::VlanDel,
            net::Action::SysctlSet(_) => Operation::SysctlSet,
            net::Action::Announce(_) => Operation::Announce,
        };
        if self.state.grants.operations.as_ref().is_none_or(|granted| granted.contains(&kind)) {
            return Ok(());
        }
        self.deny(&format!("{kind:?}"), "for operations of this kind")
    }

    /// Of the host's links, a plugin deletes those that this attempt made, and in
    /// a DEL the end of a pair that the attachment's result says is its.
    pub(super) fn may_delete(&self, space: &Arc<Space>, index: u32) -> Permitted {
        if space.label != HOST || self.known().made(Place::Host, index) {
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
            if link.kind == "veth" && previous.success.interfaces.iter().any(is_it) {
                return Ok(());
            }
        }
        self.deny(&what, "to delete links of the host")
    }

    /// A star in a grant for the host stands for a link that the attempt made, or
    /// for a bridge that is not to listen to routers; forwarding is never
    /// switched off.
    pub(super) fn may_set_sysctl(&self, space: &Space, sysctl: &net::Sysctl) -> Permitted {
        let net::Sysctl { key, value } = sysctl;
        self.state.check_sysctl(space, key)?;
        if space.label != HOST {
            return Ok(());
        }
        let what = format!("sysctl {key:?}");
        if FORWARDING.contains(&key.as_str()) && value != "1" {
            return self.deny(&what, "to switch forwarding off for the whole host");
        }
        let granted = self.state.grants.host_sysctls.iter();
        let mut granted = granted.filter(|Sysctl(pattern)| sysctl_matches(pattern, key));
        let is_ours = |name: &str| {
            let known = self.known();
            let quiet = || key.ends_with("/accept_ra") && value == "0";
            let named = |link: &Link| matches_any(&self.state.grants.host_links, &link.name);
            known.own_named(Place::Host, name).is_some() || (quiet() && known.bridge_named(name).is_some_and(named))
        };
        if granted.any(|Sysctl(pattern)| sysctl_stars(pattern, key).all(is_ours)) {
            return Ok(());
        }
        self.deny(&what, "to set it for links of the host that this attempt did not make")
    }

    fn deny_bridge(&self, space: &Space, index: u32, what: &str) -> Permitted {
        let name = self.known().bridge(index).map(|bridge| bridge.name.clone());
        let name = name.map_or_else(|| found(space, index).map(|link| link.name), Ok)?;
        self.deny(what, &format!("for this change to the host's bridge {name:?}, which this attempt did not make"))
    }

    fn deny_gateway(&self, address: IpNet, what: &str) -> Permitted {
        self.deny(what, &format!("for {address} on the host: it is no gateway of what IPAM gave to this attachment"))
    }

    fn deny(&self, what: &str, text: &str) -> Permitted {
        self.state.deny(what, text)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.state.attempt.known()
    }
}

impl State {
    /// A refusal for want of a grant to do this.
    pub(super) fn deny(&self, what: &str, text: &str) -> Permitted {
        Err(refuse(types::Code::Denied, what, format!("plugin {:?} has no grant {text}", self.plugin)))
    }
}

fn found(space: &Space, index: u32) -> Result<Link, types::Error> {
    space.netlink(|netlink| netlink.link_get(kernel::LinkRef::Index(index))).map_err(|e| kernel_error(&e))
}
