//! Codes of the specification ("Error") and of the reference implementation.

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
