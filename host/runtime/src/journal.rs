//! The record of an attempt's effects: in memory, and in a file below `/run` that
//! outlives the process, each entry before its effect. Whoever comes next finds
//! the file of a process that was killed, and takes its effects back.
//!
//! The file is locked (flock(2)) for as long as the attempt lasts, so that a file
//! without a lock is one that nobody works on. A line that was not written whole
//! is the last, and of an effect that did not come about. What a reboot leaves
//! behind is not here: see `boot`.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag},
    libc,
};
use serde::{Deserialize, Serialize};
use wasm_cni_kernel::{Netns, entries, open};

use crate::{
    directory::{create_folders, remove_created},
    host::{
        filter::Owner,
        space::{SANDBOX, Space},
    },
    plugin::Inner,
    undo::{Scene, Undo},
};

/// Of the format. Another one's files are left alone.
const VERSION: u32 = 1;

/// Largest file that is written or read, octets.
const MAX_FILE: u64 = 16 << 20;

/// Most effects of one attempt: to take them back takes time.
const MAX_ENTRIES: usize = 8192;

/// Most links of one attempt: of all effects they take the longest.
const MAX_LINKS: usize = 64;

/// Starts the name of a file that is not locked yet.
const UNBORN: &str = ".";

/// Ends the name of a file whose effects could not all be taken back.
const STUCK: &str = ".stuck";

/// What the effects were for.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Heading {
    pub(crate) version: u32,
    pub(crate) network: String,
    pub(crate) container_id: String,
    pub(crate) ifname: String,
    /// CNI_NETNS.
    pub(crate) netns: String,
    /// Device and inode of the host's.
    pub(crate) host: (u64, u64),
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Heading(Heading),
    /// Device and inode of the container's namespace: the path may come to name
    /// another one.
    Sandbox((u64, u64)),
    /// An effect that is about to be.
    Undo(Undo),
    /// The effect of this number, counted from 0, did not come about, or was
    /// there already.
    Not(usize),
}

/// The record of an attempt that is under way.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: Vec<Option<Undo>>,
    file: Option<Opened>,
    /// Octets of what has been noted.
    length: u64,
    links: usize,
    /// Effects that go with others, and are in no note.
    implied: usize,
    /// Does the file say which namespace is the container's?
    knows_sandbox: bool,
    /// Folders that were made for the file, outermost first.
    created: Vec<PathBuf>,
}

#[derive(Debug)]
struct Opened {
    path: PathBuf,
    file: Flock<File>,
}

impl Journal {
    /// The effects that are to be taken back, the first first.
    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = &Undo> {
        self.entries.iter().flatten()
    }

    /// The link that it was about has been made, with this index.
    pub(crate) fn has_made(&mut self, number: usize, link: u32) {
        if let Some(Some(undo)) = self.entries.get_mut(number) {
            undo.has_made(link);
        }
    }

    /// Notes what is about to be done. Gives its number.
    ///
    /// # Errors
    ///
    /// If it could not be noted: then it must not be done. `EDQUOT` if there are
    /// too many.
    pub(crate) fn note(
        &mut self,
        folder: &Path,
        heading: impl FnOnce() -> Heading,
        sandbox: Option<(u64, u64)>,
        undo: Undo,
    ) -> io::Result<usize> {
        let line = line(&Line::Undo(undo.clone()))?;
        let length = self.length + line.len() as u64;
        let links = self.links + usize::from(matches!(undo, Undo::Link { .. }));
        // A file that is not read to its end cannot be applied.
        if length > MAX_FILE / 2 || self.entries.len() + self.implied >= MAX_ENTRIES || links > MAX_LINKS {
            return Err(Errno::EDQUOT.into());
        }
        let mut lines = Vec::new();
        if let Some(id) = sandbox.filter(|_| undo.is_inside() && !self.knows_sandbox) {
            lines = self::line(&Line::Sandbox(id))?;
            self.knows_sandbox = true;
        }
        lines.extend(line);
        if self.entries.is_empty() {
            self.file = Opened::new(folder, &heading(), &lines, &mut self.created)?;
        } else if let Some(opened) = &mut self.file {
            opened.write_lines(&lines)?;
        }
        (self.length, self.links) = (length, links);
        self.entries.push(Some(undo));
        Ok(self.entries.len() - 1)
    }

    /// Counts an effect that goes with another one.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if there are too many.
    pub(crate) fn count(&mut self) -> io::Result<()> {
        if self.entries.len() + self.implied >= MAX_ENTRIES {
            return Err(Errno::EDQUOT.into());
        }
        self.implied += 1;
        Ok(())
    }

