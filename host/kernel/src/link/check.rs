//! Checks of names and MAC addresses. Must not know: messages.

use nix::errno::Errno;

use crate::Error;

/// Refuses names that the kernel would change: it makes one up for an empty name,
/// cuts at a NUL, and numbers a `%d`.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    if name.len() > 15 {
        return Err(Error::from_errno(Errno::ERANGE));
    }
    if name.is_empty() || name.contains(['\0', '%']) {
        return Err(Error::from_errno(Errno::EINVAL));
    }
    Ok(())
}

/// Checks what the kernel checks for the first end of a veth (`veth_validate`). For
/// the peer it accepts anything.
pub(super) fn check_mac(mac: Option<&[u8]>) -> Result<(), Error> {
    match mac {
        Some(mac) if mac.len() != 6 => Err(Error::from_errno(Errno::EINVAL)),
        Some(mac) if mac[0] & 1 == 1 || mac == [0; 6] => Err(Error::from_errno(Errno::EADDRNOTAVAIL)),
        _ => Ok(()),
    }
}
