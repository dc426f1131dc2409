//! Network namespaces as file descriptors. Must not know: what is done inside.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::libc;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, fstat, stat};
use nix::sys::statfs::fstatfs;

use crate::{Error, Netlink};

/// Of the calling thread, not of the process: they differ inside [`Netns::run`].
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace. It lives for as long as this value does, even when its
/// path is unmounted.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
    id: (u64, u64),
    /// Who looks whether the namespace can be entered opens the first socket too.
    first: Mutex<Option<Netlink>>,
}

/// Why a path could not be opened as a network namespace. The texts are those
/// of containernetworking's `pkg/ns`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// `ENOENT`, a dangling link included.
    #[error("failed to Statfs {path:?}: no such file or directory")]
    Missing {
        /// As it was given.
        path: PathBuf,
    },
    /// On a file system that holds no namespaces.
    #[error("unknown FS magic on {path:?}: {magic:x}")]
    NotANamespace {
        /// As it was given.
        path: PathBuf,
        /// `f_type` of statfs(2).
        magic: u64,
    },
    /// A namespace of another kind: mount, pid, ...
    #[error("{path:?} is not a network namespace")]
    NotNetwork {
        /// As it was given.
        path: PathBuf,
    },
    /// Anything else, `ENOTDIR` and `EACCES` among it.
    #[error("failed to Statfs {path:?}: {}", crate::errno_text(source.raw_os_error().unwrap_or(0)))]
    Other {
        /// As it was given.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl Netns {
    /// Opens `path`. Whatever it names, nothing is opened but a namespace: no
    /// FIFO blocks this, no device notices. As long as the value lives, a mount
    /// at `path` is busy.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let named = || path.to_owned();
        let other = |errno: Errno| OpenError::Other { path: named(), source: errno.into() };

        let place =
            openat(AT_FDCWD, path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(|errno| match errno {
                Errno::ENOENT => OpenError::Missing { path: named() },
                errno => other(errno),
            })?;
        // C libraries do not agree on its type.
        let magic = fstatfs(&place).map_err(other)?.filesystem_type().0 as u64;
        if magic != libc::NSFS_MAGIC as u64 {
            return Err(OpenError::NotANamespace { path: named(), magic });
        }
        // The same file again, whatever the path names by now: setns(2) takes no O_PATH.
        let again = format!("/proc/self/fd/{}", place.as_raw_fd());
        let netns = Self::from_file(&again).map_err(other)?;
        match netns.run(|| Netlink::open(&[])) {
            // setns(2) looks at the kind before it looks at permissions.
            Err(error) if error.errno() == Errno::EINVAL as i32 => Err(OpenError::NotNetwork { path: named() }),
            // Who may not enter may still compare.
            result => Ok(Self { first: Mutex::new(result.flatten().ok()), ..netns }),
        }
    }

    /// The namespace of the calling thread.
    pub fn current() -> Result<Self, Error> {
        Self::from_file(OWN).map_err(|errno| Error::from_errno(errno).during("netns-current"))
    }

    /// A new namespace, with nothing in it but `lo`, down. Needs
    /// `CAP_SYS_ADMIN`. (`unshare(CLONE_NEWNET)`)
    pub fn create() -> Result<Self, Error> {
        on_new_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Self::from_file(OWN)
        })
        .map_err(|error| error.during("netns-create"))
    }

    /// A path of the namespace, good for as long as this value and this process
    /// live: through the process's own descriptor, so that nothing has to be
    /// mounted, and nothing stays if the process is killed.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.fd.as_raw_fd()))
    }

    /// Device and inode of the namespace file: equal for the same namespace
    /// and only for it, while both are open. (ioctl_nsfs(2))
    pub fn id(&self) -> (u64, u64) {
        self.id
    }

    /// Whether both are the same namespace.
    pub fn is_same(&self, other: &Netns) -> bool {
        self.id == other.id
    }

    /// Runs `f` in the namespace: the calling thread enters it and comes back, or
    /// stays where it is if it is in it already. Who may not come back, as after
    /// leaving a namespace that belongs to another user namespace, goes on a new
    /// thread instead. Entering needs `CAP_SYS_ADMIN`. (setns(2))
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let here = match HOME.get() {
            Some(home) => Some(AWAY.get().unwrap_or(home.id)),
            None => stat(OWN).ok().map(|own| (own.st_dev, own.st_ino)),
        };
        if here == Some(self.id) {
            return Ok(f());
        }
        let Some(way_back) = WayBack::find() else { return self.run_apart(f) };
        setns(&self.fd, CloneFlags::CLONE_NEWNET).map_err(|errno| Error::from_errno(errno).during("netns-enter"))?;
        AWAY.set(Some(self.id));
        let result = f();
        // Also when `f` panics.
        drop(way_back);
        Ok(result)
    }

    /// Says that all threads of this process are in this namespace, that no code
    /// moves them between namespaces but this module's, and none starts threads
    /// inside of another one, so that where they are is known: for a process of one
    /// operation, which saves it some system calls. Where there is no way back to
    /// this namespace, it changes nothing.
    pub fn is_home_of_all_threads(&self) {
        if let Ok(fd) = self.fd.try_clone()
            && setns(&fd, CloneFlags::CLONE_NEWNET).is_ok()
        {
            let _ = HOME.set(Self { fd, id: self.id, first: Mutex::default() });
        }
    }

    /// The same on a new thread that ends with it: for what changes more of its
    /// thread than the namespace.
    pub fn run_apart<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T, Error> {
        on_new_thread(|| {
            setns(&self.fd, CloneFlags::CLONE_NEWNET)?;
            AWAY.set(Some(self.id));
            Ok(f())
        })
        .map_err(|error| error.during("netns-enter"))
    }

    /// A route socket of the namespace.
    pub fn connect(&self) -> Result<Netlink, Error> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(netlink) = first {
            return Ok(netlink);
        }
        self.run(|| Netlink::open(&[]))?.map_err(|error| error.during("netns-connect"))
    }

    fn from_file(path: &str) -> nix::Result<Self> {
        let fd = openat(AT_FDCWD, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        let stat = fstat(&fd)?;
        Ok(Self { fd, id: (stat.st_dev, stat.st_ino), first: Mutex::new(None) })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Where the threads of this process are, if nobody moves them but this module: then
/// that need not be asked each time.
static HOME: OnceLock<Netns> = OnceLock::new();

thread_local! {
    /// The namespace that this thread is in, if it has left [`HOME`].
    static AWAY: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// Brings the calling thread back to where it is now, when it is dropped.
struct WayBack {
    to: Place,
    away: Option<(u64, u64)>,
}

enum Place {
    Home(&'static Netns),
    Other(OwnedFd),
}

impl WayBack {
    /// None if there is none, which is tried: into the namespace where it is.
    fn find() -> Option<Self> {
        let away = AWAY.get();
        if let (Some(home), None) = (HOME.get(), away) {
            return Some(Self { to: Place::Home(home), away });
        }
        let own = openat(AT_FDCWD, OWN, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        setns(&own, CloneFlags::CLONE_NEWNET).ok()?;
        Some(Self { to: Place::Other(own), away })
    }
}

impl Drop for WayBack {
    fn drop(&mut self) {
        let to = match &self.to {
            Place::Home(home) => home.as_fd(),
            Place::Other(own) => own.as_fd(),
        };
        if setns(to, CloneFlags::CLONE_NEWNET).is_err() {
            // It worked before. Whatever this thread would do next, it would do in a
            // container.
            std::process::abort();
        }
        AWAY.set(self.away);
    }
}

/// The thread never comes back from a namespace, so nothing is restored and
/// nothing leaks.
fn on_new_thread<T: Send>(f: impl FnOnce() -> nix::Result<T> + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, f)
            .map_err(|error| Error::from_io(&error))?;
        match thread.join() {
            Ok(result) => result.map_err(Error::from_errno),
            Err(panic) => resume_unwind(panic),
        }
    })
}
