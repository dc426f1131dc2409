//! The lock of a namespace that is a host's: every ADD holds it shared, and who removes what attachments share holds it alone.
//!
//! It is on the directory of the namespace's records, which no other user can open. On the namespace's own file anybody on
//! the host could hold one, and delay every ADD.

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{Flock, FlockArg, OFlag},
    libc,
};
use wasm_cni_kernel::{Netns, open};
use wasm_cni_state::{
    deadline::Deadline,
    files::{create_directories, lock_linked, remove_created},
};

use super::attachments;
use crate::context::Context;

/// The lock, until dropped.
#[derive(Debug)]
pub struct Held {
    _lock: Flock<File>,
    /// Directories that were made for it, outermost first.
    created: Vec<PathBuf>,
}

impl Held {
    /// The directories that were made for it, for whoever is to remove them.
    #[must_use]
    pub fn take_created(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.created)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // While it is still held: nobody else can have it, or has it in vain.
        remove_created(&self.created);
    }
}

/// Shared: an ADD is under way. If it is not to be had, ADDs go on without: only tidying up afterwards depends on it.
#[must_use]
pub fn lock_shared(context: &Context, netns: &Netns, deadline: &Deadline) -> Option<Held> {
    lock(&attachments(context, netns).ok()?, netns, FlockArg::LockSharedNonblock, deadline)
}

/// Exclusive: no ADD is under way in this namespace.
#[must_use]
pub fn lock_exclusive(context: &Context, netns: &Netns, deadline: &Deadline) -> Option<Held> {
    lock(&attachments(context, netns).ok()?, netns, FlockArg::LockExclusiveNonblock, deadline)
}

fn lock(directory: &Path, netns: &Netns, how: FlockArg, deadline: &Deadline) -> Option<Held> {
    let mut created = Vec::new();
    let open_directory = || open(directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, 0);
    let mut opened = || match open_directory() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            created.extend(create_directories(directory, 0o700).map_err(|failure| failure.source)?);
            open_directory()
        }
        opened => opened,
    };
    let lock = match lock_linked(&mut opened, how, deadline) {
        // Where this process can keep no records: the namespace's own file.
        Err(e) if [libc::EACCES, libc::EPERM, libc::EROFS, libc::ENOTDIR].contains(&e.raw_os_error().unwrap_or(0)) => {
            // An open of its own: duplicates of a descriptor share their lock.
            let file = || File::open(format!("/proc/self/fd/{}", netns.as_fd().as_raw_fd()));
            lock_linked(file, how, deadline)
        }
        locked => locked,
    };
    Some(Held { _lock: lock.ok()?, created })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lock_of_the_namespace_s_own_file_is_in_nobody_s_way() {
        let root = tempfile::tempdir().unwrap();
        let netns = Netns::current().unwrap();
        let take = |how| lock(&root.path().join("a/b"), &netns, how, &Deadline::after(Duration::ZERO));
        let other = File::open("/proc/self/ns/net").unwrap();
        let _other = Flock::lock(other, FlockArg::LockExclusiveNonblock).unwrap();
        let (shared, exclusive) = (FlockArg::LockSharedNonblock, FlockArg::LockExclusiveNonblock);
        let (first, second) = (take(shared).unwrap(), take(shared).unwrap());
        assert!(take(exclusive).is_none());
        drop((second, first));
        drop(take(exclusive).unwrap());
        assert!(root.path().read_dir().unwrap().next().is_none(), "it leaves no directory behind");
    }
}
