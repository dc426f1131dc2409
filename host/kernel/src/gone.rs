//! Whether a path still leads to a namespace. Must not know: what follows from that.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::statfs::fstatfs;

use crate::{Netns, OpenError, open};

impl OpenError {
    /// Whether there is no namespace at the path any more: the file is missing, or the
    /// plain file that a mount has left, or on a file system whose server is gone. A
    /// question that was not answered is not a no: of a path that may not be looked
    /// at, nothing is known.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::NotANamespace { .. } | Self::NotNetwork { .. } => true,
            Self::Other { source, .. } => is_gone(source),
        }
    }
}

impl Netns {
    /// Whether `path` leads to a namespace, without entering it. `None` if that cannot
    /// be told.
    #[must_use]
    pub fn is_at(path: &Path) -> Option<bool> {
        let place = match open(path, OFlag::O_PATH, 0) {
            Ok(place) => place,
            Err(error) => return is_gone(&error).then_some(false),
        };
        match fstatfs(&place) {
            // Its type differs between C libraries.
            Ok(found) => Some(found.filesystem_type().0 as u64 == libc::NSFS_MAGIC as u64),
            Err(errno) => is_gone(&errno.into()).then_some(false),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    use Errno::{EACCES, EAGAIN, EINTR, EIO, EMFILE, ENFILE, ENOMEM, EPERM};
    let unknown = [EACCES, EAGAIN, EINTR, EIO, EMFILE, ENFILE, ENOMEM, EPERM];
    error.raw_os_error().is_some_and(|errno| unknown.iter().all(|unknown| *unknown as i32 != errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_namespace_is_none_any_more() {
        assert_eq!(Netns::is_at(Path::new("/proc/self/ns/net")), Some(true));
        let file = tempfile::NamedTempFile::new().unwrap();
        let below = file.path().join("ns");
        for gone in [file.path(), &below, Path::new("/nonexistent"), Path::new("/proc/self/fd/999999")] {
            assert_eq!(Netns::is_at(gone), Some(false), "{}", gone.display());
            assert!(Netns::open(gone).unwrap_err().is_gone(), "{}", gone.display());
        }
    }

    #[test]
    fn what_may_not_be_looked_at_may_be_there() {
        for (errno, gone) in [(Errno::ESTALE, true), (Errno::ENOTCONN, true), (Errno::EACCES, false)] {
            assert_eq!(is_gone(&errno.into()), gone, "{errno}");
        }
    }
}
