//! The record of an attempt's effects: in memory, and in a file below `/run` that outlives the process, each entry before
//! its effect. Whoever comes next finds the file of a process that was killed, and takes its effects back.
//!
//! The file is locked (flock(2)) for as long as the attempt lasts, so that a file without a lock is one that nobody works
//! on. A line that was not written whole is the last, and of an effect that did not come about. What a reboot leaves behind
//! is not here: see `boot`.

use std::{
    fs::{self, File},
    io::{self, Write as _},
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
use wasm_cni_kernel::open;
use wasm_cni_state::files::{create_directories, remove_created};

use super::{
    directories::Directories,
    effect::Entry,
    format::{self, Heading, Line, MAX_FILE, UNBORN, stuck},
};

/// Most effects of one attempt: to take them back takes time.
const MAX_ENTRIES: usize = 8192;

/// Most links of one attempt: of all effects they take the longest.
const MAX_LINKS: usize = 64;

/// The record of an attempt that is under way.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Vec<Option<Entry>>,
    file: Option<Opened>,
    /// Bytes of what has been noted.
    length: u64,
    links: usize,
    /// Effects that go with others, and are in no note.
    implied: usize,
    /// Does the file say which namespace is the container's?
    knows_sandbox: bool,
    /// Directories that were made for the file, outermost first.
    created: Vec<PathBuf>,
}

#[derive(Debug)]
struct Opened {
    path: PathBuf,
    file: Flock<File>,
}

impl Journal {
    /// Directories were made beside it, outermost first, that go with it.
    pub fn made(&mut self, directories: Vec<PathBuf>) {
        self.created.extend(directories);
    }

    /// The effects that are to be taken back, the first first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter().flatten()
    }

    /// More is known of an effect now that it has happened. What is in the file stays.
    pub fn amend(&mut self, number: usize, effect: Entry) {
        if let Some(Some(entry)) = self.entries.get_mut(number) {
            *entry = effect;
        }
    }

    /// Notes what is about to be done. Gives its number.
    ///
    /// # Errors
    ///
    /// If it could not be noted: then it must not be done. `EDQUOT` if there are
    /// too many.
    pub fn note(
        &mut self,
        directory: &Path,
        heading: impl FnOnce() -> Heading,
        sandbox: Option<(u64, u64)>,
        effect: Entry,
    ) -> io::Result<usize> {
        let line = format::effect(&*effect)?;
        let length = self.length + line.len() as u64;
        let links = self.links + usize::from(effect.is_link());
        // A file that is not read to its end cannot be applied.
        if length > MAX_FILE / 2 || self.entries.len() + self.implied >= MAX_ENTRIES || links > MAX_LINKS {
            return Err(Errno::EDQUOT.into());
        }
        let mut lines = Vec::new();
        // Also of an effect on the host: whether the container is still there decides what becomes of that.
        if let Some(id) = sandbox.filter(|_| !self.knows_sandbox) {
            lines = format::line(&Line::Sandbox(id))?;
            self.knows_sandbox = true;
        }
        lines.extend(line);
        if self.entries.is_empty() {
            self.file = Opened::new(directory, &heading(), &lines, &mut self.created)?;
        } else if let Some(opened) = &mut self.file {
            opened.write_lines(&lines)?;
        }
        (self.length, self.links) = (length, links);
        self.entries.push(Some(effect));
        Ok(self.entries.len() - 1)
    }

    /// Counts an effect that goes with another one.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if there are too many.
    pub fn count(&mut self) -> io::Result<()> {
        if self.entries.len() + self.implied >= MAX_ENTRIES {
            return Err(Errno::EDQUOT.into());
        }
        self.implied += 1;
        Ok(())
    }

    /// It was not done after all. That the note of it stays in the file if this
    /// can't be written is no harm: there is nothing then to take back.
    pub fn strike(&mut self, number: usize) {
        if let Some(entry) = self.entries.get_mut(number) {
            *entry = None;
            if let Some(opened) = &mut self.file {
                let _ = opened.write(&Line::Not(number));
            }
        }
    }

    /// Everything stays as it is: there is nothing to take back any more. What
    /// was done comes back, as from [`Journal::all`].
    pub fn close(&mut self) -> Vec<Entry> {
        if let Some(opened) = self.file.take() {
            let _ = fs::remove_file(&opened.path);
        }
        let all = self.all();
        (self.entries, self.created) = Default::default();
        all
    }

    /// What was done, and the directories that were made for the record.
    pub fn all(&self) -> Vec<Entry> {
        let made = (!self.created.is_empty()).then(|| Directories { created: self.created.clone() });
        made.map(|made| Arc::new(made) as Entry).into_iter().chain(self.entries().cloned()).collect()
    }

    /// Everything stays as it is, and the record for as long as the attachment.
    pub fn keep(&mut self, path: &Path) -> Vec<Entry> {
        if let Some(opened) = self.file.take() {
            let rename = || fs::rename(&opened.path, path);
            let renamed = rename().or_else(|e| {
                let parent = path.parent().filter(|_| e.kind() == io::ErrorKind::NotFound).ok_or(e)?;
                let made = create_directories(parent, 0o700).map_err(|failure| failure.source)?;
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
    pub fn vanish(&mut self) {
        let created = std::mem::take(&mut self.created);
        self.close();
        remove_created(&created);
    }

    /// Not all of it could be taken back: the file is left for whoever comes next.
    pub fn leave(&mut self) {
        if let Some(opened) = self.file.take() {
            let _ = fs::rename(&opened.path, stuck(&opened.path));
        }
    }
}

impl Opened {
    /// None where there is no such directory for us: the effects are taken back as
    /// long as the process lives.
    fn new(directory: &Path, heading: &Heading, first: &[u8], created: &mut Vec<PathBuf>) -> io::Result<Option<Self>> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // In the order of time, and never a name that somebody has left.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("{now:024x}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let unborn = directory.join(format!("{UNBORN}{name}"));
        let create = || open(&unborn, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW, 0o600);
        let opened = match create() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                create_directories(directory, 0o700).map_err(|failure| failure.source).and_then(|made| {
                    created.extend(made);
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
        let path = directory.join(name);
        let mut opened = Self { path, file };
        let lines = [format::line(&Line::Heading(heading.clone()))?, first.to_vec()].concat();
        let started = opened.write_lines(&lines).and_then(|()| fs::rename(&unborn, &opened.path));
        started.inspect_err(|_| {
            let _ = fs::remove_file(&unborn);
        })?;
        Ok(Some(opened))
    }

    fn write(&mut self, entry: &Line) -> io::Result<()> {
        self.write_lines(&format::line(entry)?)
    }

    /// In one write(2).
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        match self.file.write(lines)? {
            length if length == lines.len() => Ok(()),
            _ => Err(Errno::ENOSPC.into()),
        }
    }
}
