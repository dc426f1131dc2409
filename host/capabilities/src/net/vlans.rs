//! VLANs of bridge ports: `bridge vlan add`, `bridge vlan del`.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasm_cni_kernel as kernel;

use super::{
    change::{Change, Labels},
    commit::Commit,
    host_links::Touch,
};
use crate::{
    bindings::{net, types},
    convert,
    describe::{Describe, Scribe},
    grants::table::Operation,
    needs::Needs,
    record::{
        effect::{Cleanup, Effect, Undone},
        scene::{Scene, Shared},
    },
    space::{Place, RouteSocket, Space},
};

/// `RTM_SETLINK` with `IFLA_BRIDGE_VLAN_INFO`.
pub(super) struct Add<'a>(pub(super) &'a net::BridgeVlan);

impl Change for Add<'_> {
    fn name(&self) -> &'static str {
        "vlan-add"
    }

    fn operation(&self) -> Operation {
        Operation::VlanAdd
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        let Some(vlan) = checked(commit, at, self.0, self.name())? else { return Ok(None) };
        commit.may_touch(at, vlan.link, Touch::Other, self.name())?;
        let effect = Added { at: at.place(), vlan };
        let is_there = |netlink: &mut dyn RouteSocket, added: &Added| has(netlink, &added.vlan);
        let add = |netlink: &mut dyn RouteSocket, added: &Added| netlink.vlan_add(&added.vlan);
        commit.effect(at, effect.vlan.link, effect, is_there, add)?;
        Ok(None)
    }

    fn describe(&self, _: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        self.0.describe(scribe)
    }
}

/// `RTM_DELLINK` with `IFLA_BRIDGE_VLAN_INFO`.
pub(super) struct Delete<'a>(pub(super) &'a net::BridgeVlan);

impl Change for Delete<'_> {
    fn name(&self) -> &'static str {
        "vlan-del"
    }

    fn operation(&self) -> Operation {
        Operation::VlanDel
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        let Some(vlan) = checked(commit, at, self.0, self.name())? else { return Ok(None) };
        commit.may_touch(at, vlan.link, Touch::Other, self.name())?;
        let effect = Removed { at: at.place(), vlan };
        let is_gone = |netlink: &mut dyn RouteSocket, removed: &Removed| Ok(!has(netlink, &removed.vlan)?);
        let delete = |netlink: &mut dyn RouteSocket, removed: &Removed| netlink.vlan_del(&removed.vlan);
        commit.effect(at, effect.vlan.link, effect, is_gone, delete)?;
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
    vlan: &net::BridgeVlan,
    what: &str,
) -> Result<Option<kernel::BridgeVlan>, types::Error> {
    let net::BridgeVlan { link, first, last, pvid, untagged } = vlan;
    convert::vlan_ids(*first, *last, what)?;
    let link = commit.tolerated(commit.link(at, link, what))?;
    let (first, last, pvid, untagged) = (*first, *last, *pvid, *untagged);
    Ok(link.map(|link| kernel::BridgeVlan { link, first, last, pvid, untagged }))
}

/// Whether the port has any of these VLANs.
fn has(netlink: &mut dyn RouteSocket, vlan: &kernel::BridgeVlan) -> Result<bool, kernel::Error> {
    let overlaps = |other: &kernel::BridgeVlan| other.first <= vlan.last && vlan.first <= other.last;
    Ok(netlink.vlans(vlan.link)?.iter().any(overlaps))
}

impl Describe for net::BridgeVlan {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let Self { link, first, last, pvid, untagged } = self;
        json!({ "link": link.describe(scribe), "first": first, "last": last, "pvid": pvid, "untagged": untagged })
    }
}

/// VLANs that were added.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Added {
    at: Place,
    vlan: kernel::BridgeVlan,
}

impl Effect for Added {
    const TAG: &'static str = "vlan-added";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        self.at == Place::Sandbox
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Never
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        scene.netlink(self.at, |netlink| netlink.vlan_del(&self.vlan))
    }
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VLANs {}-{} of link {}", self.vlan.first, self.vlan.last, self.vlan.link)
    }
}

/// VLANs that were removed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Removed {
    at: Place,
    vlan: kernel::BridgeVlan,
}

impl Effect for Removed {
    const TAG: &'static str = "vlan-removed";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        self.at == Place::Sandbox
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Never
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        scene.netlink(self.at, |netlink| netlink.vlan_add(&self.vlan))
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "removal of VLANs {}-{} of link {}", self.vlan.first, self.vlan.last, self.vlan.link)
    }
}
