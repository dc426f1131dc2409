//! What an attachment consists of, from its ADD to its DEL: the record of the ADD's effects, kept below `/run`, read again.

use std::{collections::BTreeMap, io::Read as _, path::Path, sync::Arc};

use nix::fcntl::OFlag;
use wasm_cni_kernel::{Netns, NetnsId, open};

use super::{
    effect::Entry,
    format::{Heading, Line, MAX_ENTRIES, MAX_FILE, VERSION},
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
    /// The container's namespace.
    pub sandbox: Option<NetnsId>,
    /// What its ADD did, the first first.
    pub entries: Vec<Entry>,
}

impl Attached {
    /// Whether this is the container's namespace. If the kernel cannot say, it is not.
    #[must_use]
    pub fn is_in(&self, netns: &Netns) -> bool {
        self.sandbox.is_some() && netns.id().ok() == self.sandbox
    }

    /// Where it was done. The container's namespace only if the path still names
    /// that one.
    pub fn scene(&self, context: &Arc<Context>, host: &Arc<Space>) -> Scene {
        let sandbox = Netns::open(Path::new(&self.heading.netns)).ok();
        let sandbox = sandbox.filter(|netns| self.is_in(netns));
        Scene {
            host: Arc::clone(host),
            sandbox: sandbox.map(|netns| Arc::new(Space::new(SANDBOX, netns))),
            context: Arc::clone(context),
            owner: self.heading.owner(),
            netns: self.heading.netns.clone(),
        }
    }

    /// Whether its attachment is in another namespace than this one, as far as the record says.
    #[must_use]
    pub fn is_elsewhere(&self, netns: &Netns) -> bool {
        self.sandbox.is_some() && netns.id().ok() != self.sandbox
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
    let mut entries: BTreeMap<usize, Entry> = BTreeMap::new();
    let mut sandbox = None;
    // What was not written whole, or is damaged, says nothing.
    for line in lines.filter_map(|line| serde_json::from_slice(line).ok()) {
        match line {
            Line::Heading(_) => {}
            Line::Sandbox(id) => sandbox = Some(id),
            Line::Undo(number, effect) | Line::Done(number, effect) => {
                if number < MAX_ENTRIES
                    && let Some(effect) = kinds::read(effect)
                {
                    entries.insert(number, effect);
                }
            }
            Line::Not(number) => drop(entries.remove(&number)),
        }
    }
    Some(Attached { heading, sandbox, entries: entries.into_values().collect() })
}
