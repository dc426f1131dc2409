//! What a plugin is, and what it can do: its imports are the upper bound, and of
//! these only what it has grants for.

use std::path::Path;

use wasm_cni_capabilities::state::State;
use wasm_cni_spec::error::CniError;
use wasmtime::component::{Component, Linker, types::ComponentItem};

use crate::{
    abilities::abilities,
    digest::digest,
    grants::grant_table,
    host::Host,
    options::CallOptions,
    plugins::{Location, linker, world},
    runtime::Runtime,
};

/// What a plugin is, and what it can do here; see [`Runtime::inspect`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspected {
    /// Its type.
    pub kind: String,
    /// Where it comes from.
    pub location: Location,
    /// Bytes of the file, or of the bundled component.
    pub size: u64,
    /// SHA-256 of the same, in hexadecimal.
    pub digest: String,
    /// Other bundled plugins that are in the same component: what it imports is for all of them, each with the grants of its
    /// own.
    pub shared_with: Vec<&'static str>,
    /// The world of `wasm-cni:plugin` that it is of; none if it is not a component,
    /// or of no such world.
    pub world: Option<&'static str>,
    /// What it asks of the host.
    pub imports: Vec<Interface>,
    /// What it offers.
    pub exports: Vec<Interface>,
    /// Why it will not run; none if it will.
    pub refused: Option<String>,
    /// What it can do with the grants that it has, for people.
    pub can: Vec<String>,
    /// What it cannot do, for people.
    pub cannot: Vec<String>,
}

/// An interface of the WIT.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// With its package and version: `wasm-cni:net/net@0.1.0`.
    pub name: String,
    /// The functions that the plugin uses, or has.
    pub functions: Vec<String>,
    /// Whether the host has it; of an export, whether the host calls it.
    pub offered: bool,
}

impl Runtime {
    /// What a plugin is and can do. `plugin` is a type or, with a slash or the
    /// ending `.wasm` or `.cwasm`, a path. One from a `.wasm` file is compiled
    /// for it, if it has not been yet; none is run.
    ///
    /// # Errors
    ///
    /// If there is no such plugin, it cannot be loaded, or the policy cannot be
    /// read.
    pub fn inspect(&self, plugin: &str) -> Result<Inspected, CniError> {
        let (kind, location) = self.find_for_inspection(plugin)?;
        let (size, digest) = match &location {
            Location::Bundled { digest, size } => (*size as u64, (*digest).to_owned()),
            Location::Component(path) | Location::Compiled(path) | Location::Native(path) => digest(path)?,
        };
        let inspected = Inspected {
            kind,
            location,
            size,
            digest,
            shared_with: Vec::new(),
            world: None,
            imports: Vec::new(),
            exports: Vec::new(),
            refused: None,
            can: Vec::new(),
            cannot: Vec::new(),
        };
        if let Location::Native(_) = inspected.location {
            let can = vec!["everything that the user can who runs it: it is a process, not a component".to_owned()];
            return Ok(Inspected { can, ..inspected });
        }
        let mut inspected = inspect(&self.host, inspected)?;
        if let Location::Bundled { .. } = inspected.location {
            inspected.shared_with = self.host.in_component_of(&inspected.kind);
        }
        for interface in inspected.imports.iter_mut().chain(&mut inspected.exports) {
            interface.functions.iter_mut().for_each(|name| *name = function_name(name));
        }
        Ok(inspected)
    }

    fn find_for_inspection(&self, plugin: &str) -> Result<(String, Location), CniError> {
        let path = Path::new(plugin);
        let extension = path.extension().and_then(|extension| extension.to_str());
        if !plugin.contains('/') && !matches!(extension, Some("wasm" | "cwasm")) {
            return Ok((plugin.to_owned(), self.locate(plugin)?));
        }
        let kind = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let location = match extension {
            Some("wasm") => Location::Component(path.to_owned()),
            Some("cwasm") => Location::Compiled(path.to_owned()),
            _ => Location::Native(path.to_owned()),
        };
        Ok((kind, location))
    }
}

fn inspect(host: &Host, inspected: Inspected) -> Result<Inspected, CniError> {
    let kind = inspected.kind.as_str();
    let code = host.code(kind, &inspected.location, &CallOptions::default())?;
    let component = &code.component;
    let ty = component.component_type();
    let exports = ty.exports(&host.engine).map(|(name, item)| interface(host, name, &item.ty));
    let mut exports: Vec<_> = exports.collect();
    let imports = ty.imports(&host.engine).map(|(name, item)| interface(host, name, &item.ty));
    // What has no functions is types for others.
    let imports = imports.filter(|import: &Interface| !import.functions.is_empty());
    let mut imports: Vec<_> = imports.collect();
    let world = match world(kind, component) {
        Ok(world) => world,
        Err(error) => return Ok(Inspected { imports, exports, refused: Some(error.msg), ..inspected }),
    };
    let linker = linker(&host.engine, component, world);
    let linker = linker.map_err(|e| CniError::internal(format!("cannot link: {e:#}")))?;
    let name = world.name();
    exports.iter_mut().for_each(|export| export.offered = export.name == world.export());
    let refused = refused(&linker, component, &mut imports, name);
    let table =
        grant_table(host, kind, host.bundled(kind).filter(|_| matches!(inspected.location, Location::Bundled { .. })))?;
    let imported: Vec<&str> = imports.iter().map(|import| &*import.name).collect();
    let (can, cannot) = match refused {
        None => abilities(world, &table, &imported, &host.context.limits),
        Some(_) => Default::default(),
    };
    Ok(Inspected { world: Some(name), imports, exports, refused, can, cannot, ..inspected })
}

fn interface(host: &Host, name: &str, item: &ComponentItem) -> Interface {
    let functions = match item {
        ComponentItem::ComponentInstance(instance) => instance
            .exports(&host.engine)
            .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
            .map(|(name, _)| name.to_owned())
            .collect(),
        ComponentItem::ComponentFunc(_) => vec![name.to_owned()],
        _ => Vec::new(),
    };
    Interface { name: name.to_owned(), functions, offered: false }
}

/// `[method]transaction.get` as `transaction.get`.
fn function_name(name: &str) -> String {
    name.rsplit(']').next().unwrap_or(name).to_owned()
}

/// Why it cannot be linked. Says of each import whether it could.
fn refused(linker: &Linker<State>, component: &Component, imports: &mut [Interface], world: &str) -> Option<String> {
    let error = linker.instantiate_pre(component).err();
    for import in &mut *imports {
        // A linker without shadowing takes no function twice.
        let has = |function: &String| {
            let mut linker = linker.clone();
            let mut instance = linker.instance(&import.name).ok()?;
            instance.func_new(function, |_, _, _, _| Ok(())).err()
        };
        import.offered = error.is_none() || import.functions.iter().all(|function| has(function).is_some());
    }
    let error = error?;
    let missing: Vec<_> = imports.iter().filter(|import| !import.offered).map(|import| &*import.name).collect();
    Some(match missing.is_empty() {
        true => format!("{error:#}"),
        false => format!("the host offers no {} to an {world}", missing.join(", ")),
    })
}
