//! Doing it. A name always stands for a whole file: every change is a rename of
//! something that is complete and on the disk, so that no call meets "text file
//! busy", half a file, or none.

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
    folder::{Folder, PROGRAM, REPLACED, UNBORN},
    plan::{Action, Step},
};

/// Exclusive use of the folder: the lock is on the folder itself, so there is no
/// file to leave behind.
pub(super) struct Held<'a> {
    folder: &'a Folder,
    lock: Option<Flock<File>>,
}

impl<'a> Held<'a> {
    /// Waits for who else is at it. A folder that is not there yet is held once it is
    /// made.
    pub(super) fn take(folder: &'a Folder) -> Result<Self> {
        let lock = match File::open(&folder.path) {
            Ok(file) => Flock::lock(file, FlockArg::LockExclusive).ok(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(explained(e, folder)),
        };
        Ok(Self { folder, lock })
    }

    /// Removes what an install that was killed has left: with the lock held,
    /// nobody is working on it.
    pub(super) fn clean(&self) {
        for folder in [self.folder.path.clone(), self.folder.path.join(REPLACED)] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_name().as_encoded_bytes().starts_with(UNBORN.as_bytes()) {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    }

    pub(super) fn apply(&mut self, step: &Step) -> Result<()> {
        let folder = self.folder;
        self.try_apply(step).map_err(|e| explained(e, folder)).with_context(|| format!("{} is as it was", step.name))
    }

    fn try_apply(&mut self, step: &Step) -> io::Result<()> {
        let folder = self.folder;
        let (path, aside) = (folder.file(&step.name), folder.aside(&step.name));
        match &step.action {
            Action::MakeFolder => {
                fs::DirBuilder::new().recursive(true).mode(0o755).create(&folder.path)?;
                self.lock = Flock::lock(File::open(&folder.path)?, FlockArg::LockExclusive).ok();
                Ok(())
            }
            Action::Write { from, keep, .. } => {
                let new = folder.file(&format!("{UNBORN}{}", step.name));
                write(from, &new)?;
                if *keep {
                    self.keep(&step.name)?;
                }
                fs::rename(new, path)
            }
            Action::Link { keep } => {
                let new = folder.file(&format!("{UNBORN}{}", step.name));
                let _ = fs::remove_file(&new);
                let program = folder.file(PROGRAM);
                // A file system without hard links takes the room for all of them.
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

    /// A second name for the file that is there: it stays under its first one until
    /// ours takes that over.
    fn keep(&self, name: &str) -> io::Result<()> {
        let kept = self.folder.path.join(REPLACED);
        match fs::DirBuilder::new().mode(0o755).create(&kept) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let (path, new) = (self.folder.file(name), kept.join(format!("{UNBORN}{name}")));
        let _ = fs::remove_file(&new);
        if fs::hard_link(&path, &new).is_err() {
            // A file system without hard links.
            match fs::read_link(&path) {
                Ok(target) => symlink(target, &new)?,
                Err(_) => drop(fs::copy(&path, &new).and_then(|_| File::open(&new)?.sync_all())?),
            }
        }
        fs::rename(&new, self.folder.aside(name))?;
        // Nothing happens if both are names of one file.
        let _ = fs::remove_file(&new);
        File::open(&kept)?.sync_all()
    }

    /// After the last step: all of it outlives a power loss.
    pub(super) fn finish(self) -> Result<()> {
        // It stays if something is kept in it.
        let _ = fs::remove_dir(self.folder.path.join(REPLACED));
        File::open(&self.folder.path).and_then(|folder| folder.sync_all()).map_err(|e| explained(e, self.folder))
    }
}

/// A copy that is whole and on the disk.
fn write(from: &Path, new: &Path) -> io::Result<()> {
    let _ = fs::remove_file(new);
    let copy = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(new)?;
        io::copy(&mut File::open(from)?, &mut file)?;
        // Whatever the umask says.
        file.set_permissions(Permissions::from_mode(0o755))?;
        file.sync_all()
    };
    copy().inspect_err(|_| {
        let _ = fs::remove_file(new);
    })
}

/// What to do about it.
fn explained(error: io::Error, folder: &Folder) -> Error {
    let path = folder.path.display();
    let hint = match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            "\nhint: run it as root, or name a folder of your own: `wasm-cni install DIR`"
        }
        Some(libc::EROFS) => {
            "\nhint: name a folder that can be written to, and add it to the runtime's folders of plugins \
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