    /// It was not done after all. That the note of it stays in the file if this
    /// can't be written is no harm: there is nothing then to take back.
    pub(crate) fn strike(&mut self, number: usize) {
        if let Some(entry) = self.entries.get_mut(number) {
            *entry = None;
            if let Some(opened) = &mut self.file {
                let _ = opened.write(&Line::Not(number));
            }
        }
    }

    /// Everything stays as it is: there is nothing to take back any more. What
    /// was done comes back, as from [`Journal::all`].
    pub(crate) fn close(&mut self) -> Vec<Undo> {
        if let Some(opened) = self.file.take() {
            let _ = fs::remove_file(&opened.path);
        }
        let all = self.all();
        (self.entries, self.created) = Default::default();
        all
    }

    /// What was done, and the folders that were made for the record.
    pub(crate) fn all(&self) -> Vec<Undo> {
        let folders = (!self.created.is_empty()).then(|| Undo::Folders { created: self.created.clone() });
        folders.into_iter().chain(self.entries().cloned()).collect()
    }

    /// Everything stays as it is, and the record for as long as the attachment.
    pub(crate) fn keep(&mut self, path: &Path) -> Vec<Undo> {
        if let Some(opened) = self.file.take() {
            let rename = || fs::rename(&opened.path, path);
            let renamed = rename().or_else(|e| {
                let parent = path.parent().filter(|_| e.kind() == io::ErrorKind::NotFound).ok_or(e)?;
                let made = create_folders(parent, 0o700).map_err(|failure| failure.source)?;
                self.created.extend(made);
                rename()
            });
            if renamed.is_err() {
                let _ = fs::remove_file(&opened.path);
            }
        }
        self.close()
    }

    /// Everything has been taken back: nothing is left of the record either.
    pub(crate) fn vanish(&mut self) {
        let created = std::mem::take(&mut self.created);
        self.close();
        remove_created(&created);
    }

    /// Not all of it could be taken back: the file is left for [`orphans`].
    pub(crate) fn leave(&mut self) {
        if let Some(opened) = self.file.take() {
            let _ = fs::rename(&opened.path, stuck(&opened.path));
        }
    }
}

/// Where the records are.
pub(crate) fn folder(runtime: &Inner) -> PathBuf {
    runtime.under_root("/run/wasm-cni/journal")
}

fn stuck(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(STUCK);
    name.into()
}

impl Opened {
    /// None where there is no such folder for us: the effects are taken back as
    /// long as the process lives.
    fn new(folder: &Path, heading: &Heading, first: &[u8], created: &mut Vec<PathBuf>) -> io::Result<Option<Self>> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // In the order of time, and never a name that somebody has left.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("{now:024x}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let unborn = folder.join(format!("{UNBORN}{name}"));
        let create = || open(&unborn, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW, 0o600);
        let opened = match create() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                create_folders(folder, 0o700).map_err(|failure| failure.source).and_then(|made| {
                    *created = made;
                    create()
                })
            }
            opened => opened,
        };
        let file = match opened {
            Ok(file) => file,
            Err(e)
                if [libc::EACCES, libc::EPERM, libc::EROFS, libc::ENOTDIR].contains(&e.raw_os_error().unwrap_or(0)) =>
            {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
        let path = folder.join(name);
        let mut opened = Self { path, file };
        let lines = [line(&Line::Heading(heading.clone()))?, first.to_vec()].concat();
        let started = opened.write_lines(&lines).and_then(|()| fs::rename(&unborn, &opened.path));
        started.inspect_err(|_| {
            let _ = fs::remove_file(&unborn);
        })?;
        Ok(Some(opened))
    }

    fn write(&mut self, entry: &Line) -> io::Result<()> {
        self.write_lines(&line(entry)?)
    }

    /// In one write(2).
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        match self.file.write(lines)? {
            length if length == lines.len() => Ok(()),
            _ => Err(Errno::ENOSPC.into()),
        }
    }
}

fn line(entry: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(entry)?;
    text.push(b'\n');
    Ok(text)
}

/// What a process that is no more has left.
#[derive(Debug)]
pub(crate) struct Orphan {
    pub(crate) attached: Attached,
    path: PathBuf,
    /// Nobody else takes it up meanwhile.
    _lock: Flock<File>,
}

impl Orphan {
    /// There is nothing to take back any more.
    pub(crate) fn done(self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Some of it could not be taken back: it is only tried again when asked for.
    pub(crate) fn stuck(self) {
        if !is_stuck(&self.path) {
            let _ = fs::rename(&self.path, stuck(&self.path));
        }
    }
}

/// The record of an attachment.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) heading: Heading,
    pub(crate) sandbox: Option<(u64, u64)>,
    /// What its ADD did, the first first.
    pub(crate) entries: Vec<Undo>,
}

