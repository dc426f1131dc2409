//! State on disk: whether it can be written, and what dead attachments left behind.

use std::path::Path;

use anyhow::Result;
use nix::{
    sys::statvfs::statvfs,
    unistd::{AccessFlags, access},
};

use super::{Report, files};
use crate::{commands::leases, env::Env};

/// Where state is, in the root, and what it is.
const DIRECTORIES: [(&str, &str); 3] = [
    ("var/lib/cni", "results and leases"),
    ("run/wasm-cni", "records of effects"),
    ("var/cache/wasm-cni", "native code of components"),
];

/// Percent of a file system.
const LITTLE: u64 = 5;

pub(super) fn look(report: &mut Report, env: &Env) -> Result<()> {
    for (directory, what) in DIRECTORIES {
        let path = env.root().join(directory);
        // A missing directory is created in the nearest one that exists.
        let Some(there) = path.ancestors().find(|path| path.is_dir()) else { continue };
        if access(there, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
            let text = format!("{what}: this user cannot write to {}", there.display());
            report.warn("state", text, "run this as the container runtime's user");
        } else {
            report.ok("state", format!("{what}: {} is writable", there.display()));
        }
        space(report, there);
    }
    if files::compiler().is_none() {
        let text = "`wasm-cni-compile` was not found next to this program: third-party plugins cannot be compiled";
        report.warn("state", text, "install it next to wasm-cni, or set WASM_CNI_COMPILER");
    }
    let runtime = env.runtime()?;
    match runtime.recover(true) {
        Ok(killed) if killed.is_empty() => report.ok("attachments", "no interrupted ADD"),
        Ok(killed) => report.warn(
            "attachments",
            format!("{} left effects behind", count(killed.len(), "interrupted ADD")),
            "wasm-cni recover; the next ADD undoes them, too",
        ),
        Err(error) => report.warn("attachments", error.to_string(), "run this as root"),
    }
    let stale = runtime.cached(None).iter().filter(|cached| cached.is_alive() == Some(false)).count();
    if stale > 0 {
        let text = format!("{} in the result cache, without a namespace", count(stale, "stale attachment"));
        report.warn("attachments", text, "`wasm-cni list` shows them; wasm-cni gc NETWORK --keep-alive");
    }
    match leases::stale(&runtime, env) {
        Ok(0) => report.ok("leases", "no stale leases"),
        Ok(stale) => report.warn("leases", count(stale, "stale lease"), "wasm-cni leases --prune"),
        Err(error) => report.warn("leases", error.to_string(), "run this as root"),
    }
    Ok(())
}

/// The file system of a directory.
fn space(report: &mut Report, path: &Path) {
    let Ok(disk) = statvfs(path) else { return };
    let blocks = (disk.blocks_available(), disk.blocks(), "space");
    // Some file systems do not count inodes.
    let files = (disk.files_available(), disk.files(), "inodes");
    for (free, all, what) in [blocks, files] {
        if all > 0 && free.saturating_mul(100) < all.saturating_mul(LITTLE) {
            let text = format!("{} {what} left for {}", if free == 0 { "no" } else { "little" }, path.display());
            let remedy = "free some: an ADD that cannot write its result fails";
            if free == 0 { report.fail("disk", text, remedy) } else { report.warn("disk", text, remedy) }
        }
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
