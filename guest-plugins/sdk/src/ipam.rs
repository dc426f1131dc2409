//! Delegation to the IPAM plugin that a configuration names. The delegate gets
//! the caller's own configuration and parameters.

use crate::bindings::interface::wasm_cni::cni::delegate;
use crate::{Attachment, Failure, Output};

/// The addresses for this attachment; at least one.
pub fn add(plugin: &str) -> Result<Output, Failure> {
    let output = delegate::add(plugin)?;
    if output.ips.is_empty() {
        return Err(Failure::plain("IPAM plugin returned missing IP config"));
    }
    Ok(output)
}

/// Gives the addresses back.
pub fn del(plugin: &str) -> Result<(), Failure> {
    delegate::del(plugin)
}

/// Calls the delegate, if one is named: `ipam::with(&config.ipam, ipam::del)`.
pub fn with(plugin: &str, call: impl FnOnce(&str) -> Result<(), Failure>) -> Result<(), Failure> {
    if plugin.is_empty() { Ok(()) } else { call(plugin) }
}

/// Whether the addresses are still this attachment's.
pub fn check(plugin: &str) -> Result<(), Failure> {
    delegate::check(plugin)
}

/// Whether there are addresses to be had.
pub fn status(plugin: &str) -> Result<(), Failure> {
    delegate::status(plugin)
}

/// Gives back the addresses of all attachments but `live`.
pub fn gc(plugin: &str, live: &[Attachment]) -> Result<(), Failure> {
    delegate::gc(plugin, live)
}
