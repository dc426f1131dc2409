//! The error of the CNI specification: a code, a message, details.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Codes of the specification ("Error") and of the reference implementation.
pub mod code {
    /// No code of its own, from a delegate that printed no error.
    pub const UNKNOWN: u32 = 0;
    /// Incompatible version.
    pub const VERSION: u32 = 1;
    /// Unsupported field in the configuration.
    pub const UNSUPPORTED_FIELD: u32 = 2;
    /// Unknown or missing container.
    pub const CONTAINER: u32 = 3;
    /// Invalid environment variable.
    pub const ENVIRONMENT: u32 = 4;
    /// Failure to read or write.
    pub const IO: u32 = 5;
    /// What should be JSON cannot be decoded.
    pub const DECODE: u32 = 6;
    /// Invalid network configuration.
    pub const CONFIG: u32 = 7;
    /// Invalid network namespace.
    pub const NETNS: u32 = 8;
    /// Try again later.
    pub const AGAIN: u32 = 11;
    /// Whatever has no code of its own.
    pub const INTERNAL: u32 = 999;
}

/// A failed operation, as CNI reports it: `{"code", "msg", "details"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniError {
    /// See [`code`].
    pub code: u32,
    /// What failed.
    pub msg: String,
    /// More about it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl CniError {
    /// An error without details.
    pub fn new(code: u32, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// An error of no particular code.
    pub fn internal(msg: impl Into<String>) -> Self {
        Self::new(code::INTERNAL, msg)
    }

    /// As a plugin prints it, without a final newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        crate::gojson::pretty(self)
    }

    /// The same error with these details.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// The same error with a further sentence in its details.
    #[must_use]
    pub fn note(mut self, note: &str) -> Self {
        if !self.details.is_empty() {
            self.details.push_str("; ");
        }
        self.details.push_str(note);
        self
    }
}

impl fmt::Display for CniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.msg)?;
        if !self.details.is_empty() {
            write!(f, "; {}", self.details)?;
        }
        Ok(())
    }
}

impl std::error::Error for CniError {}
