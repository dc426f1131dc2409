//! Where a plugin type resolves to: a bundled plugin, a component or an executable.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use wasm_cni_engine::Bundled;
use wasm_cni_spec::{
    error::{CniError, ErrorKind},
    names::check_plugin_type,
};

use super::Plugin;
use crate::{host::Host, options::CallOptions};

/// Where a plugin type resolves to, loaded.
#[derive(Clone)]
pub(crate) enum Found {
    Component(Arc<Plugin>),
    Native(PathBuf),
}

/// Where a plugin type resolves to; see [`crate::Runtime::locate`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// Part of this program.
    Bundled {
        /// SHA-256 of the component, in hexadecimal.
        digest: &'static str,
        /// Bytes of the component.
        size: usize,
    },
    /// A component in a plugin directory.
    Component(PathBuf),
    /// What `wasm-cni-compile` made of a component, in a plugin directory.
    Compiled(PathBuf),
    /// An executable in a plugin directory.
    Native(PathBuf),
}

impl From<&'static Bundled> for Location {
    fn from(plugin: &'static Bundled) -> Self {
        Self::Bundled { digest: plugin.digest, size: plugin.size }
    }
}

impl Host {
    /// What a type stands for: a bundled plugin; else, directory by directory in
    /// their order, native code `TYPE.cwasm`, the component `TYPE.wasm` or the
    /// executable `TYPE`.
    ///
    /// # Errors
    ///
    /// The reference's texts if there is none; why it cannot be loaded.
    pub(crate) fn find(&self, kind: &str) -> Result<Found, CniError> {
        self.find_within(kind, &CallOptions::default())
    }

    /// The same. What has to be compiled is compiled within the call's time.
    pub(crate) fn find_within(&self, kind: &str, options: &CallOptions) -> Result<Found, CniError> {
        Ok(match self.locate(kind)? {
            Location::Native(path) => Found::Native(path),
            location => Found::Component(self.load(kind, &location, options)?),
        })
    }

    /// The same, without loading it.
    pub(crate) fn locate(&self, kind: &str) -> Result<Location, CniError> {
        check_plugin_type(kind)?;
        let native = |directories: &[PathBuf]| self.context.exec.find(kind, directories).map(Location::Native);
        if self.prefer_native
            && let Some(found) = native(&self.plugin_dirs)
        {
            return Ok(found);
        }
        if let Some(bundled) = self.bundled(kind) {
            return Ok(bundled.into());
        }
        let in_directory = |directory: &PathBuf| {
            let file = |suffix: &str| Some(directory.join(format!("{kind}.{suffix}"))).filter(|path| path.is_file());
            let compiled = || file("cwasm").map(Location::Compiled);
            let component = || file("wasm").map(Location::Component);
            compiled().or_else(component).or_else(|| native(std::slice::from_ref(directory)))
        };
        self.plugin_dirs.iter().find_map(in_directory).ok_or_else(|| {
            let text = match self.plugin_dirs.is_empty() {
                true => "no paths provided".to_owned(),
                false => format!("failed to find plugin {kind:?} in path [{}]", self.path()),
            };
            let error = CniError::internal(text).of_kind(ErrorKind::NoPlugin).in_plugin(kind);
            error.hinting(&self.hint_for_missing(kind))
        })
    }

    fn hint_for_missing(&self, kind: &str) -> String {
        let plugins = self.plugins();
        let similar = plugins.iter().map(|(name, _)| (strsim::damerau_levenshtein(name, kind), name));
        let places = match self.plugin_dirs.is_empty() {
            true => "there are no plugin directories to search",
            false => "it is not in these directories",
        };
        match similar.min().filter(|(distance, name)| *distance <= 2.max(name.len() / 4)) {
            Some((_, name)) => format!("did you mean {name:?}?"),
            None => format!("plugin {kind:?} is not bundled, and {places}"),
        }
    }

    /// Every type that there is, with its sources in the order of [`Host::locate`].
    pub(crate) fn plugins(&self) -> Vec<(String, Vec<Location>)> {
        let mut all: BTreeMap<String, Vec<Location>> = BTreeMap::new();
        for bundled in self.bundled {
            all.entry(bundled.name.to_owned()).or_default().push(bundled.into());
        }
        for directory in &self.plugin_dirs {
            let Ok(entries) = std::fs::read_dir(directory) else { continue };
            let mut names: Vec<_> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
            names.sort_by_key(|name| (!name.ends_with(".cwasm"), !name.ends_with(".wasm")));
            for name in names {
                let path = directory.join(&name);
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
            // Stable: within a kind the order of the directories stays.
            let native = |location: &Location| matches!(location, Location::Native(_));
            locations.sort_by_key(|location| self.prefer_native && !native(location));
        }
        all.into_iter().collect()
    }

    /// The bundled plugin of this type.
    pub(crate) fn bundled(&self, kind: &str) -> Option<&'static Bundled> {
        self.bundled.iter().find(|plugin| plugin.name == kind)
    }

    /// The other bundled plugins in the component of this one.
    pub(crate) fn in_component_of(&self, kind: &str) -> Vec<&'static str> {
        let Some(plugin) = self.bundled(kind) else { return Vec::new() };
        let others = self.bundled.iter().filter(|other| other.digest == plugin.digest && other.name != kind);
        others.map(|other| other.name).collect()
    }

    /// A plugin of this program: what it is called as.
    pub(crate) fn part_of_program(&self, kind: &str) -> Result<Arc<Plugin>, CniError> {
        match self.bundled(kind) {
            Some(bundled) => self.load(kind, &bundled.into(), &CallOptions::default()),
            None => {
                let error = CniError::internal(format!("plugin {kind:?} is not part of this program"));
                Err(error.of_kind(ErrorKind::NoPlugin).in_plugin(kind))
            }
        }
    }

    fn path(&self) -> String {
        let directories: Vec<_> = self.plugin_dirs.iter().map(|directory| directory.display().to_string()).collect();
        directories.join(" ")
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}
