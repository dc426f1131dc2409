//! What a capability is: an interface of the WIT, as the host offers it.

use wasmtime::component::Linker;

use crate::{
    abilities::Abilities,
    grants::{Grants, table::PluginTable},
    needs::Needs,
    state::State,
    world::World,
};

/// An interface of the WIT that plugins may import. Everything that the host has to know of it follows from here: what a
/// component is linked with, what `inspect` says of it, and what the process leaves open for it.
#[derive(Clone, Copy)]
pub struct Capability {
    /// With its package and version: `wasm-cni:net/net@0.1.0`.
    pub interface: &'static str,
    /// Plugins of these worlds are offered it.
    pub worlds: &'static [World],
    /// Puts its functions into a linker.
    pub link: fn(&mut Linker<State>) -> wasmtime::Result<()>,
    /// Whether a table of the policy grants anything of it.
    pub granted: fn(&PluginTable) -> bool,
    /// Says what a plugin with these grants can do by it. The flag: whether the plugin imports it.
    pub abilities: fn(&PluginTable, bool, &mut Abilities),
    /// What it needs of the system (Landlock, seccomp), beyond netlink.
    pub needs: fn(&Grants, &mut Needs),
}

impl std::fmt::Debug for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.interface)
    }
}
