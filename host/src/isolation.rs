//! Private user, network and mount namespaces for this process, with a private
//! directory for state.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::{getegid, geteuid},
};

/// State of an isolated run, on a private file system.
const ROOT: &str = "/run/wasm-cni/isolated";

/// Enters new namespaces. Returns the directory for state.
///
/// # Errors
///
/// If the kernel's settings forbid it to unprivileged users.
pub(crate) fn enter() -> Result<PathBuf> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context(
        "cannot create private namespaces (see user.max_user_namespaces, kernel.unprivileged_userns_clone \
         and kernel.apparmor_restrict_unprivileged_userns in sysctl)",
    )?;
    // The kernel refuses the group mapping without this (user_namespaces(7)).
    fs::write("/proc/self/setgroups", "deny").context("cannot disable setgroups")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1")).context("cannot map the user")?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1")).context("cannot map the group")?;

    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
        .context("cannot make the mounts private")?;
    // `ip netns` keeps its names there.
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"))
        .context("cannot mount a private /run")?;
    fs::create_dir_all(ROOT).context("cannot create the directory for state")?;
    Ok(ROOT.into())
}
