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
    link_id::{LinkId, random_mac},
    needs::Needs,
    record::{
        effect::{Cleanup, Effect, Undone},
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
    let mut link = kernel::NewLink { name: name.to_owned(), kind, attrs };
    let Some(mut effect) = note_of(commit, at, &mut link, peer.as_ref(), what)? else {
        let taken = kernel::Error::of_errno(format!("link-add {name}"), nix::libc::EEXIST);
        return existing(commit, at, name, &taken);
    };
    effect.vlan = vlan;
    let note = commit.state.note(effect.clone())?;
    let done = match &parent {
        Some(parent) => at.link_new_by(parent, &link),
        None => routers::make_deaf(commit, at, peer.as_ref().map(|(place, _)| *place), &link),
    };
    match done {
        Ok(made) => {
            commit.state.attempt.done(note, effect.made(&made));
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
            existing(commit, at, name, &e)
        }
    }
}

/// What the link is going to be known by, chosen beforehand: its MAC, which no other link has. If the plugin gives it a MAC,
/// which others may have: none if there is a link of this name already.
///
/// udev leaves a MAC alone that was chosen (`addr_assign_type` is `NET_ADDR_SET`), and a bridge keeps it whatever ports it
/// gets.
fn note_of(
    commit: &Commit<'_>,
    at: &Space,
    link: &mut kernel::NewLink,
    peer: Option<&(Place, String)>,
    what: &str,
) -> Result<Option<Added>, types::Error> {
    // A plan says that the kernel chooses, and where nothing is taken back there is nothing to know.
    if !commit.state.attempt.undoes() {
        return Ok(Some(Added {
            at: at.place(),
            link: LinkId::chosen(&link.name, "", &[]),
            peer: None,
            bridge: false,
            vlan: false,
        }));
    }
    if link.attrs.mac.is_some() {
        match at.netlink(|netlink| netlink.link_get(kernel::LinkRef::Name(&link.name))) {
            Ok(_) => return Ok(None),
            Err(e) if e.errno() == nix::libc::ENODEV => {}
            Err(e) => return Err(kernel_error(&e)),
        }
    }
    let random = || random_mac().map_err(|e| failed(what, &e));
    let bridge = matches!(link.kind, kernel::LinkKind::Bridge { .. });
    let mut other = None;
    let kind = match &mut link.kind {
        kernel::LinkKind::Bridge { .. } => "bridge",
        kernel::LinkKind::Veth(pair) => {
            let mac = match &pair.mac {
                Some(mac) => mac.clone(),
                None => pair.mac.insert(random()?).clone(),
            };
            other = peer.map(|(place, name)| (*place, LinkId::chosen(name, "veth", &mac)));
            "veth"
        }
        kernel::LinkKind::Dummy => "dummy",
        kernel::LinkKind::Macvlan(_) => "macvlan",
        _ => "",
    };
    let mac = match &link.attrs.mac {
        Some(mac) => mac.clone(),
        None => link.attrs.mac.insert(random()?).clone(),
    };
    let id = LinkId::chosen(&link.name, kind, &mac);
    Ok(Some(Added { at: at.place(), link: id, peer: other, bridge, vlan: false }))
}

fn failed(what: &str, e: &std::io::Error) -> types::Error {
    let errno = e.raw_os_error().unwrap_or(nix::libc::EIO);
    let msg = kernel::errno_text(errno);
    types::Error { code: types::Code::Io, errno: errno.unsigned_abs(), what: what.to_owned(), msg }
}

/// It could not be made; if that is because there is a link of this name already, that may be as good.
fn existing(commit: &Commit<'_>, at: &Space, name: &str, e: &kernel::Error) -> Result<net::Made, types::Error> {
    if e.errno() != nix::libc::EEXIST || !matches!(commit.tolerance, net::Tolerance::OkIfExists) {
        return Err(kernel_error(e));
    }
    let found = at.netlink(|netlink| netlink.link_get(kernel::LinkRef::Name(name)));
    let found = found.map_err(|e| kernel_error(&e))?;
    if at.label == HOST {
        commit.facts().observe(&found);
    }
    Ok(net::Made { index: found.index, existed: true })
}

/// A link that was made.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Added {
    at: Place,
    link: LinkId,
    /// The other end of a pair: a container may have its own end anywhere.
    peer: Option<(Place, LinkId)>,
    bridge: bool,
    /// It is a pair that is everybody's, as a bridge: the host's interface in a VLAN, and its port.
    #[serde(default)]
    vlan: bool,
}

impl Added {
    /// What is known of it when it is there.
    fn made(self, made: &kernel::Link) -> Self {
        let peer = self.peer.map(|(place, peer)| (place, peer.of_pair(made)));
        Self { link: LinkId::of(made), peer, ..self }
    }
}

impl Effect for Added {
    const TAG: &'static str = "link";
    const IS_LINK: bool = true;

    fn is_inside(&self) -> bool {
        self.at == Place::Sandbox
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        let link = self.link.index.map_or(kernel::LinkRef::Name(&self.link.name), kernel::LinkRef::Index);
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

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        let ends = [Some((self.at, &self.link)), self.peer.as_ref().map(|(at, peer)| (*at, peer))];
        let mut undone = Undone::All;
        for (at, end) in ends.into_iter().flatten() {
            match scene.delete(at, end)? {
                Some(Undone::All) => return Ok(Undone::All),
                Some(another) => undone = another,
                None => {}
            }
        }
        Ok(undone)
    }
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {:?} in the {} namespace", self.link.name, self.at)
    }
}

#[cfg(test)]
mod model;
