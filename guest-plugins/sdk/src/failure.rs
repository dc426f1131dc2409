//! Failures as CNI knows them: a code and two texts.

use crate::{Code, CommitFailed, Error, Failure, log};

/// The code of failures that have none of their own.
pub const PLUGIN_FAILED: u32 = 999;

impl Failure {
    /// A failure with the specification's code.
    pub fn new(code: u32, msg: impl Into<String>, details: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: details.into() }
    }

    /// A failure without a code of its own.
    pub fn plain(msg: impl Into<String>) -> Self {
        Self::new(PLUGIN_FAILED, msg, "")
    }
}

impl From<String> for Failure {
    fn from(msg: String) -> Self {
        Self::plain(msg)
    }
}

impl From<&str> for Failure {
    fn from(msg: &str) -> Self {
        Self::plain(msg)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::plain(error.full_message())
    }
}

/// Code 6 of the specification: the configuration can't be decoded.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(6, format!("cannot decode the configuration: {error}"), "")
    }
}

impl Error {
    /// The operation and the reason: `link-add br0: file exists`.
    pub fn full_message(&self) -> String {
        format!("{}: {}", self.what, self.msg)
    }

    /// The reason alone, to go behind a text that says what was tried. A refusal
    /// by the host (one by the kernel has an errno) keeps the operation in front:
    /// that is what the policy lacks.
    pub fn message(&self) -> String {
        if self.code == Code::Denied && self.errno == 0 { self.full_message() } else { self.msg.clone() }
    }
}

impl From<CommitFailed> for Failure {
    fn from(failed: CommitFailed) -> Self {
        Self::plain(failed.to_string())
    }
}

/// The first failure of several steps that were all tried, for a DEL that does
/// as much as it can. Further failures are logged.
pub fn try_all<const N: usize>(done: [Result<(), Failure>; N]) -> Result<(), Failure> {
    let mut failures = done.into_iter().filter_map(Result::err);
    let Some(first) = failures.next() else { return Ok(()) };
    failures.for_each(|failure| log::error(&format!("also: {}", failure.msg)));
    Err(first)
}

/// Words in front of an error, as Go's `fmt.Errorf("...: %v", err)` puts them.
pub trait Context<T> {
    /// The error's own text, after `words` and a colon.
    fn context(self, words: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T> Context<T> for Result<T, Error> {
    fn context(self, words: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::plain(format!("{}: {}", words(), error.message())))
    }
}

impl<T> Context<T> for Result<T, Failure> {
    // The code survives: a delegate's failure keeps its meaning.
    fn context(self, words: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|failure| Failure { msg: format!("{}: {}", words(), failure.msg), ..failure })
    }
}

impl<T> Context<T> for Result<T, String> {
    fn context(self, words: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|text| Failure::plain(format!("{}: {text}", words())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: Code) -> Error {
        Error { code, errno: 0, what: "link-add br0".into(), msg: "not granted".into() }
    }

    fn said(result: Result<(), Error>) -> String {
        result.context(|| "could not add".into()).unwrap_err().msg
    }

    #[test]
    fn words_replace_the_operation_unless_it_was_denied() {
        assert_eq!(said(Err(error(Code::Busy))), "could not add: not granted");
        assert_eq!(said(Err(error(Code::Denied))), "could not add: link-add br0: not granted");
        let by_the_kernel = Error { errno: 13, ..error(Code::Denied) };
        assert_eq!(said(Err(by_the_kernel)), "could not add: not granted");
        assert_eq!(Failure::from(error(Code::Busy)).msg, "link-add br0: not granted");
    }

    #[test]
    fn a_delegate_s_failure_keeps_its_code_and_details() {
        let failed: Result<(), _> = Err(Failure::new(11, "later", "busy"));
        let failure = failed.context(|| "ipam".into()).unwrap_err();
        assert_eq!(failure, Failure::new(11, "ipam: later", "busy"));
    }
}
