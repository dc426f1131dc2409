//! Adding a route, beside others or in place of one: `ip route append`, `add`, `replace`.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasm_cni_kernel::{FullRoute, Hop, RouteAdd};

use super::{check, find};
use crate::{
    bindings::{
        net,
        routes::{self, How},
        types,
    },
    describe::{Describe, Scribe, case},
    failure::kernel_error,
    grants::table::Operation,
    needs::Needs,
    net::{
        change::{Change, Labels},
        commit::Commit,
        inside,
    },
    record::{
        effect::{Cleanup, Effect, Undone},
        scene::{Scene, Shared},
    },
    space::{Place, RouteSocket, Space},
};

/// `RTM_NEWROUTE`.
pub(super) struct Add {
    pub(super) route: routes::Route,
    pub(super) how: How,
}

impl Change for Add {
    fn name(&self) -> &'static str {
        self.operation().name()
    }

    fn operation(&self) -> Operation {
        match self.how {
            How::Append | How::Create => Operation::RouteAdd,
            How::Replace => Operation::RouteSet,
        }
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        inside::check(commit, at, self.name())?;
        let Some(route) = check::checked(commit, at, &self.route, self.name())? else { return Ok(None) };
        let route = check::to_add(route, self.name())?;
        match self.how {
            How::Append => add(commit, at, route, RouteAdd::Append)?,
            How::Create => add(commit, at, route, RouteAdd::Create)?,
            How::Replace => replace(commit, at, route)?,
        }
        Ok(None)
    }

    fn describe(&self, _: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        let mut route = self.route.describe(scribe);
        route["how"] = case(self.how);
        route
    }
}

fn add(commit: &Commit<'_>, at: &Space, route: FullRoute, how: RouteAdd) -> Result<(), types::Error> {
    if goes_with_links(commit, at, &route.hops) {
        let note = commit.state.count()?;
        return commit.noted(at, note, |netlink| netlink.full_route_add(&route, how)).map(drop);
    }
    let is_there = |netlink: &mut dyn RouteSocket, added: &Added| {
        Ok(find::deleted(&netlink.full_routes(Some(added.route.table), None)?, &added.route).is_some())
    };
    let effect = Added { at: at.place(), route };
    commit.note_unless_so(at, effect, is_there, |netlink, added| netlink.full_route_add(&added.route, how))
}

fn replace(commit: &Commit<'_>, at: &Space, new: FullRoute) -> Result<(), types::Error> {
    let there = at.netlink(|netlink| netlink.full_routes(Some(new.table), None)).map_err(|e| kernel_error(&e))?;
    let Some(old) = find::replaced(&there, &new).cloned() else {
        return add(commit, at, new, RouteAdd::Replace);
    };
    let note = commit.state.note(Replaced { at: at.place(), old })?;
    commit.noted(at, note, |netlink| netlink.full_route_add(&new, RouteAdd::Replace)).map(drop)
}

/// Whether a route through these hops goes with links that the attempt made.
pub(super) fn goes_with_links(commit: &Commit<'_>, at: &Space, hops: &[Hop]) -> bool {
    !hops.is_empty() && hops.iter().all(|hop| commit.is_alone(at, hop.link))
}

/// A route that was added.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Added {
    at: Place,
    route: FullRoute,
}

impl Effect for Added {
    const TAG: &'static str = "full-route-added";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        self.at == Place::Sandbox
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    fn cleanup(&self) -> Cleanup {
        // Without a hop there is no link that it would go with.
        if self.route.hops.is_empty() { Cleanup::Detach } else { Cleanup::Never }
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        scene.netlink(self.at, |netlink| netlink.full_route_del(&self.route))
    }
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route to {} in the {} namespace", self.route.dst, self.at)
    }
}

/// A route that another one took the place of.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Replaced {
    at: Place,
    old: FullRoute,
}

impl Effect for Replaced {
    const TAG: &'static str = "full-route-replaced";
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

    /// It takes the place of the other one in its turn.
    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        scene.netlink(self.at, |netlink| netlink.full_route_add(&self.old, RouteAdd::Replace))
    }
}

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replacement of the route to {} in the {} namespace", self.old.dst, self.at)
    }
}
