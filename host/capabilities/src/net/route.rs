//! Routes through one link, with what most plugins need: `ip route append`, `ip route del`.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasm_cni_kernel as kernel;

use super::{
    change::{Change, Labels},
    commit::Commit,
    host_links::Touch,
};
use crate::{
    bindings::{net, types},
    convert,
    describe::{Describe, Scribe, number, object},
    failure::refuse,
    grants::table::Operation,
    needs::Needs,
    record::{
        effect::{Cleanup, Effect, Undone},
        scene::{Scene, Shared},
    },
    space::{Place, RouteSocket, Space},
};

/// `RTM_NEWROUTE`.
pub(super) struct Add<'a>(pub(super) &'a net::Route);

impl Change for Add<'_> {
    fn name(&self) -> &'static str {
        "route-add"
    }

    fn operation(&self) -> Operation {
        Operation::RouteAdd
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        let Some(route) = checked(commit, at, self.0, self.name())? else { return Ok(None) };
        commit.may_touch(at, route.link, Touch::RouteAdded(route.dst), self.name())?;
        let effect = Added { at: at.place(), route };
        let is_there = |netlink: &mut dyn RouteSocket, added: &Added| has(netlink, &added.route);
        let add = |netlink: &mut dyn RouteSocket, added: &Added| netlink.route_add(&added.route);
        commit.effect(at, effect.route.link, effect, is_there, add)?;
        Ok(None)
    }

    fn describe(&self, _: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        self.0.describe(scribe)
    }
}

/// `RTM_DELROUTE`.
pub(super) struct Delete<'a>(pub(super) &'a net::Route);

impl Change for Delete<'_> {
    fn name(&self) -> &'static str {
        "route-del"
    }

    fn operation(&self) -> Operation {
        Operation::RouteDel
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        let Some(route) = checked(commit, at, self.0, self.name())? else { return Ok(None) };
        commit.may_touch(at, route.link, Touch::Other, self.name())?;
        let effect = Removed { at: at.place(), route };
        let is_gone = |netlink: &mut dyn RouteSocket, removed: &Removed| Ok(!has(netlink, &removed.route)?);
        let delete = |netlink: &mut dyn RouteSocket, removed: &Removed| netlink.route_del(&removed.route);
        commit.effect(at, effect.route.link, effect, is_gone, delete)?;
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
    route: &net::Route,
    what: &str,
) -> Result<Option<kernel::Route>, types::Error> {
    let net::Route { link, dst, gateway, src, table, metric, scope, protocol } = route;
    let dst = convert::ip_net(dst, what)?;
    let Some(link) = commit.tolerated(commit.link(at, link, what))? else { return Ok(None) };
    let [gateway, src] = [gateway, src].map(|ip| ip.as_ref().map(convert::ip));
    if [gateway, src].into_iter().flatten().any(|ip| ip.is_ipv4() != dst.addr().is_ipv4()) {
        let text = "destination, gateway and source are of different families";
        return Err(refuse(types::Code::Invalid, what, text));
    }
    let (table, metric, scope, protocol) = (*table, *metric, *scope, *protocol);
    Ok(Some(kernel::Route { link, dst, gateway, src, table, metric, scope, protocol }))
}

/// Whether the link has this route.
fn has(netlink: &mut dyn RouteSocket, route: &kernel::Route) -> Result<bool, kernel::Error> {
    let key = |route: &kernel::Route| (route.dst, route.table, route.metric, route.gateway);
    Ok(netlink.routes(Some(route.link))?.iter().any(|other| key(other) == key(route)))
}

impl Describe for net::Route {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let Self { link, dst, gateway, src, table, metric, scope, protocol } = self;
        object([
            ("link", link.describe(scribe)),
            ("dst", dst.describe(scribe)),
            ("gateway", gateway.describe(scribe)),
            ("src", src.describe(scribe)),
            ("table", number(*table)),
            ("metric", number(*metric)),
            ("scope", number((*scope).into())),
            ("protocol", number((*protocol).into())),
        ])
    }
}

/// A route that was added.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Added {
    at: Place,
    route: kernel::Route,
}

impl Effect for Added {
    const TAG: &'static str = "route-added";
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
        scene.netlink(self.at, |netlink| netlink.route_del(&self.route))
    }
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route to {} in the {} namespace", self.route.dst, self.at)
    }
}

/// A route that was removed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Removed {
    at: Place,
    route: kernel::Route,
}

impl Effect for Removed {
    const TAG: &'static str = "route-removed";
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
        scene.netlink(self.at, |netlink| netlink.route_add(&self.route))
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "removal of the route to {} in the {} namespace", self.route.dst, self.at)
    }
}
