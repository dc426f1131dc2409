//! Finding plugins and loading them; what is kept from call to call.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

use wasm_cni_bundled::Bundled;
use wasmtime::{
    Engine,
    component::{Component, ComponentExportIndex, InstancePre, Linker},
};

use crate::{
    bindings::{delegate, devices, log, masquerade, net, random, resolver, spoof_check, store},
    compiled,
    error::CniError,
    host::{
        State,
        traced::{self, Traced},
        wasi,
    },
    inspect,
    limits::Limits,
    native::Exec,
    policy::Policy,
    progress::ProgressSink,
    trace::Trace,
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

/// Where the standard error of native plugins goes.
pub(crate) type StderrSink = Box<dyn Fn(&[u8]) + Send + Sync>;

/// What a type stands for.
pub(crate) enum Found {
    Component(Arc<Plugin>),
    Native(PathBuf),
}

/// Where a plugin comes from; see [`crate::Runtime::locate`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// Part of this program.
    Bundled {
        /// SHA-256 of the component, in hexadecimal.
        digest: &'static str,
        /// Octets of the component.
        size: usize,
    },
    /// A component in a plugin folder.
    Component(PathBuf),
    /// What `wasm-cni-compile` made of a component, in a plugin folder.
    Compiled(PathBuf),
    /// An executable in a plugin folder.
    Native(PathBuf),
}

impl From<&'static Bundled> for Location {
    fn from(plugin: &'static Bundled) -> Self {
        Self::Bundled { digest: plugin.digest, size: plugin.size }
    }
}

/// What a [`crate::Runtime`] keeps.
pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) plugin_dirs: Vec<PathBuf>,
    pub(crate) root: PathBuf,
    pub(crate) compiler: Option<PathBuf>,
    pub(crate) allow_host: Vec<String>,
    /// What operators have said, or what is wrong with it.
    pub(crate) policy: Result<Policy, CniError>,
    pub(crate) log: LogSink,
    pub(crate) progress: ProgressSink,
    pub(crate) trace: Trace,
    /// How native plugins are found and run, with which environment.
    pub(crate) exec: Arc<dyn Exec>,
    pub(crate) env: Vec<(OsString, OsString)>,
    /// CNI_PATH as it was given.
    pub(crate) plugin_path: OsString,
    /// Does this process serve one call, and nothing else?
    pub(crate) own_process: bool,
    /// Native plugins go before components of the same name.
    pub(crate) prefer_native: bool,
    /// Where the standard error of native plugins that succeed goes.
    pub(crate) stderr: StderrSink,
    pub(crate) loaded: Mutex<HashMap<String, Result<Arc<Plugin>, CniError>>>,
    pub(crate) interface: OnceLock<Linker<State>>,
    pub(crate) ipam: OnceLock<Linker<State>>,
}

/// A plugin, loaded.
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) bundled: bool,
    pub(crate) world: World,
    pub(crate) component: Component,
    /// What it is linked with, if it imports WASI: that is made for each.
    pub(crate) wasi: Option<Linker<State>>,
    /// SHA-256 of the file, if it is no part of this program.
    pub(crate) digest: Option<String>,
    linked: OnceLock<Linked>,
}

impl Plugin {
    /// What its instances are made of.
    ///
    /// # Errors
    ///
    /// That it imports what it is not offered, or does not export what it must.
    pub(crate) fn linked(&self, runtime: &Inner) -> wasmtime::Result<&Linked> {
        if let Some(linked) = self.linked.get() {
            return Ok(linked);
        }
        let linker = self.wasi.as_ref().map_or_else(|| runtime.linker(self.world), Ok)?;
        let linked = Linked {
            instance: linker.instantiate_pre(&self.component)?,
            exports: Exports::of(self.world, &self.component)?,
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
        })
    }
}

/// Which of `wit/plugin.wit`'s worlds it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    Interface,
    Ipam,
}

