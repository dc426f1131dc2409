//! What a table comes to for one call, with its configuration.

use std::path::{Component, Path, PathBuf};

use wasm_cni_spec::names::is_name;
use wasm_cni_state::store::DATA_DIR;

use super::{
    Grants,
    pattern::matches_any,
    requested::Requested,
    table::{Filter, Namespace, PluginTable},
};
use crate::world::World;

/// Where plugins' memos lie, a directory for each type, as the reference's `tuning` has them.
pub const MEMOS: &str = "/run/cni";

impl PluginTable {
    /// What that comes to for a call of the plugin `kind` with this configuration.
    #[must_use]
    pub fn grants(&self, kind: &str, world: World, requested: &Requested, network: &str) -> Grants {
        let namespaces = self.namespaces.as_deref().unwrap_or_default();
        let filters = self.filters.as_deref().unwrap_or_default();
        let of_interface = world == World::Interface;
        let delegates = self.delegates.as_deref().unwrap_or_default();
        let may_delegate = |kind: &String| matches_any(delegates, kind);
        // The name has been checked for a slash, but not by every caller.
        let data_dir = PathBuf::from(requested.data_dir.as_deref().unwrap_or(DATA_DIR));
        let may_store = self.data_dirs.iter().flatten().any(|directory| is_below(&data_dir, directory));
        let resolv_conf = self.resolv_conf.as_deref().unwrap_or_default();
        Grants {
            sandbox: of_interface && namespaces.contains(&Namespace::Sandbox),
            host: of_interface && namespaces.contains(&Namespace::Host),
            operations: self.operations.clone().unwrap_or_default(),
            links: self.links.clone().unwrap_or_default(),
            parent_links: self.parent_links.clone().unwrap_or_default(),
            host_links: self.host_links.clone().unwrap_or_default(),
            move_links: self.move_links.clone().unwrap_or_default(),
            sandbox_sysctls: self.sandbox_sysctls.clone().unwrap_or_default(),
            host_sysctls: self.host_sysctls.clone().unwrap_or_default(),
            masquerade: filters.contains(&Filter::Masquerade),
            spoof_check: filters.contains(&Filter::SpoofCheck),
            devices: self.devices.unwrap_or_default(),
            memo: (of_interface && self.memo.unwrap_or_default() && is_name(kind)).then(|| Path::new(MEMOS).join(kind)),
            delegates: requested.ipam.iter().filter(|kind| of_interface && may_delegate(kind)).cloned().collect(),
            store: (!of_interface && may_store && is_name(network)).then(|| data_dir.join(network)),
            resolver: requested.resolv_conf.as_ref().filter(|path| matches_any(resolv_conf, path)).map(Into::into),
            force_address: of_interface && requested.force_address,
        }
    }
}

/// A relative path, or one with `..`, is below nothing but everything.
fn is_below(path: &Path, directory: &Path) -> bool {
    let plain = path.is_absolute() && path.components().all(|part| part != Component::ParentDir);
    directory == Path::new("/") || (plain && path.starts_with(directory))
}
