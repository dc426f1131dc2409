//! Doing the steps. A name always stands for a whole file: every change renames a
//! file that is complete and on the disk, so no call meets "text file busy", half a
//! file, or none.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use anyhow::{Context as _, Error, Result};
use nix::{
    fcntl::{Flock, FlockArg},
    libc,
};

use super::{
    directory::{Directory, PROGRAM, REPLACED, UNBORN},
    plan::{Action, Step},
};

/// Exclusive use of the directory. The lock is on the directory itself, so no lock
/// file is left behind.
pub(super) struct Held<'a> {
    directory: &'a Directory,
    lock: Option<Flock<File>>,
}

impl<'a> Held<'a> {
    /// Waits for other installs. A directory that does not exist yet is locked once it
    /// is created.
    pub(super) fn take(directory: &'a Directory) -> Result<Self> {
        let lock = match File::open(&directory.path) {
            Ok(file) => Flock::lock(file, FlockArg::LockExclusive).ok(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(explained(e, directory)),
        };
        Ok(Self { directory, lock })
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
                self.lock = Flock::lock(File::open(&directory.path)?, FlockArg::LockExclusive).ok();
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
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
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
