//! Deleting a route: `ip route del`.

use std::{fmt, sync::Arc};

use nix::libc::{EEXIST, ESRCH};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasm_cni_kernel::{Error, FullRoute, RouteAdd};

use super::{
    add::goes_with_links,
    check,
    find::{self, Deleted},
};
use crate::{
    bindings::{net, routes, types},
    describe::{Describe, Scribe},
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
    space::{Place, Space},
};

/// `RTM_DELROUTE`.
pub(super) struct Delete(pub(super) routes::Route);

impl Change for Delete {
    fn name(&self) -> &'static str {
        "route-del"
    }

    fn operation(&self) -> Operation {
        Operation::RouteDel
    }

    /// The kernel is told the whole route that goes: of what it is not told it would take the first that there is.
    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        inside::check(commit, at, self.name())?;
        let Some(given) = check::checked(commit, at, &self.0, self.name())? else { return Ok(None) };
        let there = at.netlink(|netlink| netlink.full_routes(Some(given.table), None)).map_err(|e| kernel_error(&e))?;
        let Some(Deleted { route, is_first }) = find::deleted(&there, &given) else {
            let missing = Error::of_errno(format!("route-del {}", given.dst), ESRCH);
            commit.tolerated::<()>(Err(kernel_error(&missing)))?;
            return Ok(None);
        };
        let note = match goes_with_links(commit, at, &route.hops) {
            true => commit.state.count()?,
            false => commit.state.note(Removed { at: at.place(), route: route.clone(), is_first })?,
        };
        commit.noted(at, note, |netlink| netlink.full_route_del(&route))?;
        Ok(None)
    }

    fn describe(&self, _: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        self.0.describe(scribe)
    }
}

/// A route, or some of its hops, that was removed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Removed {
    at: Place,
    route: FullRoute,
    /// It came before others to its destination.
    is_first: bool,
}

impl Effect for Removed {
    const TAG: &'static str = "full-route-removed";
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
        let how = if self.is_first { RouteAdd::Prepend } else { RouteAdd::Append };
        scene.netlink(self.at, |netlink| match netlink.full_route_add(&self.route, how) {
            // Somebody else has put it back.
            Err(e) if e.errno() == EEXIST => Ok(()),
            done => done,
        })
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "removal of the route to {} in the {} namespace", self.route.dst, self.at)
    }
}
