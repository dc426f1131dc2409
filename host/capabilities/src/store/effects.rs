//! What becomes of entries when an ADD fails, or an attachment goes.

use std::{
    fmt,
    net::IpAddr,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use nix::libc;
use serde::{Deserialize, Serialize};
use wasm_cni_state::{
    deadline::Deadline,
    files::Failure,
    store::{
        Transaction,
        files::{Directory, Locked},
        is_hint,
    },
};

use super::keys::check_key;
use crate::{
    bindings::store::Entry,
    needs::Needs,
    record::{
        effect::{Cleanup, Effect, Undone},
        scene::{LOCK_TIME, Scene, Shared},
    },
};

/// Does something with the entries of a directory, if it is there.
fn locked(
    scene: &Scene,
    directory: &Path,
    key: &str,
    f: impl FnOnce(&Locked) -> Result<(), Failure>,
) -> Result<Undone, String> {
    if !may_be_entry(scene, directory, key) {
        return Ok(Undone::Another(format!("{}/{key} is no place for an entry", directory.display())));
    }
    let Some(directory) = Directory::existing(directory, &[]) else { return Ok(Undone::All) };
    let lock = directory.lock(&Deadline::after(LOCK_TIME)).map_err(|e| e.to_string())?;
    f(&lock).map(|()| Undone::All).map_err(|e| e.to_string())
}

/// A record can say anything, so it has no say in which files there are: where an operator has put leases elsewhere, they
/// are files that are named by addresses, or the last that was given.
fn may_be_entry(scene: &Scene, directory: &Path, key: &str) -> bool {
    let leases = scene.context.under_root("/var/lib/cni");
    let is_plain = directory.components().all(|part| !matches!(part, Component::ParentDir));
    let is_lease = key.parse::<IpAddr>().is_ok() || is_hint(key);
    check_key(key).is_ok() && is_plain && (directory.starts_with(leases) || is_lease)
}

/// An entry that was created.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Created {
    folder: PathBuf,
    key: String,
    value: Vec<u8>,
}

impl Created {
    pub(super) fn new(folder: PathBuf, entry: &Entry) -> Self {
        Self { folder, key: entry.key.clone(), value: entry.value.clone() }
    }
}

impl Effect for Created {
    const TAG: &'static str = "entry-created";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        false
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Detach
    }

    fn needs(&self, needs: &mut Needs) {
        needs.stores.insert(self.folder.clone());
    }

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        locked(scene, &self.folder, &self.key, |lock| match lock.get(&self.key)? {
            Some(found) if found == self.value => lock.delete(&self.key),
            _ => Ok(()),
        })
    }
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.folder.display(), self.key)
    }
}

/// An entry that was removed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Removed {
    folder: PathBuf,
    key: String,
    value: Vec<u8>,
}

impl Removed {
    pub(super) fn new(folder: PathBuf, key: String, value: Vec<u8>) -> Self {
        Self { folder, key, value }
    }
}

impl Effect for Removed {
    const TAG: &'static str = "entry-removed";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        false
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Never
    }

    fn needs(&self, needs: &mut Needs) {
        needs.stores.insert(self.folder.clone());
    }

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        locked(scene, &self.folder, &self.key, |lock| match lock.create(&self.key, &self.value) {
            // It was not removed after all.
            Err(e) if e.errno() == libc::EEXIST => Ok(()),
            done => done,
        })
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "removal of {}/{}", self.folder.display(), self.key)
    }
}

/// An entry that was written in place of another.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Replaced {
    folder: PathBuf,
    key: String,
    value: Vec<u8>,
    /// What was there; none if nothing was.
    old: Option<Vec<u8>>,
}

impl Replaced {
    pub(super) fn new(folder: PathBuf, entry: &Entry, old: Option<Vec<u8>>) -> Self {
        Self { folder, key: entry.key.clone(), value: entry.value.clone(), old }
    }
}

impl Effect for Replaced {
    const TAG: &'static str = "entry-replaced";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        false
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Never
    }

    fn needs(&self, needs: &mut Needs) {
        needs.stores.insert(self.folder.clone());
    }

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        locked(scene, &self.folder, &self.key, |lock| match (lock.get(&self.key)?, &self.old) {
            (Some(found), Some(old)) if self.value.starts_with(&found) => lock.put(&self.key, old),
            (Some(found), None) if self.value.starts_with(&found) => lock.delete(&self.key),
            // Somebody else has written or removed it meanwhile.
            _ => Ok(()),
        })
    }
}

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "content of {}/{}", self.folder.display(), self.key)
    }
}

/// A network's directory that was made.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Opened {
    folder: PathBuf,
    /// What was made for it, outermost first.
    created: Vec<PathBuf>,
}

impl Opened {
    pub(super) fn of(directory: &Arc<Directory>) -> Self {
        Self { folder: directory.path().to_owned(), created: directory.created().to_vec() }
    }
}

impl Effect for Opened {
    const TAG: &'static str = "entries-folder";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        false
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        Some(Shared::Other)
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Never
    }

    fn needs(&self, needs: &mut Needs) {
        needs.stores.insert(self.folder.clone());
    }

    fn take_back(&self, _: &Scene) -> Result<Undone, String> {
        match Directory::existing(&self.folder, &self.created) {
            Some(directory) => directory.remove_if_unused().map(|()| Undone::All).map_err(|e| e.to_string()),
            None => Ok(Undone::All),
        }
    }
}

impl fmt::Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "folder {}", self.folder.display())
    }
}
