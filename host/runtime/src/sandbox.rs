//! Private namespaces for this process: networks without privileges, for tests and for trying things out.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::{getegid, geteuid},
};
use wasm_cni_kernel::{LinkAttrs, LinkRef, Netns};
use wasm_cni_spec::error::{CniError, ErrorKind, code};
use wasm_cni_state::files::reason;

use crate::{builder::Builder, runtime::Runtime};

/// State of a private view of the machine, on a private file system.
const ROOT: &str = "/run/wasm-cni/isolated";

/// Private user, network and mount namespaces that this process has entered. The process is root in them and has no
/// privileges outside; it sees a `/run` of its own, and a network namespace in which only `lo` exists and is up. All of it
/// goes with the last process in it.
///
/// ```no_run
/// use wasm_cni::{Attachment, Netns, Network, sandbox::Sandbox};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let sandbox = Sandbox::enter()?;
///     let runtime = sandbox.runtime().build()?;
///     let netns = Netns::create()?;
///     runtime.add(&Network::loopback(), &Attachment::new("c1", "lo", netns.path()))?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Sandbox {
    root: PathBuf,
}

impl Sandbox {
    /// Enters new namespaces, for good and for the whole process.
    ///
    /// The process must have one thread: call it first in `main`, before an async runtime starts its threads and before any
    /// operation of a [`Runtime`]. Files that are needed later from `/run` have to be opened before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Kernel`] with `EINVAL` if there are other threads, with `EPERM` or `ENOSPC` if the kernel's settings forbid
    /// it to unprivileged users. The process may be in some of the namespaces then.
    pub fn enter() -> Result<Self, CniError> {
        let (uid, gid) = (geteuid(), getegid());
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).map_err(|errno| {
            let error = refused(
                "create private namespaces (see user.max_user_namespaces, kernel.unprivileged_userns_clone and \
                 kernel.apparmor_restrict_unprivileged_userns in sysctl)",
                errno,
            );
            match errno {
                Errno::EINVAL => error.hinting("the process has other threads"),
                _ => error,
            }
        })?;
        let write = |path: &str, text: String, what: &str| fs::write(path, text).map_err(|e| failed(what, e));
        // The kernel refuses the group mapping without this (user_namespaces(7)).
        write("/proc/self/setgroups", "deny".to_owned(), "disable setgroups")?;
        write("/proc/self/uid_map", format!("0 {uid} 1"), "map the user")?;
        write("/proc/self/gid_map", format!("0 {gid} 1"), "map the group")?;

        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
            .map_err(|errno| refused("make the mounts private", errno))?;
        // `ip netns` keeps its names there.
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"))
            .map_err(|errno| refused("mount a private /run", errno))?;
        fs::create_dir_all(ROOT).map_err(|e| failed("create the directory for state", e))?;
        let netns = Netns::current().map_err(|e| failed("open the private namespace", io::Error::other(e)))?;
        set_up_loopback(&netns)?;
        Ok(Self { root: ROOT.into() })
    }

    /// The directory for all state.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Settings of a runtime whose state is in the private directory.
    #[must_use]
    pub fn runtime(&self) -> Builder {
        Runtime::builder().root(&self.root)
    }
}

/// Sets `lo` up in a namespace, as container runtimes do before they start the container.
///
/// # Errors
///
/// [`ErrorKind::Kernel`] if the namespace cannot be entered, or not changed.
pub fn set_up_loopback(netns: &Netns) -> Result<(), CniError> {
    let up = || {
        let mut netlink = netns.connect()?;
        let index = netlink.link_get(LinkRef::Name("lo"))?.index;
        netlink.link_set(index, &LinkAttrs { up: Some(true), ..LinkAttrs::default() })
    };
    up().map_err(|e: wasm_cni_kernel::Error| {
        let kind = ErrorKind::Kernel(e.errno());
        CniError::internal(format!("cannot set up lo: {e}")).of_kind(kind).caused_by(e)
    })
}

fn refused(what: &str, errno: Errno) -> CniError {
    failed(what, errno.into()).of_kind(ErrorKind::Kernel(errno as i32))
}

fn failed(what: &str, error: io::Error) -> CniError {
    CniError::new(code::IO, format!("cannot {what}: {}", reason(&error))).caused_by(error)
}
