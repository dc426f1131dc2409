//! What each plugin may reach: bundled ones what their work needs, others nothing, and either what the policy says.

use wasm_cni_capabilities::{
    attempt::Attempt,
    grants::{Grants, requested::Requested, table::PluginTable},
};
use wasm_cni_engine::Bundled;
use wasm_cni_policy::{grants::bundled, policy::of_allowed};
use wasm_cni_spec::error::CniError;

use crate::{host::Host, plugins::Plugin};

/// What this plugin gets for a call with this configuration.
///
/// # Errors
///
/// If the policy cannot be read: then no plugin runs.
pub(crate) fn grants(
    host: &Host,
    attempt: &Attempt,
    plugin: &Plugin,
    requested: &Requested,
) -> Result<Grants, CniError> {
    let table = match plugin.table.get() {
        Some(table) => table,
        None => {
            let table = grant_table(host, &plugin.name, plugin.bundled)?;
            plugin.table.get_or_init(|| table)
        }
    };
    let grants = table.grants(&plugin.name, plugin.world, requested, &attempt.network);
    let under_root = |path| host.context.under_root(path);
    Ok(Grants { store: grants.store.map(under_root), memo: grants.memo.map(under_root), ..grants })
}

/// The same, before there is a call.
///
/// # Errors
///
/// The same.
pub(crate) fn grant_table(host: &Host, kind: &str, part_of_program: Option<&Bundled>) -> Result<PluginTable, CniError> {
    let policy = host.policy.as_ref().map_err(Clone::clone)?;
    let own = match part_of_program {
        Some(plugin) => bundled::table(plugin),
        None if host.allow_host.iter().any(|allowed| allowed == kind) => of_allowed(),
        None => PluginTable::default(),
    };
    Ok(own.amended(policy.of(kind)))
}
