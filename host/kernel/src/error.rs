//! The error type: what failed, and the kernel's answer. Must not know: what a
//! caller makes of it.

use std::io;

use netlink_packet_core::DecodeError;
use nix::errno::Errno;

/// A failed operation, and the kernel's answer.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {}", self.reason())]
pub struct Error {
    what: String,
    errno: i32,
    kernel_says: Option<String>,
    /// Ours, where that of the error number would mislead.
    says: Option<&'static str>,
    #[source]
    source: Option<DecodeError>,
}

impl Error {
    /// The error number (errno(3)), or 0 if a reply could not be read.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// The operation and its object: `link-add veth1a2b3c4d`.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The text of the error number, as Go prints it, `file exists`, or what says it
    /// better.
    pub fn reason(&self) -> String {
        match &self.source {
            Some(_) => "unreadable reply from the kernel".to_owned(),
            None => self.says.map_or_else(|| errno_text(self.errno), str::to_owned),
        }
    }

    /// The kernel's own text about the failure (`NLMSGERR_ATTR_MSG`), if it sent
    /// one: `Nexthop has invalid gateway`. It is not part of [`Error::reason`].
    pub fn kernel_says(&self) -> Option<&str> {
        self.kernel_says.as_deref()
    }

    /// An error that the kernel could have reported.
    pub fn of_errno(what: impl Into<String>, errno: i32) -> Self {
        Self { what: what.into(), errno, kernel_says: None, says: None, source: None }
    }

    /// Without the operation: see [`Error::during`].
    pub(crate) fn from_errno(errno: Errno) -> Self {
        Self { what: String::new(), errno: errno as i32, kernel_says: None, says: None, source: None }
    }

    /// Without the operation. Errors without an error number become `EIO`.
    pub(crate) fn from_io(error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(Errno::EIO as i32);
        Self { what: String::new(), errno, kernel_says: None, says: None, source: None }
    }

    /// Without the operation. Not the kernel's refusal, but ours to go on.
    pub(crate) fn of_ours(errno: Errno, says: &'static str) -> Self {
        Self { says: Some(says), ..Self::from_errno(errno) }
    }

    /// Without the operation. The content of an `NLMSG_ERROR`.
    pub(crate) fn from_kernel(errno: i32, kernel_says: Option<String>) -> Self {
        Self { what: String::new(), errno, kernel_says, says: None, source: None }
    }

    /// Without the operation. A reply that is not a valid netlink message.
    pub(crate) fn from_decode(source: DecodeError) -> Self {
        Self { what: String::new(), errno: 0, kernel_says: None, says: None, source: Some(source) }
    }

    /// Adds the operation, where it is known.
    pub(crate) fn during(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }
}

/// The text of an error number as Go's `syscall.Errno` prints it, as callers compare
/// texts with the reference's: `no such file or directory`.
pub fn errno_text(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    if text.starts_with("Unknown error") || text.starts_with("No error") || errno == 0 {
        return format!("errno {errno}");
    }
    // Go's texts begin with a capital only in names and abbreviations.
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