impl World {
    /// The interface that components of it export.
    fn export(self) -> &'static str {
        match self {
            Self::Interface => "wasm-cni:plugin/plugin@0.1.0",
            Self::Ipam => "wasm-cni:plugin/ipam@0.1.0",
        }
    }
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
    /// What a type stands for: a bundled plugin; else, folder by folder in
    /// their order, native code `TYPE.cwasm`, the component `TYPE.wasm` or the
    /// executable `TYPE`.
    ///
    /// # Errors
    ///
    /// The reference's texts if there is none; why it cannot be loaded.
    pub(crate) fn find(&self, kind: &str) -> Result<Found, CniError> {
        Ok(match self.locate(kind)? {
            Location::Native(path) => Found::Native(path),
            location => Found::Component(self.load(kind, &location)?),
        })
    }

    /// The same, without loading it.
    pub(crate) fn locate(&self, kind: &str) -> Result<Location, CniError> {
        check_name(kind)?;
        let native = |folders: &[PathBuf]| self.exec.find(kind, folders).map(Location::Native);
        if self.prefer_native
            && let Some(found) = native(&self.plugin_dirs)
        {
            return Ok(found);
        }
        if let Some(bundled) = wasm_cni_bundled::find(kind) {
            return Ok(bundled.into());
        }
        let in_folder = |folder: &PathBuf| {
            let file = |suffix: &str| Some(folder.join(format!("{kind}.{suffix}"))).filter(|path| path.is_file());
            let compiled = || file("cwasm").map(Location::Compiled);
            let component = || file("wasm").map(Location::Component);
            compiled().or_else(component).or_else(|| native(std::slice::from_ref(folder)))
        };
        self.plugin_dirs.iter().find_map(in_folder).ok_or_else(|| {
            if self.plugin_dirs.is_empty() {
                return CniError::internal("no paths provided");
            }
            CniError::internal(format!("failed to find plugin {kind:?} in path [{}]", self.path()))
        })
    }

    /// Every type that there is, with its sources in the order of [`Inner::locate`].
    pub(crate) fn plugins(&self) -> Vec<(String, Vec<Location>)> {
        let mut all: BTreeMap<String, Vec<Location>> = BTreeMap::new();
        for bundled in wasm_cni_bundled::PLUGINS {
            all.entry(bundled.name.to_owned()).or_default().push(bundled.into());
        }
        for folder in &self.plugin_dirs {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            let mut names: Vec<_> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
            names.sort_by_key(|name| (!name.ends_with(".cwasm"), !name.ends_with(".wasm")));
            for name in names {
                let path = folder.join(&name);
                if let Some(kind) = name.strip_suffix(".cwasm") {
                    all.entry(kind.to_owned()).or_default().push(Location::Compiled(path));
                } else if let Some(kind) = name.strip_suffix(".wasm") {
                    all.entry(kind.to_owned()).or_default().push(Location::Component(path));
                } else if is_executable(&path) {
                    all.entry(name).or_default().push(Location::Native(path));
                }
            }
        }
        for locations in all.values_mut() {
            // Stable: within a kind the order of the folders stays.
            let native = |location: &Location| matches!(location, Location::Native(_));
            locations.sort_by_key(|location| self.prefer_native && !native(location));
        }
        all.into_iter().collect()
    }

    /// A plugin of this program: what it is called as.
    pub(crate) fn bundled(&self, kind: &str) -> Result<Arc<Plugin>, CniError> {
        match wasm_cni_bundled::find(kind) {
            Some(bundled) => self.load(kind, &bundled.into()),
            None => Err(CniError::internal(format!("plugin {kind:?} is not part of this program"))),
        }
    }

    fn load(&self, kind: &str, location: &Location) -> Result<Arc<Plugin>, CniError> {
        if let Some(plugin) = self.loaded.lock().expect("no panic with the lock held").get(kind) {
            return plugin.clone();
        }
        let load = || {
            let component = self.component(kind, location)?;
            let world = world(kind, &component)?;
            let digest = match location {
                Location::Component(path) | Location::Compiled(path) => Some(inspect::digest(path)?.1),
                Location::Bundled { .. } | Location::Native(_) => None,
            };
            let bundled = digest.is_none();
            // Bundled ones import none, and need not be asked.
            let wasi = if bundled { None } else { self.wasi_linker(world, &component)? };
            let linked = OnceLock::new();
            Ok(Arc::new(Plugin { name: kind.to_owned(), bundled, world, component, wasi, digest, linked }))
        };
        let plugin = load();
        // A process of one call tries once, before it gives up being able to.
        if plugin.is_ok() || self.own_process {
            let mut loaded = self.loaded.lock().expect("no panic with the lock held");
            loaded.insert(kind.to_owned(), plugin.clone());
        }
        plugin
    }

    /// The component of a plugin, of whichever world.
    pub(crate) fn component(&self, kind: &str, location: &Location) -> Result<Component, CniError> {
        match (location, wasm_cni_bundled::find(kind)) {
            (Location::Bundled { .. }, Some(bundled)) => compiled::bundled(&self.engine, bundled),
            (Location::Component(path), _) => compiled::outside(self, kind, path),
            (Location::Compiled(path), _) => compiled::ahead(&self.engine, kind, path),
            _ => Err(CniError::internal(format!("plugin {kind:?} is no component"))),
        }
    }

    /// What a component that imports WASI is linked with.
    pub(crate) fn wasi_linker(&self, world: World, component: &Component) -> Result<Option<Linker<State>>, CniError> {
        let linked = self.linker(world).and_then(|base| wasi::linker(base, &self.engine, component));
        linked.map_err(|e| CniError::internal(format!("cannot link: {e:#}")))
    }

    /// What others of this world are linked with.
    pub(crate) fn linker(&self, world: World) -> wasmtime::Result<&Linker<State>> {
        match world {
            World::Interface => self.interface_linker(),
            World::Ipam => self.ipam_linker(),
        }
    }

    fn path(&self) -> String {
        let folders: Vec<_> = self.plugin_dirs.iter().map(|folder| folder.display().to_string()).collect();
        folders.join(" ")
    }

    /// A location of ours below the root that was set.
    pub(crate) fn under_root(&self, path: impl AsRef<Path>) -> PathBuf {
        under(&self.root, path.as_ref())
    }

    /// The functions that a plugin with namespaces can import, and no others.
    fn interface_linker(&self) -> wasmtime::Result<&Linker<State>> {
        if let Some(linker) = self.interface.get() {
            return Ok(linker);
        }
        let mut linker = Linker::new(&self.engine);
        net::add_to_linker::<_, traced::Link>(&mut linker, |state| Traced(state))?;
        masquerade::add_to_linker::<_, traced::Link>(&mut linker, |state| Traced(state))?;
        spoof_check::add_to_linker::<_, traced::Link>(&mut linker, |state| Traced(state))?;
        devices::add_to_linker::<_, traced::Link>(&mut linker, |state| Traced(state))?;
        delegate::add_to_linker::<_, traced::Link>(&mut linker, |state| Traced(state))?;
        log::add_to_linker::<_, traced::Link>(&mut linker, |state| Traced(state))?;
        random::add_to_linker::<_, traced::Link>(&mut linker, |state| Traced(state))?;
        Ok(self.interface.get_or_init(|| linker))
    }

    /// The functions that an IPAM plugin can import, and no others.
    fn ipam_linker(&self) -> wasmtime::Result<&Linker<State>> {
        if let Some(linker) = self.ipam.get() {
            return Ok(linker);
        }
        let mut linker = Linker::new(&self.engine);
        store::add_to_linker::<_, traced::Link>(&mut linker, |state| Traced(state))?;
        log::add_to_linker::<_, traced::Link>(&mut linker, |state| Traced(state))?;
        resolver::add_to_linker::<_, traced::Link>(&mut linker, |state| Traced(state))?;
        Ok(self.ipam.get_or_init(|| linker))
    }
}

/// A path of ours, below a root.
pub(crate) fn under(root: &Path, path: &Path) -> PathBuf {
    if root == Path::new("/") {
        return path.to_owned();
    }
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

pub(crate) fn world(kind: &str, component: &Component) -> Result<World, CniError> {
    let worlds = [World::Interface, World::Ipam];
    let exported = |world: &World| component.get_export_index(None, world.export()).is_some();
    worlds.into_iter().find(exported).ok_or_else(|| {
        let [plugin, ipam] = worlds.map(World::export);
        CniError::internal(format!("plugin {kind:?} exports neither {plugin} nor {ipam}"))
    })
}
