//! Lines for the operator. The host adds which plugin speaks, and for whom.

use crate::bindings::interface::wasm_cni::system::log::{Level, write};

/// Something is broken.
pub fn error(message: &str) {
    write(Level::Error, message);
}

/// Something is odd, and the plugin goes on.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Something of interest happened.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// For whoever looks for a fault.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}
