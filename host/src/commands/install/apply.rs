//! Doing the steps. A name always stands for a whole file: every change renames a
//! file that is complete and on the disk, so no call meets "text file busy", half a
//! file, or none.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Error, Result};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag},
    libc,
};
use wasm_cni_kernel::open;

use super::{
    directory::{Directory, LOCK, PROGRAM, REPLACED, UNBORN},
    plan::{Action, Step},
};

/// How long to wait for another install.
const PATIENCE: Duration = Duration::from_secs(60);

/// Exclusive use of the directory. The lock is on a file in it that only its owner can
/// open, and that goes with the lock: on the directory itself, anybody could hold one.
pub(super) struct Held<'a> {
    directory: &'a Directory,
    lock: Option<Flock<File>>,
}

impl<'a> Held<'a> {
    /// Waits for other installs. A directory that does not exist yet is locked once it
    /// is created.
    pub(super) fn take(directory: &'a Directory) -> Result<Self> {
        match File::open(&directory.path) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self { directory, lock: None }),
            Err(e) => return Err(explained(e, directory)),
        }
        match lock(&directory.file(LOCK)) {
            Ok(lock) => Ok(Self { directory, lock: Some(lock) }),
            Err(e) if e.raw_os_error() == Some(libc::ETIMEDOUT) => {
                let path = directory.path.display();
                Err(Error::msg(format!(
                    "cannot change {path}: another install or uninstall has been at it for a minute"
                )))
            }
            // Nothing can be written there by anybody like us. If there is something to do, that will say why.
            Err(_) => Ok(Self { directory, lock: None }),
        }
    }

    /// Removes what a killed install left behind. Nobody uses it while the lock is held.
    pub(super) fn clean(&self) {
        for directory in [self.directory.path.clone(), self.directory.path.join(REPLACED)] {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.file_name().as_encoded_bytes().starts_with(UNBORN.as_bytes()) {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    }

    pub(super) fn apply(&mut self, step: &Step) -> Result<()> {
        let directory = self.directory;
        self.try_apply(step).map_err(|e| explained(e, directory)).with_context(|| format!("{} is unchanged", step.name))
    }

    fn try_apply(&mut self, step: &Step) -> io::Result<()> {
        let directory = self.directory;
        let (path, aside) = (directory.file(&step.name), directory.aside(&step.name));
        match &step.action {
            Action::MakeDirectory => {
                fs::DirBuilder::new().recursive(true).mode(0o755).create(&directory.path)?;
                fs::set_permissions(&directory.path, Permissions::from_mode(0o755))?;
                self.lock = lock(&directory.file(LOCK)).ok();
                Ok(())
            }
            Action::Write { from, keep, .. } => {
                let new = directory.file(&format!("{UNBORN}{}", step.name));
                write(from, &new)?;
                if *keep {
                    self.keep(&step.name)?;
                }
                fs::rename(new, path)
            }
            Action::Link { keep } => {
                let new = directory.file(&format!("{UNBORN}{}", step.name));
                let _ = fs::remove_file(&new);
                let program = directory.file(PROGRAM);
                // Without hard links, every name is a copy.
                fs::hard_link(&program, &new).or_else(|_| write(&program, &new))?;
                if *keep {
                    self.keep(&step.name)?;
                }
                fs::rename(new, path)
            }
            Action::Remove => fs::remove_file(path),
            Action::Restore => fs::rename(aside, path),
            Action::Forget => fs::remove_file(aside),
            Action::UpToDate | Action::Leave(_) => Ok(()),
        }
    }

    /// Gives the existing file a second name. It keeps the first one until ours
    /// replaces it.
    fn keep(&self, name: &str) -> io::Result<()> {
        let kept = self.directory.path.join(REPLACED);
        match fs::DirBuilder::new().mode(0o755).create(&kept) {
            // The umask has been applied.
            Ok(()) => fs::set_permissions(&kept, Permissions::from_mode(0o755))?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
        let (path, new) = (self.directory.file(name), kept.join(format!("{UNBORN}{name}")));
        let _ = fs::remove_file(&new);
        if fs::hard_link(&path, &new).is_err() {
            // The file system has no hard links.
            match fs::read_link(&path) {
                Ok(target) => symlink(target, &new)?,
                Err(_) => drop(fs::copy(&path, &new).and_then(|_| File::open(&new)?.sync_all())?),
            }
        }
        fs::rename(&new, self.directory.aside(name))?;
        // rename(2) does nothing if both names are of one file.
        let _ = fs::remove_file(&new);
        File::open(&kept)?.sync_all()
    }

    /// After the last step: makes everything survive a power loss.
    pub(super) fn finish(self) -> Result<()> {
        // Stays if a file is kept in it.
        let _ = fs::remove_dir(self.directory.path.join(REPLACED));
        File::open(&self.directory.path)
            .and_then(|directory| directory.sync_all())
            .map_err(|e| explained(e, self.directory))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.lock.is_some() {
            let _ = fs::remove_file(self.directory.file(LOCK));
        }
    }
}

/// Takes the lock. A file that has been removed meanwhile locks nobody out.
fn lock(path: &Path) -> io::Result<Flock<File>> {
    let begin = Instant::now();
    loop {
        let file = open(path, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW, 0o600)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) if lock.metadata()?.nlink() > 0 => return Ok(lock),
            Ok(_) => {}
            Err((_, Errno::EAGAIN)) if begin.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(5)),
            Err((_, Errno::EAGAIN)) => return Err(Errno::ETIMEDOUT.into()),
            Err((_, errno)) => return Err(errno.into()),
        }
    }
}

/// Makes a complete copy that is on the disk.
fn write(from: &Path, new: &Path) -> io::Result<()> {
    let _ = fs::remove_file(new);
    let copy = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(new)?;
        io::copy(&mut File::open(from)?, &mut file)?;
        // Independent of the umask.
        file.set_permissions(Permissions::from_mode(0o755))?;
        file.sync_all()
    };
    copy().inspect_err(|_| {
        let _ = fs::remove_file(new);
    })
}

/// Adds what to do about the error.
fn explained(error: io::Error, directory: &Directory) -> Error {
    let path = directory.path.display();
    let hint = match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            "\nhint: run it as root, or name a directory of your own: `wasm-cni install DIR`"
        }
        Some(libc::EROFS) => {
            "\nhint: name a writable directory, and add it to the runtime's plugin directories \
             (containerd: `bin_dirs`, CRI-O: `plugin_dirs`, Podman: `cni_plugin_dirs`)"
        }
        Some(libc::ENOSPC | libc::EDQUOT) => "\nhint: the file system is full",
        _ => "",
    };
    Error::msg(format!(
        "cannot write to {path}: {}{hint}",
        wasm_cni_kernel::errno_text(error.raw_os_error().unwrap_or(0))
    ))
}
