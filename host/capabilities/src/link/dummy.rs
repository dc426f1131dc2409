//! `link.dummy`: devices that drop what they are sent (drivers/net/dummy.c).

use std::sync::Arc;

use serde_json::Value;
use wasm_cni_kernel::LinkKind;
use wasmtime::component::{HasSelf, Resource};

use super::check_kind;
use crate::{
    bindings::{dummy, net, types},
    capability::Capability,
    describe::Scribe,
    grants::table::Operation,
    handles::Pending,
    net::{
        change::{Change, Labels},
        commit::Commit,
        create::{self, Kind},
        pending::size_of_attrs,
    },
    space::Space,
    state::State,
    world::World,
};

/// `IFLA_INFO_KIND`, and the name in `links` of a policy.
const KIND: &str = "dummy";

/// `wasm-cni:link/dummy`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:link/dummy@0.1.0",
    worlds: &[World::Interface],
    link: |linker| dummy::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |table| table.makes_links(KIND),
    abilities: |table, imported, abilities| {
        abilities.say(imported && table.makes_links(KIND), "make dummy devices in the container's namespace");
    },
    needs: |_, _| {},
};

impl dummy::Host for State {
    fn add(&mut self, name: String, attrs: Vec<net::LinkAttr>) -> wasmtime::Result<Resource<Pending>> {
        self.call_plain("dummy.add", &[("name", &name)], |state| {
            state.keep(size_of_attrs(&attrs) + name.len(), Add { name: name.clone(), attrs: attrs.clone() })
        })
    }
}

/// `RTM_NEWLINK` of kind `dummy`.
struct Add {
    name: String,
    attrs: Vec<net::LinkAttr>,
}

impl Change for Add {
    fn name(&self) -> &'static str {
        "dummy-add"
    }

    fn operation(&self) -> Operation {
        Operation::LinkAdd
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        let what = format!("link-add {:?}", self.name);
        check_kind(commit, at, KIND, &what)?;
        let kind = Kind { kind: LinkKind::Dummy, peer: None, parent: None };
        create::create(commit, at, &self.name, &self.attrs, Ok(kind), &what).map(Some)
    }

    fn describe(&self, labels: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        let kind = [("kind".to_owned(), KIND.into())].into_iter().collect();
        create::describe(&self.name, &self.attrs, kind, labels, scribe)
    }
}
