//! Which boot of which machine a file was written in.
//!
//! A reboot ends every container, but what is on disk stays: without a mark, an
//! address would be held by a container that is no more, for ever. The mark is an
//! extended attribute, so that the content is the reference's to the byte; where
//! the file system has no such attributes there is no mark, and nothing is taken
//! for gone.

use std::{fs::File, io::Read as _, path::Path, sync::OnceLock};

use nix::fcntl::OFlag;
use rustix::fs::{XattrFlags, fsetxattr, lgetxattr};
use wasm_cni_kernel::open;

const NAME: &str = "user.wasm-cni.boot";

/// Marks a file with this boot.
pub fn mark(file: &File) {
    if let Some(Boot { machine, boot }) = Boot::current() {
        let _ = fsetxattr(file, NAME, format!("{machine} {boot}").as_bytes(), XattrFlags::empty());
    }
}

/// Whether it bears the mark of an earlier boot of this machine. Of another
/// machine's, in a folder that both can see, nothing is known.
pub fn is_before_this(path: &Path) -> bool {
    let mut value = [0; 128];
    let Ok(length) = lgetxattr(path, NAME, &mut value) else { return false };
    let (Ok(text), Some(now)) = (std::str::from_utf8(&value[..length]), Boot::current()) else { return false };
    text.split_once(' ').is_some_and(|(machine, boot)| machine == now.machine && boot != now.boot)
}

/// Reads it now, as it may be out of reach later.
pub fn remember() {
    Boot::current();
}

struct Boot {
    /// machine-id(5)
    machine: String,
    /// random(4): `boot_id`
    boot: String,
}

impl Boot {
    fn current() -> Option<&'static Self> {
        static CURRENT: OnceLock<Option<Boot>> = OnceLock::new();
        CURRENT.get_or_init(Self::read).as_ref()
    }

    fn read() -> Option<Self> {
        let read = |path: &str| {
            let mut octets = [0; 64];
            let length = open(Path::new(path), OFlag::O_RDONLY, 0).and_then(|mut file| file.read(&mut octets)).ok()?;
            let text = std::str::from_utf8(&octets[..length]).ok()?.trim();
            let plain = (1..=60).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
            plain.then(|| text.to_owned())
        };
        Some(Self { machine: read("/etc/machine-id")?, boot: read("/proc/sys/kernel/random/boot_id")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_boot_of_this_machine_is_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease");
        let file = File::create(&path).unwrap();
        assert!(!is_before_this(&path), "no mark");
        mark(&file);
        assert!(!is_before_this(&path), "this boot's");
        let Some(now) = Boot::current() else { return eprintln!("skipped: no /etc/machine-id") };
        let set = |text: &str| fsetxattr(&file, NAME, text.as_bytes(), XattrFlags::empty());
        if let Err(e) = set(&format!("{} 0-0", now.machine)) {
            return eprintln!("skipped: no extended attributes in {}: {e}", folder.path().display());
        }
        assert!(is_before_this(&path));
        for other in ["abc 0-0", "0-0", ""] {
            set(other).unwrap();
            assert!(!is_before_this(&path), "{other:?}");
        }
    }
}
