//! The reference's names of chains and comments.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha512};

/// The start of a prefix and a hash, the reference's names: `length` bytes of
/// the prefix and of SHA-512's hexadecimal digits.
pub(super) fn hashed(prefix: &str, text: &str, length: usize) -> String {
    let mut name = prefix.to_owned();
    for octet in Sha512::digest(text) {
        let _ = write!(name, "{octet:02x}");
    }
    name.truncate(length);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_references() {
        assert_eq!(hashed("CNI-", "cbnetcid1", 28), "CNI-2668abbf8936b2839e6f7167");
        assert_eq!(hashed("", "ptpnet", 16), "9937ea8cc9b806ce");
        assert_eq!(hashed("", "eth0:p1", 16), "b2e2d81a686723be");
    }
}
