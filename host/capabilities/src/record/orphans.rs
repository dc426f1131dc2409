//! What processes that were killed have left: records that nobody works on any more.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg, OFlag};
use wasm_cni_kernel::{NetnsId, entries, open};

use super::{
    attached::{Attached, read},
    format::{MAX_FILE, UNBORN, is_stuck, stuck, tried},
};

/// What a process that is no more has left.
#[derive(Debug)]
pub struct Orphan {
    /// What it did.
    pub attached: Attached,
    path: PathBuf,
    /// Nobody else takes it up meanwhile.
    _lock: Flock<File>,
}

impl Orphan {
    /// There is nothing to take back any more.
    pub fn done(self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Counts that it is tried, before it is: whatever it does to this process, others are not kept from their work.
    pub fn begin(&mut self) {
        if !is_stuck(&self.path) {
            let tried = tried(&self.path);
            if fs::rename(&self.path, &tried).is_ok() {
                self.path = tried;
            }
        }
    }

    /// Some of it could not be taken back: it is only tried again when asked for.
    pub fn stuck(self) {
        if !is_stuck(&self.path) {
            let _ = fs::rename(&self.path, stuck(&self.path));
        }
    }
}

/// The files that nobody works on, the youngest first, but for those of other hosts' namespaces and
/// of other versions; with `stuck`, also those that were tried in vain.
pub fn orphans(directory: &Path, host: NetnsId, stuck: bool) -> Vec<Orphan> {
    let entries = entries(directory).unwrap_or_default();
    let mut paths: Vec<_> = entries.into_iter().map(|entry| directory.join(entry.name)).collect();
    let is_born =
        |path: &PathBuf| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(UNBORN.as_bytes()));
    paths.retain(|path| is_born(path) && (stuck || !is_stuck(path)));
    paths.sort();
    paths.into_iter().rev().filter_map(|path| orphan(path, host)).collect()
}

fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let at = fs::symlink_metadata(path).map(id).ok();
    at.is_some() && file.metadata().map(id).ok() == at
}

fn orphan(path: PathBuf, host: NetnsId) -> Option<Orphan> {
    let file = open(&path, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK, 0).ok()?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()?;
    // The attempt may have come to its end, or somebody have been faster, since
    // the directory was read: then the file is gone, or is the attachment's now.
    if !is_at(&lock, &path) {
        return None;
    }
    let mut text = Vec::new();
    (&*lock).take(MAX_FILE).read_to_end(&mut text).ok()?;
    let attached = read(&text)?;
    (attached.heading.host == host).then_some(Orphan { attached, path, _lock: lock })
}

#[cfg(test)]
mod tests {

    use std::sync::Arc;

    use super::*;
    use crate::record::{
        attached::attached,
        directories,
        effect::Entry,
        format::{Heading, VERSION},
        journal::Journal,
    };

    fn heading() -> Heading {
        let name = |text: &str| text.to_owned();
        Heading {
            version: VERSION,
            network: name("n1"),
            container_id: name("c1"),
            ifname: name("eth0"),
            netns: name("/run/netns/c1"),
            host: NetnsId::Cookie(2),
        }
    }

    fn effect() -> Entry {
        Arc::new(directories::CachedResult { directory: "/nonexistent".into() })
    }

    #[test]
    fn only_what_nobody_works_on_any_more_is_an_orphan() {
        let temporary = tempfile::tempdir().unwrap();
        let journal_of = || {
            let mut journal = Journal::default();
            journal.note(&temporary.path().join("journal"), heading, Some(NetnsId::Cookie(4)), effect()).unwrap();
            journal
        };
        let found = || orphans(&temporary.path().join("journal"), NetnsId::Cookie(2), false).len();
        let mut alive = journal_of();
        assert_eq!(found(), 0, "it is locked");
        alive.close();
        // Dropped without a word, as by a process that is killed.
        drop(journal_of());
        assert!(
            orphans(&temporary.path().join("journal"), NetnsId::Cookie(9), false).is_empty(),
            "another host's namespace"
        );
        assert_eq!(found(), 1);
    }

    /// Between the listing of the temporary and the lock on a file, its attempt may
    /// have come to its end.
    #[test]
    fn what_is_kept_as_an_attachment_is_no_orphan() {
        let temporary = tempfile::tempdir().unwrap();
        let mut journal = Journal::default();
        journal.note(temporary.path(), heading, None, effect()).unwrap();
        let path = fs::read_dir(temporary.path()).unwrap().next().unwrap().unwrap().path();
        let opened = File::open(&path).unwrap();
        let kept = temporary.path().join("attachments/n1");
        journal.keep(&kept).unwrap();
        drop(journal);
        let lock = Flock::lock(opened, FlockArg::LockExclusiveNonblock).unwrap();
        assert!(!is_at(&lock, &path), "its name is another one now");
        assert!(is_at(&lock, &kept));
        assert_eq!(attached(&kept).unwrap().entries.len(), 1);
    }
}
