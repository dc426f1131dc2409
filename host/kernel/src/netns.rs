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

use crate::{Error, Netlink, NetnsId};

/// The calling thread's, not the process's: they differ inside [`Netns::run`].
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace. It exists as long as this value, even if its path is
/// unmounted.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
    /// Device and inode. While both are open, they are equal only for the same
    /// namespace. (ioctl_nsfs(2))
    file: (u64, u64),
    id: OnceLock<NetnsId>,
    /// A socket that was opened to find out whether the namespace can be entered.
    first: Mutex<Option<Netlink>>,
}

/// Why a path could not be opened as a network namespace. The texts are those of
/// containernetworking's `pkg/ns`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// `ENOENT`, also for a dangling symbolic link.
    #[error("failed to Statfs {path:?}: no such file or directory")]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// The path is on a file system that does not hold namespaces.
    #[error("unknown FS magic on {path:?}: {magic:x}")]
    NotANamespace {
        /// The path as given.
        path: PathBuf,
        /// `f_type` of statfs(2).
        magic: u64,
    },
    /// The path is a namespace of another kind: mount, pid, ...
    #[error("{path:?} is not a network namespace")]
    NotNetwork {
        /// The path as given.
        path: PathBuf,
    },
    /// Any other error, such as `ENOTDIR` and `EACCES`.
    #[error("failed to Statfs {path:?}: {}", crate::errno_text(source.raw_os_error().unwrap_or(0)))]
    Other {
        /// The path as given.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl Netns {
    /// Opens `path` if it is a network namespace. Other files are not opened, so that a
    /// FIFO can't block and a device does not notice. As long as the value exists, a
    /// mount at `path` is busy.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let named = || path.to_owned();
        let other = |errno: Errno| OpenError::Other { path: named(), source: errno.into() };

        let place =
            openat(AT_FDCWD, path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(|errno| match errno {
                Errno::ENOENT => OpenError::Missing { path: named() },
                errno => other(errno),
            })?;
        // Its type differs between C libraries.
        let magic = fstatfs(&place).map_err(other)?.filesystem_type().0 as u64;
        if magic != libc::NSFS_MAGIC as u64 {
            return Err(OpenError::NotANamespace { path: named(), magic });
        }
        // Opens the same file again, even if the path was replaced: setns(2) rejects
        // O_PATH descriptors.
        let again = format!("/proc/self/fd/{}", place.as_raw_fd());
        let netns = Self::from_file(&again).map_err(other)?;
        match netns.run(|| Netlink::open(&[])) {
            // setns(2) checks the kind before permissions.
            Err(error) if error.errno() == Errno::EINVAL as i32 => Err(OpenError::NotNetwork { path: named() }),
            // A namespace that may not be entered can still be compared.
            result => Ok(Self { first: Mutex::new(result.flatten().ok()), ..netns }),
        }
    }

    /// The namespace of the calling thread.
    pub fn current() -> Result<Self, Error> {
        Self::from_file(OWN).map_err(|errno| Error::from_errno(errno).during("netns-current"))
    }

    /// Makes a new namespace, with nothing in it but `lo`, down. Needs
    /// `CAP_SYS_ADMIN`. (`unshare(CLONE_NEWNET)`)
    pub fn create() -> Result<Self, Error> {
        on_new_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Self::from_file(OWN)
        })
        .map_err(|error| error.during("netns-create"))
    }

    /// A path of the namespace, valid as long as this value and this process exist. It
    /// leads through the process's descriptor: nothing has to be mounted, and nothing
    /// is left behind if the process is killed.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.fd.as_raw_fd()))
    }

    /// What the namespace is known by until the next boot. Opens a socket in it, which
    /// [`Netns::connect`] then returns.
    pub fn id(&self) -> Result<NetnsId, Error> {
        if let Some(id) = self.id.get() {
            return Ok(*id);
        }
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some(self.open_socket()?);
        }
        let socket = first.as_ref().expect("opened above").socket();
        NetnsId::of(socket, self.file).map(|id| *self.id.get_or_init(|| id))
    }

    /// Whether both are the same namespace.
    pub fn is_same(&self, other: &Netns) -> bool {
        self.file == other.file
    }

    /// Runs `f` in the namespace. The calling thread enters it and comes back, unless
    /// it is already there. If the thread could not come back, because its own
    /// namespace belongs to another user namespace, a new thread is used instead.
    /// Entering needs `CAP_SYS_ADMIN`. (setns(2))
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let here = match HOME.get() {
            Some(home) => Some(AWAY.get().unwrap_or(home.file)),
            None => stat(OWN).ok().map(|own| (own.st_dev, own.st_ino)),
        };
        if here == Some(self.file) {
            return Ok(f());
        }
        let Some(way_back) = WayBack::find() else { return self.run_apart(f) };
        setns(&self.fd, CloneFlags::CLONE_NEWNET).map_err(|errno| Error::from_errno(errno).during("netns-enter"))?;
        AWAY.set(Some(self.file));
        let result = f();
        // Also when `f` panics.
        drop(way_back);
        Ok(result)
    }

    /// Declares that all threads of this process are in this namespace, that only this
    /// module moves them, and that no thread is started inside of another namespace.
    /// Then [`Netns::run`] need not ask where a thread is, which saves system calls in
    /// a process that does one operation. Enters the namespace to check that there is
    /// a way back; without one, it does nothing. (setns(2))
    pub fn is_home_of_all_threads(&self) {
        if let Ok(fd) = self.fd.try_clone()
            && setns(&fd, CloneFlags::CLONE_NEWNET).is_ok()
        {
            let _ = HOME.set(Self { fd, file: self.file, id: self.id.clone(), first: Mutex::default() });
        }
    }

    /// Runs `f` in the namespace, on a new thread that ends with it. For code that
    /// changes more of its thread than the namespace. (setns(2))
    pub fn run_apart<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T, Error> {
        on_new_thread(|| {
            setns(&self.fd, CloneFlags::CLONE_NEWNET)?;
            AWAY.set(Some(self.file));
            Ok(f())
        })
        .map_err(|error| error.during("netns-enter"))
    }

    /// Opens a route socket in the namespace.
    pub fn connect(&self) -> Result<Netlink, Error> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(netlink) = first {
            return Ok(netlink);
        }
        self.open_socket()
    }

    fn open_socket(&self) -> Result<Netlink, Error> {
        self.run(|| Netlink::open(&[]))?.map_err(|error| error.during("netns-connect"))
    }

    fn from_file(path: &str) -> nix::Result<Self> {
        let fd = openat(AT_FDCWD, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        let stat = fstat(&fd)?;
        Ok(Self { fd, file: (stat.st_dev, stat.st_ino), id: OnceLock::new(), first: Mutex::new(None) })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The namespace of all threads, after [`Netns::is_home_of_all_threads`].
static HOME: OnceLock<Netns> = OnceLock::new();

thread_local! {
    /// The namespace of this thread while it is not in [`HOME`].
    static AWAY: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// Moves the calling thread back to its present namespace when dropped.
struct WayBack {
    to: Place,
    away: Option<(u64, u64)>,
}

enum Place {
    Home(&'static Netns),
    Other(OwnedFd),
}

impl WayBack {
    /// `None` if the thread could not come back. To find out, it enters the namespace
    /// that it is in.
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
            // It worked before. If this thread went on, it would do so in a container.
            std::process::abort();
        }
        AWAY.set(self.away);
    }
}

/// The thread ends with `f`, so that there is no namespace to restore.
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