impl Attached {
    /// Where it was done. The container's namespace only if the path still names
    /// that one.
    pub(crate) fn scene(&self, runtime: &Arc<Inner>, host: &Arc<Space>) -> Scene {
        let sandbox = Netns::open(Path::new(&self.heading.netns)).ok();
        let sandbox = sandbox.filter(|netns| Some(netns.id()) == self.sandbox);
        Scene {
            host: Arc::clone(host),
            sandbox: sandbox.map(|netns| Arc::new(Space::new(SANDBOX, netns))),
            runtime: Arc::clone(runtime),
            owner: self.heading.owner(),
        }
    }
}

/// The record of an attachment, if there is one that can be read.
pub(crate) fn attached(path: &Path) -> Option<Attached> {
    // Longer than most, so that they are read at once.
    let mut text = Vec::with_capacity(4096);
    let file = open(path, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK, 0).ok()?;
    file.take(MAX_FILE).read_to_end(&mut text).ok()?;
    read(&text)
}

/// The files that nobody works on, the youngest first, but for those of other hosts' namespaces and
/// of other versions; with `stuck`, also those that were tried in vain.
pub(crate) fn orphans(folder: &Path, host: (u64, u64), stuck: bool) -> Vec<Orphan> {
    let entries = entries(folder).unwrap_or_default();
    let mut paths: Vec<_> = entries.into_iter().map(|entry| folder.join(entry.name)).collect();
    let is_born = |path: &PathBuf| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    paths.retain(|path| is_born(path) && (stuck || !is_stuck(path)));
    paths.sort();
    paths.into_iter().rev().filter_map(|path| orphan(path, host)).collect()
}

fn is_stuck(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(STUCK.as_bytes())
}

fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let at = fs::symlink_metadata(path).map(id).ok();
    at.is_some() && file.metadata().map(id).ok() == at
}

fn orphan(path: PathBuf, host: (u64, u64)) -> Option<Orphan> {
    let file = open(&path, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK, 0).ok()?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()?;
    // The attempt may have come to its end, or somebody have been faster, since
    // the folder was read: then the file is gone, or is the attachment's now.
    if !is_at(&lock, &path) {
        return None;
    }
    let mut text = Vec::new();
    (&*lock).take(MAX_FILE).read_to_end(&mut text).ok()?;
    let attached = read(&text)?;
    (attached.heading.host == host).then_some(Orphan { attached, path, _lock: lock })
}

/// None if it is none of ours, or of another version.
fn read(text: &[u8]) -> Option<Attached> {
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
            Ok(Line::Undo(undo)) => entries.push(Some(undo)),
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

impl Heading {
    pub(crate) const VERSION: u32 = VERSION;

    /// Whose effects they are.
    pub(crate) fn owner(&self) -> Owner {
        let Self { network, container_id, ifname, .. } = self.clone();
        Owner { network, container_id, ifname }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heading() -> Heading {
        let name = |text: &str| text.to_owned();
        Heading {
            version: VERSION,
            network: name("n1"),
            container_id: name("c1"),
            ifname: name("eth0"),
            netns: name("/run/netns/c1"),
            host: (1, 2),
        }
    }

    fn effect() -> Undo {
        Undo::File { path: "/nonexistent/file".into() }
    }

    #[test]
    fn only_what_nobody_works_on_any_more_is_an_orphan() {
        let folder = tempfile::tempdir().unwrap();
        let journal_of = || {
            let mut journal = Journal::default();
            journal.note(&folder.path().join("journal"), heading, Some((3, 4)), effect()).unwrap();
            journal
        };
        let found = || orphans(&folder.path().join("journal"), (1, 2), false).len();
        let mut alive = journal_of();
        assert_eq!(found(), 0, "it is locked");
        alive.close();
        // Dropped without a word, as by a process that is killed.
        drop(journal_of());
        assert!(orphans(&folder.path().join("journal"), (1, 9), false).is_empty(), "another host's namespace");
        assert_eq!(found(), 1);
    }

    /// Between the listing of the folder and the lock on a file, its attempt may
    /// have come to its end.
    #[test]
    fn what_is_kept_as_an_attachment_is_no_orphan() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::default();
        journal.note(folder.path(), heading, None, effect()).unwrap();
        let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let opened = File::open(&path).unwrap();
        let kept = folder.path().join("attachments/n1");
        journal.keep(&kept);
        drop(journal);
        let lock = Flock::lock(opened, FlockArg::LockExclusiveNonblock).unwrap();
        assert!(!is_at(&lock, &path), "its name is another one now");
        assert!(is_at(&lock, &kept));
        assert_eq!(attached(&kept).unwrap().entries.len(), 1);
    }
}
