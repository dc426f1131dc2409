//! A small value that a plugin keeps for its attachment, from ADD to DEL.
//!
//! ```no_run
//! # use cni_plugin::*;
//! # fn example(mtu: u32) -> Result<(), Failure> {
//! memo::put(mtu.to_string().as_bytes())?; // in ADD
//! let old = memo::get()?.and_then(|value| String::from_utf8(value).ok()); // in DEL
//! memo::forget()?;
//! # Ok(()) }
//! ```

use crate::Error;
use crate::bindings::interface::wasm_cni::system::memo;

/// The value; none if nothing was kept.
pub fn get() -> Result<Option<Vec<u8>>, Error> {
    memo::get()
}

/// Keeps a value of at most 64 KiB, in place of the one before. If the ADD fails in
/// the end, the host puts back that one.
pub fn put(value: &[u8]) -> Result<(), Error> {
    memo::put(value)
}

/// Forgets the value; also succeeds where nothing was kept.
pub fn forget() -> Result<(), Error> {
    memo::forget()
}
