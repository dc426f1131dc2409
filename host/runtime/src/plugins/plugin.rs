//! A plugin that is loaded, and what its instances are made of.

use std::sync::{Arc, OnceLock};

use wasm_cni_capabilities::{grants::table::PluginTable, state::State, table, world::World};
use wasm_cni_engine::Bundled;
use wasmtime::{
    Engine,
    component::{Component, ComponentExportIndex, InstancePre, Linker},
};

/// A plugin, loaded.
pub(crate) struct Plugin {
    pub(crate) name: String,
    /// What this program says of it, if it is part of it.
    pub(crate) bundled: Option<&'static Bundled>,
    pub(crate) world: World,
    pub(crate) code: Arc<Code>,
    /// SHA-256 of the file, if it is not part of this program.
    pub(crate) digest: Option<String>,
    /// Its grants, by itself and as the policy says.
    pub(crate) table: OnceLock<PluginTable>,
}

/// A component, loaded. Several plugins of this program are in one.
pub(crate) struct Code {
    pub(crate) component: Component,
    linked: OnceLock<Linked>,
}

impl From<Component> for Code {
    fn from(component: Component) -> Self {
        Self { component, linked: OnceLock::new() }
    }
}

impl Code {
    /// What its instances are made of.
    ///
    /// # Errors
    ///
    /// That it imports what it is not offered, or does not export what it must.
    pub(crate) fn linked(&self, engine: &Engine, world: World) -> wasmtime::Result<&Linked> {
        if let Some(linked) = self.linked.get() {
            return Ok(linked);
        }
        let linked = Linked {
            instance: linker(engine, &self.component, world)?.instantiate_pre(&self.component)?,
            exports: Exports::of(world, &self.component)?,
        };
        Ok(self.linked.get_or_init(|| linked))
    }
}

/// A component with all that it imports, found to be of the right types.
pub(crate) struct Linked {
    pub(crate) instance: InstancePre<State>,
    pub(crate) exports: Exports,
}

/// Where the functions are that both worlds have.
pub(crate) struct Exports {
    pub(crate) add: ComponentExportIndex,
    pub(crate) check: ComponentExportIndex,
    pub(crate) del: ComponentExportIndex,
    pub(crate) status: ComponentExportIndex,
    pub(crate) gc: ComponentExportIndex,
    pub(crate) validate: ComponentExportIndex,
}

impl Exports {
    fn of(world: World, component: &Component) -> wasmtime::Result<Self> {
        let name = world.export();
        let missing = || wasmtime::Error::msg(format!("it does not export {name} whole"));
        let interface = component.get_export_index(None, name).ok_or_else(missing)?;
        let function = |name| component.get_export_index(Some(&interface), name).ok_or_else(missing);
        Ok(Self {
            add: function("add")?,
            check: function("check")?,
            del: function("del")?,
            status: function("status")?,
            gc: function("gc")?,
            validate: function("validate")?,
        })
    }
}

/// What a component is linked with: what it imports of what its world is offered, and nothing else.
///
/// # Errors
///
/// Those of wasmtime.
pub(crate) fn linker(engine: &Engine, component: &Component, world: World) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    table::link(&mut linker, component, world)?;
    wasm_cni_wasi::link(&mut linker, component)?;
    Ok(linker)
}
