//! `identity`: which plugin a component is called as.

use wasmtime::component::HasSelf;

use crate::{bindings::identity, capability::Capability, state::State, world::World};

/// `wasm-cni:cni/identity`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:cni/identity@0.1.0",
    worlds: &World::ALL,
    link: |linker| identity::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |_| true,
    // Nothing to tell: the plugin was called by that name.
    abilities: |_, _, _| {},
    needs: |_, _| {},
};

impl identity::Host for State {
    fn type_name(&mut self) -> wasmtime::Result<String> {
        self.call_plain("identity.type-name", &[], |state| Ok(state.plugin.clone()))
    }
}
