//! The file of a record, by lines of JSON: a heading, then each effect before it happens.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wasm_cni_kernel::NetnsId;
use wasm_cni_spec::attachment::Owner;

use super::effect::Recorded;
use crate::context::Context;

/// Version of the format. Files of another version are left alone.
pub const VERSION: u32 = 2;

/// Largest file that is written or read, bytes.
pub const MAX_FILE: u64 = 16 << 20;

/// Most effects of one attempt: to take them back takes time.
pub const MAX_ENTRIES: usize = 8192;

/// Starts the name of a file that is not locked yet.
pub const UNBORN: &str = ".";

/// Ends the name of a file whose effects could not all be taken back.
const STUCK: &str = ".stuck";

/// Ends the name of a file once for each time that it was tried.
const TRIED: &str = ".tried";

/// How often a file is tried: a process may be killed while it tries, or be ended by what is in the file.
const MAX_TRIES: usize = 3;

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
    /// The host's namespace.
    pub host: NetnsId,
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
    /// The container's namespace: the path may come to name another one.
    Sandbox(NetnsId),
    /// The effect of this number, counted from 0, is about to be; under its tag.
    Undo(usize, Map<String, Value>),
    /// The effect of this number has come about, and this is what is known of it now.
    Done(usize, Map<String, Value>),
    /// The effect of this number did not come about, or was there already.
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

/// The line of an effect that is about to be, as [`Line::Undo`] reads it.
///
/// # Errors
///
/// If it cannot be written as JSON.
pub fn undo(number: usize, effect: &dyn Recorded) -> io::Result<Vec<u8>> {
    tagged("undo", number, effect)
}

/// The line of an effect that has come about, as [`Line::Done`] reads it.
///
/// # Errors
///
/// If it cannot be written as JSON.
pub fn done(number: usize, effect: &dyn Recorded) -> io::Result<Vec<u8>> {
    tagged("done", number, effect)
}

fn tagged(what: &str, number: usize, effect: &dyn Recorded) -> io::Result<Vec<u8>> {
    Ok(format!("{{\"{what}\":[{number},{{\"{}\":{}}}]}}\n", effect.tag(), effect.json()?).into_bytes())
}

/// Where the records of attempts are.
#[must_use]
pub fn directory(context: &Context) -> PathBuf {
    context.under_root("/run/wasm-cni/journal")
}

/// The name of a file whose effects could not all be taken back.
#[must_use]
pub fn stuck(path: &Path) -> PathBuf {
    with_suffix(path, STUCK)
}

/// The name of a file while its effects are being taken back once more: should that end the process, it is counted.
#[must_use]
pub fn tried(path: &Path) -> PathBuf {
    with_suffix(path, TRIED)
}

/// Whether it is left alone until somebody asks for it.
#[must_use]
pub fn is_stuck(path: &Path) -> bool {
    let mut name = path.as_os_str().as_encoded_bytes();
    if name.ends_with(STUCK.as_bytes()) {
        return true;
    }
    let mut tries = 0;
    while let Some(rest) = name.strip_suffix(TRIED.as_bytes()) {
        (name, tries) = (rest, tries + 1);
    }
    tries >= MAX_TRIES
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
