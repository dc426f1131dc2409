//! An IPAM plugin's entries, small values under keys: what a store has to do, and the store on disk.
//!
//! [`files`] is the one that nodes have. A plan has another one, which only remembers what would be written.

pub mod files;
mod index;
pub mod nothing;

use crate::files::Failure;

/// Largest value, bytes.
pub const MAX_VALUE: u64 = 64 << 10;

/// Where the directories of networks lie, unless a configuration says otherwise.
pub const DATA_DIR: &str = "/var/lib/cni/networks";

/// Starts the keys of hints. Nobody looks for those by their value, and nobody has or loses an address by them.
const HINT: &str = "last_reserved_ip.";

/// Whether it is the key of a hint.
#[must_use]
pub fn is_hint(key: &str) -> bool {
    key.starts_with(HINT)
}

/// Whether a value was lost: after a power loss, some file systems have zeros in a file that was not written.
#[must_use]
pub fn is_lost(value: &[u8]) -> bool {
    // A single one stands for what is no file.
    value.len() > 1 && value.iter().all(|byte| *byte == 0)
}

/// Exclusive use of a network's entries, across processes, until dropped.
pub trait Transaction: Send {
    /// The value under a key.
    ///
    /// # Errors
    ///
    /// If it cannot be read; a missing key is none.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure>;

    /// The keys of entries that have this value, without white space at its ends, in order. Hints are left out.
    ///
    /// # Errors
    ///
    /// If the entries cannot be read.
    fn find(&self, value: &[u8]) -> Result<Vec<String>, Failure>;

    /// Every key, in order.
    ///
    /// # Errors
    ///
    /// If the entries cannot be read.
    fn keys(&self) -> Result<Vec<String>, Failure>;

    /// Whether an entry is from before the last reboot: whoever had it is gone.
    fn is_stale(&self, key: &str) -> bool;

    /// Writes an entry that must not be there yet.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it is; if it cannot be written.
    fn create(&self, key: &str, value: &[u8]) -> Result<(), Failure>;

    /// Writes an entry, in place of the one that may be there.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn put(&self, key: &str, value: &[u8]) -> Result<(), Failure>;

    /// Removes an entry if it is there.
    ///
    /// # Errors
    ///
    /// If it cannot be removed.
    fn delete(&self, key: &str) -> Result<(), Failure>;
}
