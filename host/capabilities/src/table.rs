//! Every capability: what there is to import.

use wasmtime::component::{Component, Linker};

use crate::{
    capability::Capability,
    delegate, filter, identity, link, neighbour, net, route,
    state::State,
    store,
    system::{devices, log, memo, random, resolver},
    world::World,
};

/// Every capability that the host has.
pub static ALL: &[Capability] = &[
    net::CAPABILITY,
    link::dummy::CAPABILITY,
    link::macvlan::CAPABILITY,
    route::routes::CAPABILITY,
    route::rules::CAPABILITY,
    neighbour::CAPABILITY,
    filter::masquerade::CAPABILITY,
    filter::spoof_check::CAPABILITY,
    identity::CAPABILITY,
    delegate::CAPABILITY,
    store::CAPABILITY,
    log::CAPABILITY,
    random::CAPABILITY,
    resolver::CAPABILITY,
    devices::CAPABILITY,
    memo::CAPABILITY,
];

/// The capability of this name, if plugins of this world are offered it.
#[must_use]
pub fn find(interface: &str, world: World) -> Option<&'static Capability> {
    ALL.iter().find(|capability| capability.interface == interface && capability.worlds.contains(&world))
}

/// Links what a component imports, as far as its world is offered it.
///
/// # Errors
///
/// Those of wasmtime.
pub fn link(linker: &mut Linker<State>, component: &Component, world: World) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    for (name, _) in component.component_type().imports(&engine) {
        if let Some(capability) = find(name, world) {
            (capability.link)(linker)?;
        }
    }
    Ok(())
}
