//! Links of whichever kind: `ip link add`, `ip link set`, `ip link delete`.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasm_cni_kernel::{self as kernel, LinkAttrs};

use super::{
    attrs, bridge,
    change::{Change, Labels},
    commit::Commit,
    create,
    host_links::Touch,
    moves, veth,
};
use crate::{
    bindings::{net, types},
    describe::{Describe, Scribe},
    failure::{kernel_error, refuse},
    grants::table::Operation,
    needs::Needs,
    record::{
        effect::{Cleanup, Effect, Undone},
        scene::{Scene, Shared},
    },
    space::{Place, Space},
};

/// `RTM_NEWLINK`, of a bridge or a veth pair.
pub(super) struct Add<'a>(pub(super) &'a net::LinkNew);

impl Change for Add<'_> {
    fn name(&self) -> &'static str {
        "link-add"
    }

    fn operation(&self) -> Operation {
        Operation::LinkAdd
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        let net::LinkNew { name, kind, attrs } = self.0;
        let what = format!("link-add {name:?}");
        let kind = match kind {
            net::LinkKind::Bridge(bridge) => Ok(bridge::checked(bridge)),
            net::LinkKind::Veth(veth) => veth::checked(commit, at, veth, &what),
        };
        create::create(commit, at, name, attrs, kind, &what).map(Some)
    }

    fn describe(&self, labels: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        let net::LinkNew { name, kind, attrs } = self.0;
        let kind = match kind {
            net::LinkKind::Bridge(bridge) => bridge::describe(bridge),
            net::LinkKind::Veth(veth) => veth::describe(veth, labels, scribe),
        };
        create::describe(name, attrs, kind, labels, scribe)
    }
}

/// `RTM_SETLINK`.
pub(super) struct Set<'a>(pub(super) &'a net::LinkSet);

impl Change for Set<'_> {
    fn name(&self) -> &'static str {
        "link-set"
    }

    fn operation(&self) -> Operation {
        Operation::LinkSet
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        let what = self.name();
        let index = commit.link(at, &self.0.link, what);
        let Some(index) = commit.tolerated(index)? else { return Ok(None) };
        let attrs = attrs::checked(commit, at, &self.0.attrs, what)?;
        let target = self.0.attrs.iter().rev().find_map(|attr| match attr {
            net::LinkAttr::Netns(ns) => Some(*ns),
            _ => None,
        });
        let done = match target {
            Some(ns) => {
                let target = commit.space(ns, what)?;
                if attrs.master.is_some_and(|master| master != 0) {
                    return Err(refuse(types::Code::Invalid, what, "a link that goes elsewhere has no master there"));
                }
                moves::move_link(commit.state, at, index, &target, &attrs)
            }
            None => set(commit, at, index, &attrs, what),
        };
        commit.tolerated(done)?;
        Ok(None)
    }

    fn describe(&self, labels: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        let mut attrs = attrs::describe(&self.0.attrs, labels, scribe);
        attrs.insert("link".to_owned(), self.0.link.describe(scribe));
        attrs.into()
    }
}

fn set(commit: &Commit<'_>, at: &Space, index: u32, attrs: &LinkAttrs, what: &str) -> Result<(), types::Error> {
    commit.may_touch(at, index, Touch::Attrs(attrs), what)?;
    note_attrs(commit, at, index, attrs)?;
    at.netlink(|netlink| netlink.link_set(index, attrs)).map_err(|e| kernel_error(&e))?;
    if let Some(name) = &attrs.name {
        commit.facts().renamed(at.place(), index, name);
    }
    Ok(())
}

/// What a `link-set` on a link that is not this attempt's will change.
fn note_attrs(commit: &Commit<'_>, at: &Space, index: u32, attrs: &LinkAttrs) -> Result<(), types::Error> {
    if !commit.state.attempt.undoes() || commit.facts().made(at.place(), index) {
        return commit.state.count().map(drop);
    }
    // A link that is not there fails in the operation itself.
    if let Ok(link) = at.netlink(|netlink| netlink.link_get(kernel::LinkRef::Index(index))) {
        let attrs = attrs::before(&link, attrs);
        commit.state.note(Changed { at: at.place(), name: link.name, index: link.index, attrs })?;
    }
    Ok(())
}

/// `RTM_DELLINK`.
pub(super) struct Delete<'a>(pub(super) &'a net::LinkRef);

impl Change for Delete<'_> {
    fn name(&self) -> &'static str {
        "link-del"
    }

    fn operation(&self) -> Operation {
        Operation::LinkDel
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        let Some(index) = commit.tolerated(commit.link(at, self.0, self.name()))? else { return Ok(None) };
        let delete = || at.netlink(|netlink| netlink.link_del(index)).map_err(|e| kernel_error(&e));
        let done = match commit.may_delete(at, index) {
            // The kernel was faster.
            Err(e) if e.code == types::Code::NotFound => Err(e),
            permitted => permitted.and_then(|()| delete()),
        };
        if commit.tolerated(done)?.is_some() {
            commit.facts().remove_own(at.place(), index);
        }
        Ok(None)
    }

    fn describe(&self, _: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        self.0.describe(scribe)
    }
}

/// Attributes of a link that were changed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Changed {
    at: Place,
    name: String,
    index: u32,
    /// What they were.
    attrs: LinkAttrs,
}

impl Effect for Changed {
    const TAG: &'static str = "link-attrs";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        self.at == Place::Sandbox
    }

    fn shared(&self, scene: &Scene) -> Option<Shared<'_>> {
        scene.shared_bridge(self.at, self.index)
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Never
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        scene.netlink(self.at, |netlink| netlink.link_set(self.index, &self.attrs))
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attributes of link {:?} in the {} namespace", self.name, self.at)
    }
}
