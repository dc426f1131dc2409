//! Loading plugins, each once.

use std::sync::{Arc, OnceLock};

use wasm_cni_capabilities::world::World;
use wasm_cni_spec::error::{CniError, ErrorKind};
use wasmtime::component::Component;

use super::{Location, Plugin, compiled};
use crate::{digest::digest, host::Host, options::CallOptions};

impl Host {
    pub(super) fn load(&self, kind: &str, location: &Location, options: &CallOptions) -> Result<Arc<Plugin>, CniError> {
        if let Some(plugin) = self.loaded.lock().expect("no panic with the lock held").get(kind) {
            return plugin.clone();
        }
        let load = || {
            let component = self.component(kind, location, options)?;
            let world = world(kind, &component)?;
            let (bundled, digest) = match location {
                Location::Component(path) | Location::Compiled(path) => (None, Some(digest(path)?.1)),
                Location::Bundled { .. } | Location::Native(_) => (self.bundled(kind), None),
            };
            let (table, linked) = (OnceLock::new(), OnceLock::new());
            Ok(Arc::new(Plugin { name: kind.to_owned(), bundled, world, component, digest, table, linked }))
        };
        let plugin = load();
        // A process of one call tries once, before it gives up being able to.
        if plugin.is_ok() || self.context.own_process {
            let mut loaded = self.loaded.lock().expect("no panic with the lock held");
            loaded.insert(kind.to_owned(), plugin.clone());
        }
        plugin
    }

    /// The component of a plugin, of whichever world, compiled within the call's time.
    pub(crate) fn component(
        &self,
        kind: &str,
        location: &Location,
        options: &CallOptions,
    ) -> Result<Component, CniError> {
        match (location, self.bundled(kind)) {
            (Location::Bundled { .. }, Some(bundled)) => compiled::bundled(&self.engine, bundled),
            (Location::Component(path), _) => compiled::outside(self, kind, path, options),
            (Location::Compiled(path), _) => compiled::ahead(&self.engine, kind, path),
            _ => {
                let error = CniError::internal(format!("plugin {kind:?} is not a component"));
                Err(error.of_kind(ErrorKind::NoPlugin).in_plugin(kind))
            }
        }
    }
}

/// The world that a component is of.
///
/// # Errors
///
/// If it is of none.
pub(crate) fn world(kind: &str, component: &Component) -> Result<World, CniError> {
    let worlds = World::ALL;
    let exported = |world: &World| component.get_export_index(None, world.export()).is_some();
    worlds.into_iter().find(exported).ok_or_else(|| {
        let [plugin, ipam] = worlds.map(World::export);
        let error = CniError::internal(format!("plugin {kind:?} exports neither {plugin} nor {ipam}"));
        error.of_kind(ErrorKind::NoPlugin).in_plugin(kind)
    })
}
