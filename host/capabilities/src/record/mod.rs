//! The record: what an operation has done, so that it can be taken back by this process or another one.

pub mod attached;
pub mod component;
pub mod delegated;
pub mod directories;
pub mod effect;
pub mod format;
pub mod journal;
mod kinds;
pub mod lock;
pub mod orphans;
pub mod scene;
pub mod undo;
mod undone;

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
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

/// Longest name of an attachment's record after its [`prefix`]: a file's has at most 255 bytes.
const MAX_NAME: usize = 180;

/// What the name of an attachment's record is after its [`prefix`].
#[must_use]
pub fn name(owner: &Owner) -> String {
    let Owner { network, container_id, ifname } = owner;
    let name = format!("{network}:{container_id}:{ifname}");
    if name.len() <= MAX_NAME {
        return name;
    }
    // It begins as the other would, and nobody else's is the same.
    let digest = format!("{:x}", Sha256::digest(&name));
    let begin: String = name.chars().take(MAX_NAME - digest.len() - 1).collect();
    format!("{begin}:{digest}")
}
