//! Leases on disk, for people: whose they are, and removing those that are
//! nobody's any more.

use std::{
    fs,
    io::{self, Read as _},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::{Duration, SystemTime},
};

use nix::libc;

use wasm_cni_spec::{
    error::{CniError, code},
    names::is_name,
};

use crate::{
    boot,
    deadline::Deadline,
    files::reason,
    store::{MAX_VALUE, Transaction as _, files::Directory},
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

/// The networks that have leases in a directory of networks, in order.
#[must_use]
pub fn networks(data_dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(data_dir).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut names: Vec<_> = directories.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| is_name(name));
    names.sort();
    names
}

/// The leases in a directory, in the addresses' order; none if it is not there.
///
/// # Errors
///
/// If it cannot be read.
pub fn list(directory: &Path) -> Result<Vec<Lease>, CniError> {
    read(directory).map_err(|e| failed(format!("cannot read {}: {}", directory.display(), reason(&e))))
}

/// Removes the leases in a directory that `which` selects, holding the
/// directory's lock. Returns them.
///
/// # Errors
///
/// If the lock is not to be had, or one cannot be removed.
pub fn release(directory: &Path, mut which: impl FnMut(&Lease) -> bool) -> Result<Vec<Lease>, CniError> {
    let Some(entries) = Directory::existing(directory, &[]) else { return Ok(Vec::new()) };
    let lock = entries.lock(&Deadline::after(PATIENCE)).map_err(|e| failed(e.to_string()))?;
    let mut leases = list(directory)?;
    leases.retain(|lease| which(lease));
    for lease in &leases {
        lock.delete(&lease.address.to_string()).map_err(|e| failed(e.to_string()))?;
    }
    Ok(leases)
}

fn failed(text: String) -> CniError {
    CniError::new(code::IO, text)
}

fn read(directory: &Path) -> io::Result<Vec<Lease>> {
    let entries = match fs::read_dir(directory) {
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
    // After a power loss, some file systems have zeros in it. Lines end with CR LF, by hand perhaps without CR.
    let mut lines = text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).lines();
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let (container_id, ifname) = (line(), line());
    Ok(Lease { address, container_id, ifname, since, before_this_boot: boot::is_before_this(path) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_read_and_only_those_that_are_named_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("10.0.0.10", "c1\r\neth0"),
            ("10.0.0.9", "old"),
            ("fd00::2", ""),
            ("fd00::3", "\0\0\0\0"),
            ("fd00::4", "\r\n\r\n"),
            ("fd00::5", "c2\neth1\n"),
            ("lock", ""),
            ("last_reserved_ip.0", "10.0.0.9"),
        ] {
            fs::write(directory.path().join(name), text).unwrap();
        }
        fs::create_dir(directory.path().join("10.0.0.3")).unwrap();
        let all = list(directory.path()).unwrap();
        let facts: Vec<_> =
            all.iter().map(|l| (l.address.to_string(), l.container_id.as_str(), l.ifname.as_str())).collect();
        let expected = [
            ("10.0.0.9", "old", ""),
            ("10.0.0.10", "c1", "eth0"),
            ("fd00::2", "", ""),
            ("fd00::3", "", ""),
            ("fd00::4", "", ""),
            ("fd00::5", "c2", "eth1"),
        ];
        assert_eq!(facts, expected.map(|(address, id, ifname)| (address.to_owned(), id, ifname)));
        let gone = release(directory.path(), |lease| lease.container_id == "old").unwrap();
        assert_eq!(gone.len(), 1);
        let mut left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        let others =
            ["10.0.0.10", "10.0.0.3", "fd00::2", "fd00::3", "fd00::4", "fd00::5", "last_reserved_ip.0", "lock"];
        assert_eq!(left, others);
        assert_eq!(list(&directory.path().join("none")).unwrap(), []);
    }
}
