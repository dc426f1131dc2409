//! Checks of names, and constants that several files need. Must not know: messages.

use nix::errno::Errno;

// linux/netfilter.h
pub(super) const NF_DROP: u32 = 0;
pub(super) const NF_ACCEPT: u32 = 1;

/// `NFT_NAME_MAXLEN`, without the NUL.
pub(super) const NAME_MAX: usize = 255;

/// `NFTNL_UDATA_{TABLE,CHAIN,RULE}_COMMENT`, each the same (libnftnl/udata.h).
pub(super) const UDATA_COMMENT: u8 = 0;

/// The kernel would cut a name at a NUL.
pub(super) fn check_name(name: &str, max: usize) -> Result<(), Errno> {
    match name {
        _ if name.len() > max => Err(Errno::ENAMETOOLONG),
        _ if name.is_empty() || name.contains('\0') => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}
