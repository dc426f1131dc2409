//! The record: what an operation has done, so that it can be taken back by this process or another one.

pub mod attached;
pub mod component;
pub mod delegated;
pub mod directories;
pub mod effect;
pub mod format;
pub mod journal;
mod kinds;
pub mod orphans;
pub mod scene;
pub mod undo;
mod undone;

use std::path::PathBuf;

use wasm_cni_kernel::{Error, Netns};
use wasm_cni_spec::attachment::Owner;

use crate::context::Context;

/// Where the records of attachments are, a directory for each namespace that is a host's. With a reboot all of it is gone,
/// attachments and records.
///
/// # Errors
///
/// If the kernel cannot say which namespace that is.
pub fn attachments(context: &Context, host: &Netns) -> Result<PathBuf, Error> {
    Ok(context.under_root(format!("/run/wasm-cni/attachments/{}", host.id()?)))
}

/// What the names of records start with, by who asked to attach: a network's list of plugins, or one plugin by its name.
#[must_use]
pub fn prefix(plugin: Option<&str>) -> String {
    match plugin {
        None => "list:".to_owned(),
        Some(kind) => format!("plugin:{kind}:"),
    }
}

/// What the name of an attachment's record is after its [`prefix`].
#[must_use]
pub fn name(owner: &Owner) -> String {
    let Owner { network, container_id, ifname } = owner;
    format!("{network}:{container_id}:{ifname}")
}
