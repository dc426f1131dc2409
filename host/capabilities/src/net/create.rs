//! Making a link of whichever kind: the checks that all kinds share, the effect, and its inverse.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wasm_cni_kernel as kernel;

use super::{attrs, change::Labels, commit::Commit, routers};
use crate::{
    bindings::{net, types},
    convert,
    describe::Scribe,
    facts::Own,
    failure::{kernel_error, refuse},
    needs::Needs,
    record::{
        effect::{Cleanup, Effect},
        scene::{Scene, Shared},
    },
    space::{HOST, Place, Space},
};

/// What the trace shows of a link that is made: its attributes, its name, and what its kind adds.
pub fn describe(
    name: &str,
    attrs: &[net::LinkAttr],
    kind: Map<String, Value>,
    labels: &Labels<'_>,
    scribe: &mut Scribe<'_>,
) -> Value {
    let mut link = attrs::describe(attrs, labels, scribe);
    link.insert("name".to_owned(), scribe.text(name));
    link.extend(kind);
    link.into()
}

/// A kind of link, checked.
#[derive(Debug)]
pub struct Kind {
    /// As the kernel takes it.
    pub kind: kernel::LinkKind,
    /// The other end of a pair: its namespace and its name.
    pub peer: Option<(Place, String)>,
    /// Where its parent is, if that is another namespace.
    pub parent: Option<Arc<Space>>,
}

/// Makes a link in the namespace of its operation, under its final name.
///
/// # Errors
///
/// Why it was refused, or how it failed.
pub fn create(
    commit: &mut Commit<'_>,
    at: &Arc<Space>,
    name: &str,
    attrs: &[net::LinkAttr],
    kind: Result<Kind, types::Error>,
    what: &str,
) -> Result<net::Made, types::Error> {
    convert::link_name(name, what)?;
    if attrs.iter().any(|attr| matches!(attr, net::LinkAttr::Name(_) | net::LinkAttr::Netns(_))) {
        return Err(refuse(types::Code::Invalid, what, "a link is made with its name, where it belongs"));
    }
    let attrs = attrs::checked(commit, at, attrs, what)?;
    attrs.master.map_or(Ok(()), |master| commit.may_join(at, master, what))?;
    let Kind { kind, peer, parent } = kind?;
    let bridge = matches!(kind, kernel::LinkKind::Bridge { .. });
    if bridge && at.label == HOST {
        commit.may_have_bridge(name, what)?;
    }
    let vlan = commit.is_vlan_interface(at, &kind, peer.as_ref(), &attrs);
    let effect = Added { at: at.place(), name: name.to_owned(), index: None, bridge, vlan };
    let note = commit.state.note(effect.clone())?;
    let link = kernel::NewLink { name: name.to_owned(), kind, attrs };
    let done = match &parent {
        Some(parent) => at.link_new_by(parent, &link),
        None => routers::make_deaf(commit, at, peer.as_ref().map(|(place, _)| *place), &link),
    };
    match done {
        Ok(made) => {
            commit.state.attempt.amend(note, Added { index: Some(made.index), ..effect });
            let own = |name: &str| Own { name: name.to_owned(), bridge, moved: false };
            let mut facts = commit.facts();
            facts.insert_own(at.place(), made.index, own(name));
            if let Some((place, name)) = peer.filter(|_| made.parent != 0) {
                facts.insert_own(place, made.parent, own(&name));
            }
            Ok(net::Made { index: made.index, existed: false })
        }
        Err(e) => {
            commit.state.attempt.strike(note);
            if e.errno() != nix::libc::EEXIST || !matches!(commit.tolerance, net::Tolerance::OkIfExists) {
                return Err(kernel_error(&e));
            }
            let found = at.netlink(|netlink| netlink.link_get(kernel::LinkRef::Name(name)));
            let found = found.map_err(|e| kernel_error(&e))?;
            if at.label == HOST {
                commit.facts().observe(&found);
            }
            Ok(net::Made { index: found.index, existed: true })
        }
    }
}

/// A link that was made.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Added {
    at: Place,
    name: String,
    /// Known once it is made, and to the process that made it.
    index: Option<u32>,
    bridge: bool,
    /// It is a pair that is everybody's, as a bridge: the host's interface in a VLAN, and its port.
    #[serde(default)]
    vlan: bool,
}

impl Effect for Added {
    const TAG: &'static str = "link";
    const IS_LINK: bool = true;

    fn is_inside(&self) -> bool {
        self.at == Place::Sandbox
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        let link = self.index.map_or(kernel::LinkRef::Name(&self.name), kernel::LinkRef::Index);
        match (self.bridge, self.vlan) {
            (true, _) => Some(Shared::Bridge(self.at, link)),
            (false, true) => Some(Shared::Vlan(self.at, link)),
            (false, false) => None,
        }
    }

    fn cleanup(&self) -> Cleanup {
        if self.bridge || self.vlan { Cleanup::Never } else { Cleanup::Detach }
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<(), String> {
        scene.netlink(self.at, |netlink| {
            let index = match self.index {
                Some(index) => index,
                None => netlink.link_get(kernel::LinkRef::Name(&self.name))?.index,
            };
            netlink.link_del(index)
        })
    }
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {:?} in the {} namespace", self.name, self.at)
    }
}
