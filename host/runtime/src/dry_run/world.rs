//! Both namespaces of a dry run, as data.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::RawFd,
};

use wasm_cni_kernel::{
    Address, BridgeVlan, Error, FullRoute, Link, MacvlanMode, Neighbour, Netlink, Route, RoutingRule,
};

/// Both namespaces.
#[derive(Default)]
pub(super) struct World {
    pub(super) places: Vec<State>,
}

/// One namespace, as it would be.
pub(super) struct State {
    /// How attributes of links name it.
    pub(super) fd: RawFd,
    /// How operations name it.
    pub(super) label: &'static str,
    pub(super) links: BTreeMap<u32, Link>,
    /// The first name of every link, also of those that would be gone.
    pub(super) names: BTreeMap<u32, String>,
    pub(super) modes: BTreeMap<u32, MacvlanMode>,
    pub(super) addresses: Vec<Address>,
    pub(super) routes: Vec<Route>,
    pub(super) vlans: BTreeMap<u32, Vec<BridgeVlan>>,
    pub(super) full_routes: Option<Vec<FullRoute>>,
    pub(super) rules: Option<Vec<RoutingRule>>,
    pub(super) neighbours: Option<Vec<Neighbour>>,
    pub(super) sysctls: BTreeMap<String, String>,
    /// Of links that would be made.
    pub(super) new_links: BTreeSet<String>,
    /// For what was not asked at first. None if the namespace cannot be asked.
    pub(super) real: Option<Netlink>,
}

impl World {
    /// Where links go that are sent to this descriptor's namespace.
    pub(super) fn at(&mut self, fd: RawFd) -> Option<&mut State> {
        self.places.iter_mut().find(|state| state.fd == fd)
    }

    /// The name of a link in the namespace that operations name so.
    pub(super) fn name(&self, label: &str, index: u32) -> Option<&str> {
        self.places.iter().find(|state| state.label == label)?.names.get(&index).map(String::as_str)
    }
}

impl State {
    /// A link that is new, or not as it was.
    pub(super) fn put(&mut self, link: Link) {
        self.names.entry(link.index).or_insert_with(|| link.name.clone());
        self.links.insert(link.index, link);
    }

    /// What the kernel said the first time that it was asked.
    pub(super) fn recorded<T: Clone>(
        known: &mut Option<Vec<T>>,
        real: &mut Option<Netlink>,
        ask: impl FnOnce(&mut Netlink) -> Result<Vec<T>, Error>,
    ) -> Result<Vec<T>, Error> {
        if known.is_none() {
            *known = Some(match real {
                Some(real) => ask(real)?,
                None => Vec::new(),
            });
        }
        Ok(known.clone().unwrap_or_default())
    }
}
