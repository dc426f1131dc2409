//! What each plugin may reach: bundled ones what their work needs, others nothing, and either what the policy says.

use wasm_cni_capabilities::{
    attempt::Attempt,
    grants::{Grants, requested::Requested, table::PluginTable},
};
use wasm_cni_engine::Bundled;
use wasm_cni_policy::policy::{of_allowed, of_bundled};
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
    let table = grant_table(host, &plugin.name, plugin.bundled)?;
    let grants = table.grants(&plugin.name, plugin.world, requested, &attempt.network);
    let under_root = |path| host.context.under_root(path);
    Ok(Grants { store: grants.store.map(under_root), memo: grants.memo.map(under_root), ..grants })
}

/// The same, before there is a call.
///
/// # Errors
///
/// The same.
pub(crate) fn grant_table(host: &Host, kind: &str, bundled: Option<&Bundled>) -> Result<PluginTable, CniError> {
    let policy = host.policy.as_ref().map_err(Clone::clone)?;
    let own = match bundled {
        Some(bundled) => of_bundled(bundled),
        None if host.allow_host.iter().any(|allowed| allowed == kind) => of_allowed(),
        None => PluginTable::default(),
    };
    Ok(own.amended(policy.of(kind)))
}
