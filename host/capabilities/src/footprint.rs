//! What an ADD did that may outlive its attachment, to be tidied up when the attachment is gone: by the process that did the
//! ADD, or by a later one, from the attachment's record.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use wasm_cni_spec::{
    attachment::Owner,
    error::{CniError, ErrorKind, code},
    names::{check_container_id, check_ifname, check_network_name},
};

use crate::{
    context::Context,
    record::{self, attached::attached, effect::Entry, format::VERSION, journal::Journal, scene::Scene, undo},
    space::Space,
};

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
struct Stored {
    version: u32,
    owner: Owner,
    /// Device and inode of the host's namespace.
    host: (u64, u64),
}

impl Footprint {
    pub(crate) fn new(entries: Vec<Entry>, scene: Scene, journal: Journal) -> Self {
        Self { entries, scene, journal: Mutex::new(journal) }
    }

    /// For [`Footprint::from_json`], in this process or a later one.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Scene { owner, host, .. } = &self.scene;
        let stored = Stored { version: VERSION, owner: owner.clone(), host: host.netns.id() };
        serde_json::to_string(&stored).expect("its keys are texts")
    }

    /// The footprint of an attachment that a list of plugins made, from its record below `/run`.
    ///
    /// # Errors
    ///
    /// If it is not one, or of another host's namespace; if there is no record any more.
    pub fn from_json(context: &Arc<Context>, host: &Arc<Space>, json: &str) -> Result<Self, CniError> {
        let invalid = |text: String| CniError::new(code::DECODE, format!("invalid footprint: {text}"));
        let Stored { version, owner, host: of } = serde_json::from_str(json).map_err(|e| invalid(e.to_string()))?;
        if version != VERSION {
            return Err(invalid(format!("version {version} instead of {VERSION}")));
        }
        if of != host.netns.id() {
            return Err(invalid("it is of another host's namespace, or of an earlier boot".to_owned()));
        }
        // They become a path.
        check_network_name(&owner.network)?;
        check_container_id(&owner.container_id)?;
        check_ifname(&owner.ifname)?;
        let name = format!("{}{}", record::prefix(None), record::name(&owner));
        let record = attached(&record::attachments(context, &host.netns).join(name));
        let record = record.filter(|record| record.heading.owner() == owner && record.heading.host == of);
        let record = record.ok_or_else(|| {
            let Owner { network, container_id, ifname } = owner;
            let text = format!("there is no record of {container_id} {ifname} on network {network:?}: it was detached");
            CniError::internal(text).of_kind(ErrorKind::Io)
        })?;
        let scene = record.scene(context, host);
        Ok(Self::new(record.entries, scene, Journal::default()))
    }

    /// Its attachment has been detached: removes what outlives it where nobody uses it any more. Returns what could not be
    /// removed, and why.
    pub fn tidy(&self) -> Vec<String> {
        self.journal.lock().expect("no panic with the lock held").close();
        undo::tidy(&self.entries, &self.scene)
    }
}
