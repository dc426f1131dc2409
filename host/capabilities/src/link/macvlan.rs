//! `link.macvlan`: further MAC addresses on a parent link (drivers/net/macvlan.c).

use std::sync::Arc;

use serde_json::{Map, Value};
use wasm_cni_kernel::{LinkKind, Macvlan, MacvlanMode};
use wasmtime::component::{HasSelf, Resource};

use super::check_kind;
use crate::{
    bindings::{macvlan, net, types},
    capability::Capability,
    describe::{Describe, Scribe, case},
    failure::{Reply, kernel_error},
    grants::table::Operation,
    handles::{Namespace, Pending},
    net::{
        change::{Change, Labels},
        commit::Commit,
        create::{self, Kind},
        pending::{size_of_attrs, size_of_link},
        read,
    },
    space::Space,
    state::State,
    world::World,
};

/// `IFLA_INFO_KIND`, and the name in `links` of a policy.
const KIND: &str = "macvlan";

/// `wasm-cni:link/macvlan`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:link/macvlan@0.1.0",
    worlds: &[World::Interface],
    link: |linker| macvlan::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |table| table.makes_links(KIND),
    abilities: |table, imported, abilities| {
        let parents = table.parent_links.as_deref().unwrap_or_default();
        let on = crate::abilities::named(" on links of the host named", parents);
        let what = format!("make macvlan links in the container's namespace{on}");
        abilities.say(imported && table.makes_links(KIND), what);
    },
    needs: |_, _| {},
};

impl macvlan::Host for State {
    fn add(
        &mut self,
        name: String,
        parent: net::LinkRef,
        parent_ns: u32,
        mode: macvlan::Mode,
        bc_queue_len: Option<u32>,
        attrs: Vec<net::LinkAttr>,
    ) -> wasmtime::Result<Resource<Pending>> {
        self.call_plain("macvlan.add", &[("name", &name)], |state| {
            let (name, parent, attrs) = (name.clone(), parent.clone(), attrs.clone());
            let size = name.len() + size_of_link(&parent) + size_of_attrs(&attrs);
            state.keep(size, Add { name, parent, parent_ns, mode, bc_queue_len, attrs })
        })
    }

    fn mode_of(&mut self, ns: Resource<Namespace>, link: net::LinkRef) -> Reply<macvlan::Mode> {
        self.call("macvlan.mode-of", &[("ns", &ns), ("link", &link)], |state| {
            let space = state.space(&ns)?;
            let index = read::resolve(&space, &link, "macvlan-mode")?;
            let mode = space.netlink(|netlink| netlink.macvlan_mode(index)).map_err(|e| kernel_error(&e))?;
            Ok(match mode {
                MacvlanMode::Private => macvlan::Mode::Private,
                MacvlanMode::Vepa => macvlan::Mode::Vepa,
                MacvlanMode::Bridge => macvlan::Mode::Bridge,
                MacvlanMode::Passthru => macvlan::Mode::Passthru,
            })
        })
    }
}

/// `RTM_NEWLINK` of kind `macvlan`.
struct Add {
    name: String,
    parent: net::LinkRef,
    parent_ns: u32,
    mode: macvlan::Mode,
    bc_queue_len: Option<u32>,
    attrs: Vec<net::LinkAttr>,
}

impl Change for Add {
    fn name(&self) -> &'static str {
        "macvlan-add"
    }

    fn operation(&self) -> Operation {
        Operation::LinkAdd
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        let what = format!("link-add {:?}", self.name);
        check_kind(commit, at, KIND, &what)?;
        let space = commit.space(self.parent_ns, &what)?;
        let parent = commit.link(&space, &self.parent, &what)?;
        commit.may_be_parent(&space, parent, &what)?;
        let mode = match self.mode {
            macvlan::Mode::Private => MacvlanMode::Private,
            macvlan::Mode::Vepa => MacvlanMode::Vepa,
            macvlan::Mode::Bridge => MacvlanMode::Bridge,
            macvlan::Mode::Passthru => MacvlanMode::Passthru,
        };
        let kind = LinkKind::Macvlan(Macvlan { parent, mode, bc_queue_len: self.bc_queue_len });
        let parent = (!Arc::ptr_eq(&space, at)).then_some(space);
        create::create(commit, at, &self.name, &self.attrs, Ok(Kind { kind, peer: None, parent }), &what).map(Some)
    }

    fn describe(&self, labels: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        let Self { name, parent, parent_ns, mode, bc_queue_len, attrs } = self;
        let kind = [
            ("kind", KIND.into()),
            ("parent", parent.describe(scribe)),
            ("parent-ns", labels.of(*parent_ns, scribe)),
            ("mode", case(mode)),
            ("bc-queue-len", (*bc_queue_len).into()),
        ];
        let kind: Map<_, _> = kind.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.to_owned(), v)).collect();
        create::describe(name, attrs, kind, labels, scribe)
    }
}

impl Describe for macvlan::Mode {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        case(self)
    }
}
