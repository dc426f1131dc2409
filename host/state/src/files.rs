//! Files and directories that several processes use at a time: made, replaced and locked so that nobody ever sees half of
//! one. Must not know: what is in them.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag},
    libc,
    unistd::linkat,
};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use wasm_cni_kernel::open;
use wasm_cni_spec::error::{CniError, code};

use crate::deadline::Deadline;

/// Suffix of files that are about to be renamed.
pub const TEMPORARY: &str = ".tmp";

/// A failure with the file and the operation.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {}", reason(source))]
pub struct Failure {
    /// `open PATH`, `mkdir PATH`, ...
    pub what: String,
    /// Why.
    pub source: io::Error,
}

impl Failure {
    /// An operation on a path that failed.
    #[must_use]
    pub fn new(operation: &str, path: &Path, source: io::Error) -> Self {
        Self { what: format!("{operation} {}", path.display()), source }
    }

    /// The errno (asm-generic/errno.h); 0 if there is none.
    #[must_use]
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }
}

impl From<Failure> for CniError {
    fn from(failure: Failure) -> Self {
        Self::new(code::IO, failure.to_string()).caused_by(failure)
    }
}

/// An I/O error in the words of strerror(3), without Rust's "(os error N)".
#[must_use]
pub fn reason(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), wasm_cni_kernel::errno_text)
}

/// A path of ours, below a root.
#[must_use]
pub fn under(root: &Path, path: &Path) -> PathBuf {
    if root == Path::new("/") {
        return path.to_owned();
    }
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Writes a file (0600) by way of another one that is renamed, so that nobody
/// ever sees half of it. `durable`: it survives a power loss too.
pub fn replace(path: &Path, data: &[u8], durable: bool) -> io::Result<()> {
    written(path, data, durable, |temporary| fs::rename(temporary, path))
}

/// The same of a file that is not there yet: `AlreadyExists` if somebody was faster.
pub fn create(path: &Path, data: &[u8]) -> io::Result<()> {
    written(path, data, false, |temporary| match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        // Not every file system has it.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => fs::rename(temporary, path),
        renamed => Ok(renamed?),
    })
}

fn written(path: &Path, data: &[u8], durable: bool, rename: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{}{TEMPORARY}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    let temporary = PathBuf::from(name);
    let write = || {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let mut file = open(&temporary, flags, 0o600).or_else(|e| {
            // Who had this process's number before may have been killed.
            fs::remove_file(&temporary).map_err(|_| e)?;
            open(&temporary, flags, 0o600)
        })?;
        file.write_all(data)?;
        if durable {
            file.sync_all()?;
        }
        rename(&temporary)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Makes a file (0600) that `fill` writes before it has its name, so that neither a reader nor a crash ever finds half of it:
/// `AlreadyExists` if there is one. Where the file system has no files without a name it is called `unborn` for the time
/// being, or is written under its own name if there is none.
pub fn create_whole<T: AsFd>(
    path: &Path,
    unborn: Option<&Path>,
    fill: impl FnOnce(File) -> io::Result<T>,
) -> io::Result<T> {
    match open(path.parent().unwrap_or(path), OFlag::O_WRONLY | OFlag::O_TMPFILE, 0o600) {
        Ok(file) => {
            let filled = fill(file)?;
            let file = format!("/proc/self/fd/{}", filled.as_fd().as_raw_fd());
            linkat(AT_FDCWD, file.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)?;
            Ok(filled)
        }
        Err(e) if [libc::EOPNOTSUPP, libc::EISDIR, libc::ENOENT].contains(&e.raw_os_error().unwrap_or(0)) => {
            let first = unborn.unwrap_or(path);
            let file = open(first, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW, 0o600)?;
            let named = |filled: T| unborn.map_or(Ok(()), |unborn| fs::rename(unborn, path)).map(|()| filled);
            fill(file).and_then(named).inspect_err(|_| {
                let _ = fs::remove_file(first);
            })
        }
        Err(e) => Err(e),
    }
}

/// Reads a file that has at most this many bytes.
///
/// # Errors
///
/// `FileTooLarge` if it has more.
pub fn read_at_most(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(bytes + 1).read_to_end(&mut content)?;
    if content.len() as u64 > bytes {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {} MiB", bytes >> 20)));
    }
    Ok(content)
}

/// Makes a directory and its missing parents; what was made comes back, outermost
/// first.
pub fn create_directories(path: &Path, mode: u32) -> Result<Vec<PathBuf>, Failure> {
    let mut created = Vec::new();
    // Somebody may remove, as unused, what was there a moment ago.
    for _ in 0..9 {
        match try_create_directories(path, mode, &mut created) {
            Err(e) if e.source.kind() == io::ErrorKind::NotFound => {}
            done => return done.map(|()| created),
        }
    }
    try_create_directories(path, mode, &mut created).map(|()| created)
}

fn try_create_directories(path: &Path, mode: u32, created: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let mut missing: Vec<&Path> =
        path.ancestors().take_while(|directory| !directory.as_os_str().is_empty() && !directory.is_dir()).collect();
    missing.reverse();
    for directory in missing {
        match fs::DirBuilder::new().mode(mode).create(directory) {
            Ok(()) => {
                created.push(directory.to_owned());
                // The umask has been applied.
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
                // One that may not even be opened will be an error to whoever uses it.
                let _ = open(directory, flags, 0).map(|made| made.set_permissions(Permissions::from_mode(mode)));
            }
            // Another call was faster.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            Err(e) => {
                remove_created(created);
                created.clear();
                // In the words for the path that was asked for.
                let in_the_way = e.kind() == io::ErrorKind::AlreadyExists;
                let e = if in_the_way { Errno::ENOTDIR.into() } else { e };
                return Err(Failure::new("mkdir", directory, e));
            }
        }
    }
    Ok(())
}

/// Removes directories that [`create_directories`] made, but for those that somebody
/// else uses by now and that are not empty.
pub fn remove_created(created: &[PathBuf]) {
    for directory in created.iter().rev() {
        let _ = fs::remove_dir(directory);
    }
}

/// Takes a lock on a file that is still there when the lock has been got: one
/// that has been removed meanwhile locks nobody out.
pub fn lock_linked(
    mut open: impl FnMut() -> io::Result<File>,
    how: FlockArg,
    deadline: &Deadline,
) -> io::Result<Flock<File>> {
    use std::os::unix::fs::MetadataExt as _;
    loop {
        let lock = lock_file(open()?, how, deadline)?;
        if lock.metadata()?.nlink() > 0 {
            return Ok(lock);
        }
        if deadline.passed() {
            return Err(Errno::ETIMEDOUT.into());
        }
    }
}

/// Takes a lock, trying again until the deadline: flock(2) has no time-out, and
/// waiting in the kernel could not be ended.
pub fn lock_file(mut file: File, how: FlockArg, deadline: &Deadline) -> io::Result<Flock<File>> {
    let mut pause = Duration::from_micros(100);
    loop {
        file = match Flock::lock(file, how) {
            Ok(lock) => return Ok(lock),
            Err((file, Errno::EAGAIN)) => file,
            Err((_, errno)) => return Err(errno.into()),
        };
        if deadline.passed() {
            return Err(Errno::ETIMEDOUT.into());
        }
        std::thread::sleep(pause.min(deadline.remaining()));
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}
