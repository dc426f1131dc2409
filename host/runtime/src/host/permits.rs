//! Whether a plugin's grants name what an operation is about.

use std::sync::Arc;

use wasm_cni_kernel as kernel;

use super::{
    convert, kernel_error,
    ops::Commit,
    refuse,
    space::{HOST, Space},
};
use crate::{
    bindings::{net, types},
    grants::{Grants, matches_any},
    plugin::Command,
    policy::Operation,
    result::Interface,
};

impl Commit<'_> {
    /// Of the host's links, a plugin changes those that this attempt made, and
    /// bridges and their ports, or links that may move, as far as it has a grant.
    pub(super) fn may_change(&self, space: &Space, index: u32, what: &str) -> Result<(), types::Error> {
        if space.label != HOST || self.state.attempt.made_link(space, index) {
            return Ok(());
        }
        let get = |index: u32| {
            let link = space.netlink(|netlink| netlink.link_get(kernel::LinkRef::Index(index)));
            link.map_err(|e| kernel_error(&e))
        };
        let Grants { host_links, move_links, .. } = &self.state.grants;
        let link = get(index)?;
        let bridge = if link.master == 0 { None } else { Some(get(link.master)?) };
        let bridge = bridge.as_ref().unwrap_or(&link);
        if bridge.kind == "bridge" && matches_any(host_links, &bridge.name) || matches_any(move_links, &link.name) {
            return Ok(());
        }
        let text = format!("plugin {:?} has no grant to change the host's link {:?}", self.state.plugin, link.name);
        Err(refuse(types::Code::Denied, what, text))
    }

    /// Does the plugin have a grant for this kind of change?
    pub(super) fn may_do(&self, operation: &net::Op) -> Result<(), types::Error> {
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
        let text = format!("plugin {:?} has no grant for operations of this kind", self.state.plugin);
        Err(refuse(types::Code::Denied, format!("{kind:?}"), text))
    }

    /// Of the host's links, a plugin deletes those that this attempt made, and in
    /// a DEL the end of a pair that the attachment's result says is its.
    pub(super) fn may_delete(&self, space: &Arc<Space>, index: u32) -> Result<(), types::Error> {
        if space.label != HOST || self.state.attempt.made_link(space, index) {
            return Ok(());
        }
        let what = format!("link-del {index}");
        if self.state.attempt.command == Command::Del
            && let Ok(Some(previous)) = &self.state.config.previous
        {
            let link = space.netlink(|netlink| netlink.link_get(kernel::LinkRef::Index(index)));
            let link = link.map_err(|e| kernel_error(&e))?;
            let is_it = |interface: &Interface| {
                interface.sandbox.is_empty()
                    && interface.name == link.name
                    && interface.mac == convert::mac_text(&link.mac)
            };
            if link.kind == "veth" && previous.success.interfaces.iter().any(is_it) {
                return Ok(());
            }
        }
        let text = format!("plugin {:?} has no grant to delete links of the host", self.state.plugin);
        Err(refuse(types::Code::Denied, what, text))
    }
}
