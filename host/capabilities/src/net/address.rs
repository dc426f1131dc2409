//! Addresses: `ip address add`, `ip address del`.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasm_cni_kernel as kernel;

use super::{
    change::{Change, Labels},
    commit::Commit,
    explain,
    host_links::Touch,
};
use crate::{
    bindings::{net, types},
    convert,
    describe::{Describe, Scribe, number, object},
    grants::table::Operation,
    needs::Needs,
    record::{
        effect::{Cleanup, Effect, Undone},
        scene::{Scene, Shared},
    },
    space::{Place, RouteSocket, Space},
};

/// `RTM_NEWADDR`.
pub(super) struct Add<'a>(pub(super) &'a net::Address);

impl Change for Add<'_> {
    fn name(&self) -> &'static str {
        "addr-add"
    }

    fn operation(&self) -> Operation {
        Operation::AddrAdd
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        let Some(address) = checked(commit, at, self.0, self.name())? else { return Ok(None) };
        commit.may_touch(at, address.link, Touch::AddressAdded(address.ip), self.name())?;
        let (link, ip) = (address.link, address.ip.addr());
        let effect = Added { at: at.place(), address };
        let is_there = |netlink: &mut dyn RouteSocket, added: &Added| has(netlink, &added.address);
        let add = |netlink: &mut dyn RouteSocket, added: &Added| netlink.address_add(&added.address);
        commit.effect(at, link, effect, is_there, add).map_err(|error| explain::address(at, link, ip, error))?;
        Ok(None)
    }

    fn describe(&self, _: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        self.0.describe(scribe)
    }
}

/// `RTM_DELADDR`.
pub(super) struct Delete<'a>(pub(super) &'a net::Address);

impl Change for Delete<'_> {
    fn name(&self) -> &'static str {
        "addr-del"
    }

    fn operation(&self) -> Operation {
        Operation::AddrDel
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        let Some(address) = checked(commit, at, self.0, self.name())? else { return Ok(None) };
        commit.may_touch(at, address.link, Touch::AddressRemoved(address.ip), self.name())?;
        let effect = Removed { at: at.place(), address };
        let is_gone = |netlink: &mut dyn RouteSocket, removed: &Removed| Ok(!has(netlink, &removed.address)?);
        let delete = |netlink: &mut dyn RouteSocket, removed: &Removed| netlink.address_del(&removed.address);
        commit.effect(at, effect.address.link, effect, is_gone, delete)?;
        Ok(None)
    }

    fn describe(&self, _: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        self.0.describe(scribe)
    }
}

/// None if its link is missing, and that is tolerated.
fn checked(
    commit: &Commit<'_>,
    at: &Space,
    address: &net::Address,
    what: &str,
) -> Result<Option<kernel::Address>, types::Error> {
    let ip = convert::ip_net(&address.ip, what)?;
    let link = commit.tolerated(commit.link(at, &address.link, what))?;
    Ok(link.map(|link| kernel::Address { link, ip, flags: address.flags }))
}

/// Whether the link has this address, with whichever prefix.
fn has(netlink: &mut dyn RouteSocket, address: &kernel::Address) -> Result<bool, kernel::Error> {
    Ok(netlink.addresses(Some(address.link))?.iter().any(|other| other.ip.addr() == address.ip.addr()))
}

impl Describe for net::Address {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let Self { link, ip, flags } = self;
        object([("link", link.describe(scribe)), ("ip", ip.describe(scribe)), ("flags", number(*flags))])
    }
}

/// An address that was added.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Added {
    at: Place,
    address: kernel::Address,
}

impl Effect for Added {
    const TAG: &'static str = "address-added";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        self.at == Place::Sandbox
    }

    fn shared(&self, scene: &Scene) -> Option<Shared<'_>> {
        scene.shared_bridge(self.at, self.address.link)
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Never
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        scene.netlink(self.at, |netlink| netlink.address_del(&self.address))
    }
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "address {} in the {} namespace", self.address.ip, self.at)
    }
}

/// An address that was removed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Removed {
    at: Place,
    address: kernel::Address,
}

impl Effect for Removed {
    const TAG: &'static str = "address-removed";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        self.at == Place::Sandbox
    }

    fn shared(&self, scene: &Scene) -> Option<Shared<'_>> {
        scene.shared_bridge(self.at, self.address.link)
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Never
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        scene.netlink(self.at, |netlink| netlink.address_add(&self.address))
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "removal of address {} in the {} namespace", self.address.ip, self.at)
    }
}
