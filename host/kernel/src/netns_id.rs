//! What a network namespace is known by, for longer than it is open. Must not know:
//! how a namespace is entered.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::libc;

use crate::Error;

/// `SO_NETNS_COOKIE` (asm-generic/socket.h, Linux 5.14).
const SO_NETNS_COOKIE: libc::c_int = 71;

/// The cookie of a socket's namespace, which the kernel gives out once between two
/// boots.
#[expect(unsafe_code, reason = "neither nix nor rustix has this option, and nix's macro for others cannot be used")]
fn cookie(socket: &impl AsFd) -> nix::Result<u64> {
    let mut cookie = 0_u64;
    let mut length = size_of_val(&cookie) as libc::socklen_t;
    // SAFETY: the descriptor is open, and both pointers are valid for the length that
    // the kernel is told.
    let done = unsafe {
        let value = (&raw mut cookie).cast();
        libc::getsockopt(socket.as_fd().as_raw_fd(), libc::SOL_SOCKET, SO_NETNS_COOKIE, value, &raw mut length)
    };
    Errno::result(done).map(|_| cookie)
}

/// What a network namespace is known by until the next boot. The file's inode number
/// would not do: the kernel gives it to another namespace as soon as this one is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum NetnsId {
    /// `SO_NETNS_COOKIE`.
    Cookie(u64),
    /// Device and inode of the namespace's file, where the kernel has no cookie (before
    /// Linux 5.14).
    File(u64, u64),
}

impl NetnsId {
    /// The identity of the namespace that this socket is in; `file` stands in where the
    /// kernel has no cookie.
    pub(crate) fn of(socket: impl AsFd, file: (u64, u64)) -> Result<Self, Error> {
        match cookie(&socket) {
            Ok(cookie) => Ok(Self::Cookie(cookie)),
            Err(Errno::ENOPROTOOPT) => Ok(Self::File(file.0, file.1)),
            Err(errno) => Err(Error::from_errno(errno).during("netns-cookie")),
        }
    }
}

/// For the names of files.
impl fmt::Display for NetnsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie(cookie) => write!(f, "{cookie}"),
            Self::File(device, inode) => write!(f, "{device}-{inode}"),
        }
    }
}
