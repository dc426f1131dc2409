//! What an attachment consists of, from its ADD to its DEL: the record of the ADD's effects, kept below `/run`, read again.

use std::{io::Read as _, path::Path, sync::Arc};

use nix::fcntl::OFlag;
use wasm_cni_kernel::{Netns, open};

use super::{
    effect::Entry,
    format::{Heading, Line, MAX_FILE, VERSION},
    kinds,
    scene::Scene,
};
use crate::{
    context::Context,
    space::{SANDBOX, Space},
};

/// The record of an attachment.
#[derive(Debug)]
pub struct Attached {
    /// What they were for.
    pub heading: Heading,
    /// Device and inode of the container's namespace.
    pub sandbox: Option<(u64, u64)>,
    /// What its ADD did, the first first.
    pub entries: Vec<Entry>,
}

impl Attached {
    /// Where it was done. The container's namespace only if the path still names
    /// that one.
    pub fn scene(&self, context: &Arc<Context>, host: &Arc<Space>) -> Scene {
        let sandbox = Netns::open(Path::new(&self.heading.netns)).ok();
        let sandbox = sandbox.filter(|netns| Some(netns.id()) == self.sandbox);
        Scene {
            host: Arc::clone(host),
            sandbox: sandbox.map(|netns| Arc::new(Space::new(SANDBOX, netns))),
            context: Arc::clone(context),
            owner: self.heading.owner(),
        }
    }

    /// Whether its attachment is in another namespace than this one, as far as the record says.
    #[must_use]
    pub fn is_elsewhere(&self, netns: &Netns) -> bool {
        self.sandbox.is_some_and(|sandbox| sandbox != netns.id())
    }
}

/// The record of an attachment, if there is one that can be read.
pub fn attached(path: &Path) -> Option<Attached> {
    // Longer than most, so that they are read at once.
    let mut text = Vec::with_capacity(4096);
    let file = open(path, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK, 0).ok()?;
    file.take(MAX_FILE).read_to_end(&mut text).ok()?;
    read(&text)
}

/// The record in these bytes. For fuzzing; everything else reads files.
#[doc(hidden)]
#[must_use]
pub fn parse(text: &[u8]) -> Option<Attached> {
    read(text)
}

/// None if it is not one of ours, or of another version.
pub(super) fn read(text: &[u8]) -> Option<Attached> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let Ok(Line::Heading(heading)) = serde_json::from_slice(lines.next()?) else { return None };
    if heading.version != VERSION {
        return None;
    }
    let mut entries = Vec::new();
    let mut sandbox = None;
    for line in lines.filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(Line::Sandbox(id)) => sandbox = Some(id),
            Ok(Line::Undo(effect)) => entries.push(kinds::read(effect)),
            Ok(Line::Not(number)) => {
                if let Some(entry) = entries.get_mut(number) {
                    *entry = None;
                }
            }
            // Not written whole, or damaged: the numbers go on.
            _ => entries.push(None),
        }
    }
    Some(Attached { heading, sandbox, entries: entries.into_iter().flatten().collect() })
}
