//! Loading plugins, each once.

use std::sync::{Arc, OnceLock};

use wasm_cni_capabilities::world::World;
use wasm_cni_spec::error::{CniError, ErrorKind};
use wasmtime::component::Component;

use super::{Location, Plugin, compiled, plugin::Code};
use crate::{digest::digest, host::Host, options::CallOptions};

impl Host {
    pub(super) fn load(&self, kind: &str, location: &Location, options: &CallOptions) -> Result<Arc<Plugin>, CniError> {
        if let Some(plugin) = self.loaded.lock().expect("no panic with the lock held").get(kind) {
            return plugin.clone();
        }
        let load = || {
            let code = self.code(kind, location, options)?;
            let world = world(kind, &code.component)?;
            let (bundled, digest) = match location {
                Location::Component(path) | Location::Compiled(path) => (None, Some(digest(path)?.1)),
                Location::Bundled { .. } | Location::Native(_) => (self.bundled(kind), None),
            };
            Ok(Arc::new(Plugin { name: kind.to_owned(), bundled, world, code, digest, table: OnceLock::new() }))
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
    pub(crate) fn code(&self, kind: &str, location: &Location, options: &CallOptions) -> Result<Arc<Code>, CniError> {
        match (location, self.bundled(kind)) {
            (Location::Bundled { .. }, Some(bundled)) => compiled::bundled(&self.engine, bundled),
            (Location::Component(path), _) => Ok(Arc::new(compiled::outside(self, kind, path, options)?.into())),
            (Location::Compiled(path), _) => Ok(Arc::new(compiled::ahead(&self.engine, kind, path)?.into())),
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

#[cfg(test)]
mod tests {
    use std::ptr;

    use crate::Runtime;

    use super::*;

    #[test]
    fn plugins_of_one_component_are_loaded_and_linked_once() {
        let host = Runtime::builder().bundled(wasm_cni_bundled::PLUGINS).build().unwrap().host;
        let load = |kind: &str| host.part_of_program(kind).unwrap();
        let [bridge, ptp, loopback] = ["bridge", "ptp", "loopback"].map(load);
        assert!(Arc::ptr_eq(&bridge.code, &ptp.code) && !Arc::ptr_eq(&bridge.code, &loopback.code));
        let linked = |plugin: &Plugin| ptr::from_ref(plugin.code.linked(&host.engine, plugin.world).unwrap());
        assert_eq!(linked(&bridge), linked(&ptp));
        assert_eq!((&*bridge.name, &*ptp.name), ("bridge", "ptp"));
    }
}
