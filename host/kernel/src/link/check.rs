//! Names and MAC addresses that the kernel would take for something else. Must
//! not know: messages.

use nix::errno::Errno;

use crate::Error;

/// The kernel would make up a name for an empty one, cut one at a NUL, and
/// number one with a `%`: none of them is the name that was asked for.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    if name.len() > 15 {
        return Err(Error::from_errno(Errno::ERANGE));
    }
    if name.is_empty() || name.contains(['\0', '%']) {
        return Err(Error::from_errno(Errno::EINVAL));
    }
    Ok(())
}

/// What `veth_validate` asks of the first end; of the peer the kernel takes anything.
pub(super) fn check_mac(mac: Option<&[u8]>) -> Result<(), Error> {
    match mac {
        Some(mac) if mac.len() != 6 => Err(Error::from_errno(Errno::EINVAL)),
        Some(mac) if mac[0] & 1 == 1 || mac == [0; 6] => Err(Error::from_errno(Errno::EADDRNOTAVAIL)),
        _ => Ok(()),
    }
}
