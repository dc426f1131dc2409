//! What is kept on disk: whether it can be, and what is left of attachments that
//! are no more.

use std::path::Path;

use anyhow::Result;
use nix::{
    sys::statvfs::statvfs,
    unistd::{AccessFlags, access},
};

use super::{Report, files};
use crate::{commands::leases, env::Env};

/// Where state lies, below the root, and what for.
const FOLDERS: [(&str, &str); 3] = [
    ("var/lib/cni", "results and leases"),
    ("run/wasm-cni", "records of what was done"),
    ("var/cache/wasm-cni", "native code of components"),
];

/// Of a file system, in percent.
const LITTLE: u64 = 5;

pub(super) fn look(report: &mut Report, env: &Env) -> Result<()> {
    for (folder, what) in FOLDERS {
        let path = env.root().join(folder);
        // What is yet to be made is made in what there is.
        let Some(there) = path.ancestors().find(|path| path.is_dir()) else { continue };
        if access(there, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
            let text = format!("{what}: this user cannot write to {}", there.display());
            report.warn("state", text, "run this as the user that the container runtime runs as");
        } else {
            report.ok("state", format!("{what}: {} can be written to", there.display()));
        }
        space(report, there);
    }
    if files::compiler().is_none() {
        let text = "no wasm-cni-compile beside this program: new components cannot be compiled";
        report.warn("state", text, "install it beside wasm-cni, or set WASM_CNI_COMPILER");
    }
    let runtime = env.runtime()?;
    match runtime.recover(true) {
        Ok(killed) if killed.is_empty() => report.ok("attachments", "no ADD was left half-done"),
        Ok(killed) => report.warn(
            "attachments",
            format!("{} was killed and is yet to be taken back", count(killed.len(), "ADD")),
            "wasm-cni recover; the next ADD does it too",
        ),
        Err(error) => report.warn("attachments", error.to_string(), "run this as root"),
    }
    let stale = runtime.cached(None).iter().filter(|cached| cached.is_alive() == Some(false)).count();
    if stale > 0 {
        let text = format!("{} in the result cache of a namespace that is gone", count(stale, "attachment"));
        report.warn("attachments", text, "wasm-cni list says which; wasm-cni gc NETWORK --keep-alive");
    }
    match leases::stale(&runtime, env) {
        Ok(0) => report.ok("leases", "no stale ones"),
        Ok(stale) => report.warn("leases", count(stale, "stale lease"), "wasm-cni leases --prune"),
        Err(error) => report.warn("leases", error.to_string(), "run this as root"),
    }
    Ok(())
}

/// The disk that a folder is on.
fn space(report: &mut Report, path: &Path) {
    let Ok(disk) = statvfs(path) else { return };
    let blocks = (disk.blocks_available(), disk.blocks(), "space");
    // Some file systems do not count them.
    let files = (disk.files_available(), disk.files(), "inodes");
    for (free, all, what) in [blocks, files] {
        if all > 0 && free.saturating_mul(100) < all.saturating_mul(LITTLE) {
            let text =
                format!("{} {what} left where {} is", if free == 0 { "no" } else { "hardly any" }, path.display());
            let remedy = "make room: an ADD that cannot write its result fails";
            if free == 0 { report.fail("disk", text, remedy) } else { report.warn("disk", text, remedy) }
        }
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
