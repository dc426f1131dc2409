//! The file of a record, by lines of JSON: a heading, then each effect before it happens.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wasm_cni_spec::attachment::Owner;

use super::effect::Recorded;
use crate::context::Context;

/// Version of the format. Files of another version are left alone.
pub const VERSION: u32 = 1;

/// Largest file that is written or read, bytes.
pub const MAX_FILE: u64 = 16 << 20;

/// Starts the name of a file that is not locked yet.
pub const UNBORN: &str = ".";

/// Ends the name of a file whose effects could not all be taken back.
const STUCK: &str = ".stuck";

/// What the effects were for.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Heading {
    /// [`VERSION`].
    pub version: u32,
    /// The network's name.
    pub network: String,
    /// The container.
    pub container_id: String,
    /// The interface inside the container.
    pub ifname: String,
    /// CNI_NETNS.
    pub netns: String,
    /// Device and inode of the host's namespace.
    pub host: (u64, u64),
}

impl Heading {
    /// Whose effects they are.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let Self { network, container_id, ifname, .. } = self.clone();
        Owner { network, container_id, ifname }
    }
}

/// A line of the file.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// The first one.
    Heading(Heading),
    /// Device and inode of the container's namespace: the path may come to name another one.
    Sandbox((u64, u64)),
    /// An effect that is about to be, under its tag.
    Undo(Map<String, Value>),
    /// The effect of this number, counted from 0, did not come about, or was there already.
    Not(usize),
}

/// A line with its newline.
///
/// # Errors
///
/// If it cannot be written as JSON.
pub fn line(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

/// The line of an effect, as [`Line::Undo`] reads it.
///
/// # Errors
///
/// If it cannot be written as JSON.
pub fn effect(effect: &dyn Recorded) -> io::Result<Vec<u8>> {
    Ok(format!("{{\"undo\":{{\"{}\":{}}}}}\n", effect.tag(), effect.json()?).into_bytes())
}

/// Where the records of attempts are.
#[must_use]
pub fn directory(context: &Context) -> PathBuf {
    context.under_root("/run/wasm-cni/journal")
}

/// The name of a file whose effects could not all be taken back.
#[must_use]
pub fn stuck(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(STUCK);
    name.into()
}

/// Whether it has such a name.
#[must_use]
pub fn is_stuck(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(STUCK.as_bytes())
}
