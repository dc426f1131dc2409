//! Which keys and values there may be, and whose they are.

use nix::libc;
use wasm_cni_spec::names::{check_ifname, is_name};
use wasm_cni_state::{
    files::{Failure, reason},
    store::MAX_VALUE,
};

use crate::{
    bindings::{store, types},
    failure::refuse,
};

/// The attachment that a value names, if it is a lease.
pub(super) fn holder(value: &[u8]) -> Option<(&str, &str)> {
    let (id, ifname) = std::str::from_utf8(value).ok()?.trim().split_once("\r\n")?;
    (is_name(id) && check_ifname(ifname).is_ok()).then_some((id, ifname))
}

pub(super) fn check_entry(entry: &store::Entry) -> Result<(), types::Error> {
    check_key(&entry.key)?;
    if entry.value.len() as u64 > MAX_VALUE {
        return Err(refuse(types::Code::Limit, format!("store {:?}", entry.key), "a value has at most 65536 bytes"));
    }
    Ok(())
}

/// A key is the name of a file, and of no other file than the guest's own.
///
/// # Errors
///
/// `invalid`.
pub fn check_key(key: &str) -> Result<(), types::Error> {
    let bad = key.is_empty()
        || key.len() > 255
        || [".", "..", "lock"].contains(&key)
        || key.contains(|c: char| c == '/' || c.is_control());
    if bad {
        let text = "a key has 1 to 255 bytes without / and is not ., .. or lock";
        return Err(refuse(types::Code::Invalid, format!("store {key:?}"), text));
    }
    Ok(())
}

pub(super) fn store_error(failure: &Failure) -> types::Error {
    let errno = failure.errno();
    let code = match errno {
        libc::ENOENT => types::Code::NotFound,
        libc::EEXIST => types::Code::Exists,
        libc::ETIMEDOUT => types::Code::Timeout,
        _ => types::Code::Io,
    };
    types::Error { code, errno: errno.unsigned_abs(), what: failure.what.clone(), msg: reason(&failure.source) }
}

#[cfg(test)]
mod tests {
    use super::{check_key, holder};

    #[test]
    fn a_lease_says_whose_it_is() {
        assert_eq!(holder(b"c1\r\neth0"), Some(("c1", "eth0")));
        assert_eq!(holder(b" c1\r\neth0\n"), Some(("c1", "eth0")));
        for other in
            [&b""[..], b"c1", b"10.0.0.2", b"c1\neth0", b"\r\neth0", b"c1\r\n", b"../c\r\neth0", b"\xff\r\neth0"]
        {
            assert_eq!(holder(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_key_cannot_name_another_file() {
        for key in ["", ".", "..", "lock", "../x", "a/b", "a\0b", &"x".repeat(256)] {
            assert!(check_key(key).is_err(), "{key:?}");
        }
        check_key("fd00:10::2").unwrap();
        check_key("last_reserved_ip.0").unwrap();
    }
}
