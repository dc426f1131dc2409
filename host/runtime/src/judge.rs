//! What a plugin says of a configuration. It reaches nothing, and nothing is changed.

use std::sync::Arc;

use nix::libc;
use serde_json::{Map, Value};
use wasm_cni_capabilities::{
    attempt::Attempt,
    bindings::cni,
    call::{CallConfig, Level, Verb},
};
use wasm_cni_spec::{
    error::{CniError, ErrorKind},
    network::field,
};

use crate::{
    dispatch::Dispatch,
    host::Host,
    instance::{self, Request},
    plan::Step,
    plugins::{Found, Plugin},
};

/// The plugin's own `validate`.
///
/// # Errors
///
/// How it ended.
pub(crate) fn mistakes(
    host: &Arc<Host>,
    attempt: &Arc<Attempt>,
    plugin: Arc<Plugin>,
    config: Arc<CallConfig>,
) -> Result<Vec<cni::Mistake>, CniError> {
    let level = Level::top(&host.context.limits);
    let request = Request { plugin, config, verb: Verb::Status, level };
    instance::validate(host, Arc::new(Dispatch(Arc::clone(host))), attempt, request)
}

/// The IPAM plugin that a plugin's configuration names, if it is another one.
pub(crate) fn ipam_of<'c>(config: &'c Map<String, Value>, kind: &str) -> Option<&'c str> {
    let ipam = field(config, "ipam").and_then(Value::as_object).and_then(|ipam| field(ipam, "type"));
    ipam.and_then(Value::as_str).filter(|ipam| !ipam.is_empty() && *ipam != kind)
}

/// Whether a plugin's failure in a DEL may come from a change since ADD: of its configuration, of other plugins, of the
/// machine. Not that it was stopped, has a bug, or says something else of its own.
pub(crate) fn may_be_of_a_change(host: &Arc<Host>, attempt: &Arc<Attempt>, step: &Step, error: &CniError) -> bool {
    // A third-party plugin may ask for what it must not have.
    let is_bundled = matches!(&step.found, Ok(Found::Component(plugin)) if plugin.bundled.is_some());
    match error.kind() {
        ErrorKind::Config | ErrorKind::NoPlugin => true,
        ErrorKind::Denied | ErrorKind::Io => is_bundled,
        ErrorKind::Kernel(errno) => errno == libc::EROFS && is_bundled,
        // iptables, by which it filters, has been uninstalled.
        ErrorKind::Refused if error.msg.contains("executable file not found") => is_bundled,
        ErrorKind::Argument | ErrorKind::Other | ErrorKind::Refused => is_mistaken(host, attempt, step),
        _ => false,
    }
}

/// Whether a plugin failed because it cannot be called with its configuration: it is gone, its version is unknown, or it
/// or its IPAM plugin finds a mistake.
pub(crate) fn cannot_be_called(host: &Arc<Host>, attempt: &Arc<Attempt>, step: &Step, error: &CniError) -> bool {
    matches!(error.kind(), ErrorKind::NoPlugin | ErrorKind::Config) || is_mistaken(host, attempt, step)
}

/// Whether the plugin or its IPAM plugin finds a mistake in the configuration.
fn is_mistaken(host: &Arc<Host>, attempt: &Arc<Attempt>, step: &Step) -> bool {
    let Ok(object) = serde_json::from_str::<Map<String, Value>>(&step.config.text) else { return true };
    let ipam = ipam_of(&object, &step.kind).map(|kind| host.find(kind));
    let is_refused = |found: Result<Found, CniError>| match found {
        Ok(Found::Component(plugin)) => mistakes(host, attempt, plugin, Arc::clone(&step.config))
            .is_ok_and(|mistakes| mistakes.iter().any(|mistake| !mistake.harmless)),
        _ => false,
    };
    [Some(step.found.clone()), ipam].into_iter().flatten().any(is_refused)
}
