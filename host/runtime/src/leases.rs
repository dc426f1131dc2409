//! Leases on disk, for people: whose they are, and removing those that are
//! nobody's any more.

use std::{
    fs,
    io::{self, Read as _},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::libc;

use crate::{
    boot,
    directory::{DATA_DIR, Directory, MAX_VALUE},
    error::{CniError, code},
    folder::reason,
    journal,
    limits::Deadline,
    protocol::is_name,
    runtime::{Attachment, Runtime},
};

/// Time to get the lock: an ADD holds it for a moment only.
const PATIENCE: Duration = Duration::from_secs(10);

/// An address that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// The address.
    pub address: IpAddr,
    /// By whom; empty if the file is, as after a power loss: then the address is free.
    pub container_id: String,
    /// The interface inside the container; older plugins did not write it down.
    pub ifname: String,
    /// When it was taken.
    pub since: Option<SystemTime>,
    /// Whether it is from before the last reboot: whoever had it is gone.
    pub before_this_boot: bool,
}

impl Runtime {
    /// The networks that have leases in the default folder, in order.
    #[must_use]
    pub fn networks_with_leases(&self) -> Vec<String> {
        let entries = fs::read_dir(self.inner.under_root(DATA_DIR)).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut names: Vec<_> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| is_name(name));
        names.sort();
        names
    }

    /// The folder of a network's leases. `data_dir` is its `ipam.dataDir`.
    #[must_use]
    pub fn lease_folder(&self, network: &str, data_dir: Option<&str>) -> PathBuf {
        self.inner.under_root(data_dir.unwrap_or(DATA_DIR)).join(network)
    }

    /// The leases in a folder, in the addresses' order; none if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn leases(&self, folder: &Path) -> Result<Vec<Lease>, CniError> {
        read(folder).map_err(|e| failed(format!("cannot read {}: {}", folder.display(), reason(&e))))
    }

    /// Removes the leases in a folder that `which` says, with the folder's lock
    /// held. Gives them.
    ///
    /// # Errors
    ///
    /// If the lock is not to be had, or one cannot be removed.
    pub fn release(&self, folder: &Path, mut which: impl FnMut(&Lease) -> bool) -> Result<Vec<Lease>, CniError> {
        let Some(directory) = Directory::existing(folder, &[]) else { return Ok(Vec::new()) };
        let lock = directory.lock(&Deadline::after(PATIENCE)).map_err(|e| failed(e.to_string()))?;
        let mut leases = self.leases(folder)?;
        leases.retain(|lease| which(lease));
        for lease in &leases {
            lock.delete(&lease.address.to_string()).map_err(|e| failed(e.to_string()))?;
        }
        Ok(leases)
    }

    /// The attachments that this host has a record of, from their ADD to their
    /// DEL: each network's name and what is known of it.
    #[must_use]
    pub fn recorded(&self) -> Vec<(String, Attachment)> {
        let list = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let records = list(self.inner.under_root("/run/wasm-cni/attachments")).flat_map(list);
        let heading = |path: PathBuf| {
            let journal::Heading { network, container_id, ifname, netns, .. } = journal::attached(&path)?.heading;
            Some((network, Attachment { container_id, ifname, netns, ..Attachment::default() }))
        };
        records.filter_map(heading).collect()
    }
}

fn failed(text: String) -> CniError {
    CniError::new(code::IO, text)
}

fn read(folder: &Path) -> io::Result<Vec<Lease>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut leases = Vec::new();
    for entry in entries {
        let entry = entry?;
        // `lock` and `last_reserved_ip.0` are no addresses.
        let address =
            entry.file_name().to_str().and_then(|name| name.parse::<IpAddr>().ok().filter(|ip| ip.to_string() == name));
        let Some(address) = address.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file())) else { continue };
        match lease(address, &entry.path()) {
            Ok(lease) => leases.push(lease),
            // Given back meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    leases.sort_by_key(|lease| lease.address);
    Ok(leases)
}

fn lease(address: IpAddr, path: &Path) -> io::Result<Lease> {
    let flags = libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let since = file.metadata()?.modified().ok();
    let mut text = Vec::new();
    file.take(MAX_VALUE).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.trim().split("\r\n");
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let (container_id, ifname) = (line(), line());
    Ok(Lease { address, container_id, ifname, since, before_this_boot: boot::is_before_this(path) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_read_and_only_those_that_are_named_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("10.0.0.10", "c1\r\neth0"),
            ("10.0.0.9", "old"),
            ("fd00::2", ""),
            ("lock", ""),
            ("last_reserved_ip.0", "10.0.0.9"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::create_dir(folder.path().join("10.0.0.3")).unwrap();
        let runtime = Runtime::builder().build().unwrap();
        let all = runtime.leases(folder.path()).unwrap();
        let facts: Vec<_> =
            all.iter().map(|l| (l.address.to_string(), l.container_id.as_str(), l.ifname.as_str())).collect();
        let expected = [("10.0.0.9", "old", ""), ("10.0.0.10", "c1", "eth0"), ("fd00::2", "", "")];
        assert_eq!(facts, expected.map(|(address, id, ifname)| (address.to_owned(), id, ifname)));
        let gone = runtime.release(folder.path(), |lease| lease.container_id == "old").unwrap();
        assert_eq!(gone.len(), 1);
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["10.0.0.10", "10.0.0.3", "fd00::2", "last_reserved_ip.0", "lock"]);
        assert_eq!(runtime.leases(&folder.path().join("none")).unwrap(), []);
    }
}
