//! The record of an attempt's effects: in memory, and in a file below `/run` that outlives the process, each entry before
//! its effect. Whoever comes next finds the file of a process that was killed, and takes its effects back.
//!
//! A note is no fact: the process may end between the note and the effect. So a note says what the object is going to be
//! known by, which no other object has, or what was there before; an effect whose object gets more to be known by has a
//! second line when it is done. An effect that cannot be noted is not done.
//!
//! The file is locked (flock(2)) for as long as the attempt lasts, so that a file without a lock is one that nobody works
//! on. A line that was not written whole is taken away again, or is the last. What a reboot leaves behind is not here: see
//! `boot`.

use std::{
    fs::{self, File},
    io::{self, Seek as _, SeekFrom, Write as _},
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use wasm_cni_kernel::NetnsId;
use wasm_cni_state::files::{create_directories, create_whole, remove_created};

use super::{
    directories::Directories,
    effect::Entry,
    format::{self, Heading, Line, MAX_ENTRIES, MAX_FILE, UNBORN, stuck},
};

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
    /// Bytes of whole lines.
    written: u64,
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

    /// An effect has come about, and this is what is known of it now. If that cannot be written, the note still tells it from
    /// all others.
    pub fn done(&mut self, number: usize, effect: Entry) {
        let Some(Some(entry)) = self.entries.get_mut(number) else { return };
        if let (Some(opened), Ok(line)) = (&mut self.file, format::done(number, &*effect)) {
            let _ = opened.write_lines(&line);
        }
        *entry = effect;
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
        sandbox: Option<NetnsId>,
        effect: Entry,
    ) -> io::Result<usize> {
        let line = format::undo(self.entries.len(), &*effect)?;
        let length = self.length + line.len() as u64;
        let links = self.links + usize::from(effect.is_link());
        // A file that is not read to its end cannot be applied.
        if length > MAX_FILE / 2 || self.entries.len() + self.implied >= MAX_ENTRIES || links > MAX_LINKS {
            return Err(Errno::EDQUOT.into());
        }
        let mut lines = Vec::new();
        // Also of an effect on the host: whether the container is still there decides what becomes of that.
        let tells_sandbox = sandbox.filter(|_| !self.knows_sandbox);
        if let Some(id) = tells_sandbox {
            lines = format::line(&Line::Sandbox(id))?;
        }
        lines.extend(line);
        match &mut self.file {
            Some(opened) => opened.write_lines(&lines)?,
            None => self.file = Some(Opened::new(directory, &heading(), &lines, &mut self.created)?),
        }
        self.knows_sandbox |= tells_sandbox.is_some();
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

    /// It was not done after all. That the note of it stays in the file if this cannot be written is no harm: there is nothing
    /// that is known by what it says.
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
    ///
    /// # Errors
    ///
    /// If it cannot be kept. Then it is as before.
    pub fn keep(&mut self, path: &Path) -> io::Result<Vec<Entry>> {
        if let Some(opened) = &self.file {
            let rename = || fs::rename(&opened.path, path);
            rename().or_else(|e| {
                let parent = path.parent().filter(|_| e.kind() == io::ErrorKind::NotFound).ok_or(e)?;
                let made = create_directories(parent, 0o700).map_err(|failure| failure.source)?;
                self.created.extend(made);
                rename()
            })?;
            // Its name is another one now, which closing leaves alone.
            self.file = None;
        }
        Ok(self.close())
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
    fn new(directory: &Path, heading: &Heading, first: &[u8], created: &mut Vec<PathBuf>) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // In the order of time, and never a name that somebody has left.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("{now:024x}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = directory.join(name);
        let lines = [format::line(&Line::Heading(heading.clone()))?, first.to_vec()].concat();
        // Without a name until it is locked and has its first lines: a process that is killed meanwhile leaves nothing.
        let create = || {
            create_whole(&path, Some(&unborn(&path)), |file| {
                let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
                let mut opened = Self { path: path.clone(), file, written: 0 };
                opened.write_lines(&lines)?;
                Ok(opened)
            })
        };
        create().or_else(|e| {
            if e.kind() != io::ErrorKind::NotFound {
                return Err(e);
            }
            created.extend(create_directories(directory, 0o700).map_err(|failure| failure.source)?);
            create()
        })
    }

    fn write(&mut self, entry: &Line) -> io::Result<()> {
        self.write_lines(&format::line(entry)?)
    }

    /// In one write(2). What the disk had room for is taken away again, so that the next line is a line.
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = match self.file.write(lines) {
            Ok(length) if length == lines.len() => {
                self.written += length as u64;
                return Ok(());
            }
            Ok(_) => Errno::ENOSPC.into(),
            Err(e) => e,
        };
        self.file.set_len(self.written)?;
        self.file.seek(SeekFrom::Start(self.written))?;
        Err(written)
    }
}

impl AsFd for Opened {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn unborn(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{UNBORN}{name}"))
}
