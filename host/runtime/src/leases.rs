//! What is known of leases and attachments without calling a plugin.

use std::{
    fs,
    path::{Path, PathBuf},
};

use wasm_cni_capabilities::record::{attached::attached, format::Heading};
use wasm_cni_spec::{attachment::Attachment, error::CniError};
use wasm_cni_state::{
    leases::{self, Lease},
    store::DATA_DIR,
};

use crate::runtime::Runtime;

impl Runtime {
    /// The networks that have leases in the default directory, in order.
    #[must_use]
    pub fn networks_with_leases(&self) -> Vec<String> {
        leases::networks(&self.host.context.under_root(DATA_DIR))
    }

    /// The directory of a network's leases. `data_dir` is its `ipam.dataDir`.
    #[must_use]
    pub fn lease_folder(&self, network: &str, data_dir: Option<&str>) -> PathBuf {
        self.host.context.under_root(data_dir.unwrap_or(DATA_DIR)).join(network)
    }

    /// The leases in a directory, in the addresses' order; none if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn leases(&self, directory: &Path) -> Result<Vec<Lease>, CniError> {
        leases::list(directory)
    }

    /// Removes the leases in a directory that `which` selects, holding the directory's lock. Returns them.
    ///
    /// # Errors
    ///
    /// If the lock is not to be had, or one cannot be removed.
    pub fn release(&self, directory: &Path, which: impl FnMut(&Lease) -> bool) -> Result<Vec<Lease>, CniError> {
        leases::release(directory, which)
    }

    /// The attachments that this host has a record of, from their ADD to their
    /// DEL: each network's name and what is known of it.
    #[must_use]
    pub fn recorded(&self) -> Vec<(String, Attachment)> {
        let list =
            |directory: PathBuf| fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let records = list(self.host.context.under_root("/run/wasm-cni/attachments")).flat_map(list);
        let heading = |path: PathBuf| {
            let Heading { network, container_id, ifname, netns, .. } = attached(&path)?.heading;
            Some((network, Attachment::new(container_id, ifname, netns)))
        };
        records.filter_map(heading).collect()
    }
}
