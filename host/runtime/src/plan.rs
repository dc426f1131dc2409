//! What an operation is going to do, as a value that is made once: who is attached where, and which plugins are called, in
//! which order, with which configuration. Nothing has been done when it is made.

use std::sync::Arc;

use serde_json::{Map, Value};
use wasm_cni_capabilities::{
    attempt::Subject,
    bindings::cni::Attachment as Live,
    call::{CallConfig, Labelled},
    grants::requested::Requested,
};
use wasm_cni_spec::{
    command::Command,
    error::{CniError, code},
    network::{Network, PluginConfig},
    version,
};

use crate::{host::Host, options::CallOptions, plugins::Found};

/// An operation that is to be done.
pub(crate) struct Plan {
    pub(crate) command: Command,
    pub(crate) subject: Subject,
    /// The plugins, in the order in which ADD calls them.
    pub(crate) steps: Vec<Step>,
    /// Attachments that a GC keeps; none if that was not said.
    pub(crate) live: Option<Vec<Live>>,
}

/// One plugin's part of it.
pub(crate) struct Step {
    pub(crate) kind: String,
    /// What the type resolves to, or why there is no such plugin.
    pub(crate) found: Result<Found, CniError>,
    /// What it is called with. Of a list, without the previous result, which only the operation knows.
    pub(crate) config: Arc<CallConfig>,
    /// How the list calls it in errors; none if the plugin was called by itself.
    name: Option<String>,
}

impl Step {
    /// A plugin that was called by itself.
    pub(crate) fn alone(kind: &str, found: Found, config: CallConfig) -> Self {
        Self { kind: kind.to_owned(), found: Ok(found), config: Arc::new(config), name: None }
    }

    fn of(
        host: &Host,
        network: &Network,
        capabilities: &Map<String, Value>,
        plugin: &PluginConfig,
        options: &CallOptions,
    ) -> Self {
        let name = plugin.object.get("name").and_then(Value::as_str);
        let name = name.map(|name| format!(" name={name:?}")).unwrap_or_default();
        let config = CallConfig {
            requested: Requested::of(&plugin.object),
            text: plugin.text(network, capabilities).into(),
            version: version_of(network).to_owned(),
            previous: Ok(None),
            text_has_prev_result: false,
        };
        Self {
            kind: plugin.kind.clone(),
            found: host.find_within(&plugin.kind, options),
            config: Arc::new(config),
            name: Some(format!("plugin type={:?}{name} failed", plugin.kind)),
        }
    }

    /// What it is called with after this result.
    pub(crate) fn following(&self, previous: Option<Labelled>) -> Arc<CallConfig> {
        if self.config.text_has_prev_result || previous.is_none() {
            return Arc::clone(&self.config);
        }
        let CallConfig { text, version, requested, .. } = &*self.config;
        Arc::new(CallConfig {
            text: Arc::clone(text),
            version: version.clone(),
            previous: Ok(previous),
            text_has_prev_result: false,
            requested: requested.clone(),
        })
    }

    /// Whether it is an executable, whose effects are on no record.
    pub(crate) fn is_native(&self) -> bool {
        matches!(self.found, Ok(Found::Native(_)))
    }

    /// Its failure, in the list's words.
    pub(crate) fn failed(&self, action: &str, error: CniError) -> CniError {
        match &self.name {
            Some(name) => error.reword(|msg| format!("{name} ({action}): {msg}")),
            None => error,
        }
    }

    /// The same of a GC, whose failures are a line each.
    pub(crate) fn failed_to_collect(&self, error: CniError) -> CniError {
        match &self.name {
            Some(_) => {
                let text = format!("failed to GC plugin {}: {error}", self.kind);
                error.told_as(text)
            }
            None => error,
        }
    }
}

/// The steps of a network's plugins. Those for GC and STATUS get no capability arguments.
pub(crate) fn steps(
    host: &Host,
    network: &Network,
    capabilities: &Map<String, Value>,
    options: &CallOptions,
) -> Vec<Step> {
    network.plugins.iter().map(|plugin| Step::of(host, network, capabilities, plugin, options)).collect()
}

/// A network's version; 0.1.0 if it does not say.
pub(crate) fn version_of(network: &Network) -> &str {
    if network.cni_version.is_empty() { "0.1.0" } else { &network.cni_version }
}

/// The same as a number.
///
/// # Errors
///
/// If it is not one.
pub(crate) fn version_number(network: &Network) -> Result<[u32; 3], CniError> {
    version::parse(version_of(network)).map_err(|e| CniError::new(code::DECODE, e))
}
