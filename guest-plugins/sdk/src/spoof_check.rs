//! Frames that enter a bridge are who they say they are.

use crate::bindings::interface::wasm_cni::filter::spoof_check;
use crate::{Attachment, Error, Failure, Netns};

/// Frames that enter by this bridge port with another source than `mac` are
/// dropped from now on.
pub fn add(host: &Netns, port: &str, mac: &[u8]) -> Result<(), Error> {
    spoof_check::add(host, port, mac)
}

/// Removes this attachment's rules.
pub fn remove(host: &Netns) -> Result<(), Failure> {
    spoof_check::remove(host)?;
    Ok(())
}

/// Removes the rules of ports that are gone, but not those of `live`.
pub fn gc(host: &Netns, live: &[Attachment]) -> Result<(), Failure> {
    spoof_check::gc(host, live)?;
    Ok(())
}
