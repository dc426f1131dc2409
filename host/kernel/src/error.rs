//! Why the kernel said no. Must not know: what a caller makes of it.

use std::io;

use netlink_packet_core::DecodeError;
use nix::errno::Errno;

/// A failed operation: what was attempted, and the kernel's answer.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {}", self.reason())]
pub struct Error {
    what: String,
    errno: i32,
    kernel_says: Option<String>,
    #[source]
    source: Option<DecodeError>,
}

impl Error {
    /// The error number (errno(3)); 0 if the failure has none, as when a reply
    /// could not be read.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// The operation and its object: `link-add veth1a2b3c4d`.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The reason as Go prints it, such as `file exists`.
    pub fn reason(&self) -> String {
        match &self.source {
            Some(_) => "unreadable reply from the kernel".to_owned(),
            None => errno_text(self.errno),
        }
    }

    /// The kernel's own text about the failure (`NLMSGERR_ATTR_MSG`), if it sent
    /// one: `Nexthop has invalid gateway`. It is not part of [`Error::reason`].
    pub fn kernel_says(&self) -> Option<&str> {
        self.kernel_says.as_deref()
    }

    /// What the kernel could have said.
    pub fn of_errno(what: impl Into<String>, errno: i32) -> Self {
        Self { what: what.into(), errno, kernel_says: None, source: None }
    }

    /// Not named yet: see [`Error::during`].
    pub(crate) fn from_errno(errno: Errno) -> Self {
        Self { what: String::new(), errno: errno as i32, kernel_says: None, source: None }
    }

    /// Not named yet. Errors that are not the system's become `EIO`.
    pub(crate) fn from_io(error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(Errno::EIO as i32);
        Self { what: String::new(), errno, kernel_says: None, source: None }
    }

    /// Not named yet. What the kernel answered in an `NLMSG_ERROR`.
    pub(crate) fn from_kernel(errno: i32, kernel_says: Option<String>) -> Self {
        Self { what: String::new(), errno, kernel_says, source: None }
    }

    /// Not named yet. A reply that is no netlink message.
    pub(crate) fn from_decode(source: DecodeError) -> Self {
        Self { what: String::new(), errno: 0, kernel_says: None, source: Some(source) }
    }

    /// Names the operation, where it is known.
    pub(crate) fn during(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }
}

/// strerror(3) as Go's `syscall.Errno` prints it, since callers compare texts
/// with the reference's: `no such file or directory`.
pub fn errno_text(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    if text.starts_with("Unknown error") || text.starts_with("No error") || errno == 0 {
        return format!("errno {errno}");
    }
    // Go's table keeps capitals that are more than a sentence's first letter.
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain([second]).chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_go() {
        for (errno, text) in [
            (Errno::ENOENT, "no such file or directory"),
            (Errno::EEXIST, "file exists"),
            (Errno::EOPNOTSUPP, "operation not supported"),
            (Errno::ENETUNREACH, "network is unreachable"),
            (Errno::ERANGE, "numerical result out of range"),
            (Errno::EDOTDOT, "RFS specific error"),
            (Errno::ELIBSCN, ".lib section in a.out corrupted"),
        ] {
            assert_eq!(errno_text(errno as i32), text);
        }
        assert_eq!(errno_text(524), "errno 524");
        assert_eq!(errno_text(0), "errno 0");
    }

    #[test]
    fn an_error_names_the_operation_and_the_reason() {
        let error = Error::from_errno(Errno::EEXIST).during("link-add cni0");
        assert_eq!(error.to_string(), "link-add cni0: file exists");
        assert_eq!((error.errno(), error.what()), (17, "link-add cni0"));
    }
}
