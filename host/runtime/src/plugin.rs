//! Finding plugins and loading them; what is kept from call to call.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

use wasmtime::{
    Engine,
    component::{Component, HasSelf, Linker},
};

use crate::{
    bindings::{delegate, log, net, random, resolver, store},
    compiled,
    error::CniError,
    host::State,
    limits::Limits,
};

/// A command of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Attach.
    Add,
    /// Detach.
    Del,
    /// Is it still as ADD left it?
    Check,
    /// Remove what belongs to no valid attachment.
    Gc,
    /// Is the plugin ready for ADD?
    Status,
    /// Which versions does it speak?
    Version,
}

impl Command {
    /// The command of this name, exact and in upper case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Add, Self::Del, Self::Check, Self::Gc, Self::Status, Self::Version]
            .into_iter()
            .find(|command| command.name() == name)
    }

    /// As CNI_COMMAND has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A line that a plugin logged.
#[derive(Debug)]
pub struct LogLine<'a> {
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: &'a str,
    /// The plugin.
    pub plugin: &'a str,
    /// The network's name.
    pub network: &'a str,
    /// The container.
    pub container_id: &'a str,
    /// The text, on one line.
    pub message: &'a str,
}

/// Where log lines go.
pub(crate) type LogSink = Box<dyn Fn(&LogLine<'_>) + Send + Sync>;

/// What a [`crate::Runtime`] keeps.
pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) plugin_dirs: Vec<PathBuf>,
    pub(crate) root: PathBuf,
    pub(crate) compiler: Option<PathBuf>,
    pub(crate) allow_host: Vec<String>,
    pub(crate) log: LogSink,
    pub(crate) loaded: Mutex<HashMap<String, Arc<Plugin>>>,
    pub(crate) interface: OnceLock<Linker<State>>,
    pub(crate) ipam: OnceLock<Linker<State>>,
}

/// A plugin, loaded.
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) bundled: bool,
    pub(crate) world: World,
    pub(crate) component: Component,
}

/// Which of `wit/plugin.wit`'s worlds it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    Interface,
    Ipam,
}

/// That a type is a name and no path.
///
/// # Errors
///
/// The reference's texts.
pub(crate) fn check_name(kind: &str) -> Result<(), CniError> {
    if kind.is_empty() {
        return Err(CniError::internal("no plugin name provided"));
    }
    if kind.contains('/') || kind == "." || kind == ".." || kind.contains('\0') {
        return Err(CniError::internal(format!("invalid plugin name: {kind}")));
    }
    Ok(())
}

impl Inner {
    /// The plugin of this type: a bundled one, else `TYPE.wasm` in the plugin
    /// folders, in their order.
    ///
    /// # Errors
    ///
    /// The reference's texts if there is none; why it cannot be loaded.
    pub(crate) fn resolve(&self, kind: &str) -> Result<Arc<Plugin>, CniError> {
        check_name(kind)?;
        if let Some(plugin) = self.loaded.lock().expect("no panic with the lock held").get(kind) {
            return Ok(Arc::clone(plugin));
        }
        let (component, bundled) = match wasm_cni_bundled::find(kind) {
            Some(bundled) => (compiled::bundled(&self.engine, bundled)?, true),
            None => (compiled::outside(self, kind, &self.find(kind)?)?, false),
        };
        let world = world(kind, &component)?;
        let plugin = Arc::new(Plugin { name: kind.to_owned(), bundled, world, component });
        let mut loaded = self.loaded.lock().expect("no panic with the lock held");
        loaded.insert(kind.to_owned(), Arc::clone(&plugin));
        Ok(plugin)
    }

    fn find(&self, kind: &str) -> Result<PathBuf, CniError> {
        let file = format!("{kind}.wasm");
        let found = self.plugin_dirs.iter().map(|folder| folder.join(&file)).find(|path| path.is_file());
        found.ok_or_else(|| {
            let error = CniError::internal(format!("failed to find plugin {kind:?} in path [{}]", self.path()));
            // The likeliest reason, and one that the message does not give away.
            match self.plugin_dirs.iter().map(|folder| folder.join(kind)).find(|path| path.is_file()) {
                Some(native) => error.note(&format!(
                    "{} is a native executable; this host runs WebAssembly components ({file})",
                    native.display()
                )),
                None => error,
            }
        })
    }

    fn path(&self) -> String {
        let folders: Vec<_> = self.plugin_dirs.iter().map(|folder| folder.display().to_string()).collect();
        folders.join(" ")
    }

    /// A location of ours below the root that was set.
    pub(crate) fn under_root(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        if self.root == Path::new("/") {
            return path.to_owned();
        }
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The functions that a plugin with namespaces can import, and no others.
    pub(crate) fn interface_linker(&self) -> wasmtime::Result<&Linker<State>> {
        if let Some(linker) = self.interface.get() {
            return Ok(linker);
        }
        let mut linker = Linker::new(&self.engine);
        net::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        delegate::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        log::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        random::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        Ok(self.interface.get_or_init(|| linker))
    }

    /// The functions that an IPAM plugin can import, and no others.
    pub(crate) fn ipam_linker(&self) -> wasmtime::Result<&Linker<State>> {
        if let Some(linker) = self.ipam.get() {
            return Ok(linker);
        }
        let mut linker = Linker::new(&self.engine);
        store::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        log::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        resolver::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        Ok(self.ipam.get_or_init(|| linker))
    }
}

fn world(kind: &str, component: &Component) -> Result<World, CniError> {
    let exports = |name: &str| component.get_export_index(None, name).is_some();
    if exports("wasm-cni:plugin/plugin@0.1.0") {
        Ok(World::Interface)
    } else if exports("wasm-cni:plugin/ipam@0.1.0") {
        Ok(World::Ipam)
    } else {
        let text =
            format!("plugin {kind:?} exports neither wasm-cni:plugin/plugin@0.1.0 nor wasm-cni:plugin/ipam@0.1.0");
        Err(CniError::internal(text))
    }
}
