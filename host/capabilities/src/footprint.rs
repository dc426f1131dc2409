//! What an ADD did that may outlive its attachment, to be tidied up when the attachment is gone: by the process that did the
//! ADD, or by a later one, from the attachment's record.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use wasm_cni_kernel::NetnsId;
use wasm_cni_spec::attachment::Owner;

use crate::record::{effect::Entry, format::VERSION, journal::Journal, scene::Scene, undo};

/// What an ADD did, to be tidied up when its attachment is gone.
#[derive(Debug)]
pub struct Footprint {
    entries: Vec<Entry>,
    scene: Scene,
    /// Open for as long as it is provisional.
    journal: Mutex<Journal>,
}

/// Names the record that a footprint is read from. It holds no effects: whoever can change it can undo nothing but what
/// some ADD has recorded.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// [`VERSION`] of the record.
    pub version: u32,
    /// Whose record it is.
    pub owner: Owner,
    /// The host's namespace; none if the kernel could not say.
    pub host: Option<NetnsId>,
}

impl Footprint {
    /// Of these effects, in this scene. `journal` is open if they are provisional.
    #[must_use]
    pub fn new(entries: Vec<Entry>, scene: Scene, journal: Journal) -> Self {
        Self { entries, scene, journal: Mutex::new(journal) }
    }

    /// For `Runtime::footprint_from_json`, in this process or a later one.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Scene { owner, host, .. } = &self.scene;
        let stored = Stored { version: VERSION, owner: owner.clone(), host: host.netns.id().ok() };
        serde_json::to_string(&stored).expect("its keys are texts")
    }

    /// Its attachment has been detached: removes what outlives it where nobody uses it any more. Returns what could not be
    /// removed, and why.
    pub fn tidy(&self) -> Vec<String> {
        self.journal.lock().expect("no panic with the lock held").close();
        undo::tidy(&self.entries, &self.scene)
    }
}
