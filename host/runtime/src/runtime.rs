//! The runtime, and what it knows without calling a plugin. `list` has what it does on a network.

use std::{fmt, path::PathBuf, sync::Arc};

use wasm_cni_capabilities::{
    footprint::Footprint,
    space::{HOST, Space},
};
use wasm_cni_kernel::Netns;
use wasm_cni_spec::{
    error::{CniError, code},
    result::Success,
};
use wasm_cni_state::cache::{Cache, Cached};

use crate::{host::Host, plugins::Location};

/// Runs plugins. One serves many calls, also at the same time.
pub struct Runtime {
    pub(crate) host: Arc<Host>,
    pub(crate) host_netns: Option<PathBuf>,
    pub(crate) cache_dir: PathBuf,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("root", &self.host.context.root)
            .field("cache_dir", &self.cache_dir)
            .field("host_netns", &self.host_netns)
            .field("plugin_dirs", &self.host.plugin_dirs)
            .finish_non_exhaustive()
    }
}

/// What an ADD gave.
#[derive(Debug)]
#[non_exhaustive]
pub struct Added {
    /// The last plugin's result.
    pub result: Success,
    /// It, in the configuration's version, as CNI prints it.
    pub json: String,
    /// What the ADD made, for [`Runtime::tidy`].
    pub footprint: Footprint,
}

impl Runtime {
    /// Where a plugin of this type comes from: a bundled component goes first,
    /// then, directory by directory, the component `TYPE.wasm` and the executable
    /// `TYPE`.
    ///
    /// # Errors
    ///
    /// The reference's texts if there is none.
    pub fn locate(&self, kind: &str) -> Result<Location, CniError> {
        self.host.locate(kind)
    }

    /// Every type in the plugin directories and in this program, in order of the
    /// names, each with where it comes from. The first of several is the one that
    /// is used.
    #[must_use]
    pub fn plugins(&self) -> Vec<(String, Vec<Location>)> {
        self.host.plugins()
    }

    /// The attachments in the result cache, of one container or of all, in
    /// order of their files' names.
    #[must_use]
    pub fn cached(&self, container_id: Option<&str>) -> Vec<Cached> {
        self.cache().list(container_id)
    }

    /// The attachments of a network in the result cache, for whoever takes what is not among them for gone.
    ///
    /// # Errors
    ///
    /// If one of them cannot be read: silence would pass for "there are none".
    pub fn cached_of(&self, network: &str) -> Result<Vec<Cached>, CniError> {
        self.cache().all_of_network(network)
    }

    /// Removes what an ADD made that outlives its attachment, a bridge or the
    /// directory of a network's leases, where nobody uses it any more: for callers
    /// that attach a container only once. Returns what could not be removed, and why.
    pub fn tidy(&self, footprint: &Footprint) -> Vec<String> {
        footprint.tidy()
    }

    /// The namespace that plugins are handed as the host's.
    pub(crate) fn host_space(&self) -> Result<Arc<Space>, CniError> {
        Ok(Arc::new(Space::new(HOST, self.host_netns()?)))
    }

    pub(crate) fn host_netns(&self) -> Result<Netns, CniError> {
        match &self.host_netns {
            Some(path) => Netns::open(path)
                .map_err(|e| CniError::new(code::NETNS, format!("cannot open the host's namespace: {e}")).caused_by(e)),
            None => {
                let own = Netns::current()
                    .map_err(|e| CniError::new(code::NETNS, format!("cannot open this process's namespace: {e}")))?;
                if self.host.context.own_process {
                    own.is_home_of_all_threads();
                }
                Ok(own)
            }
        }
    }

    pub(crate) fn cache(&self) -> Cache {
        Cache::new(self.cache_dir.join("results"))
    }
}
