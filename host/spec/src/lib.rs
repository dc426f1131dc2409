//! The CNI specification as types: configurations, results and errors in every version, and the names that it allows.
//! Pure: must not know files, namespaces or WebAssembly.

pub mod attachment;
pub mod capability;
pub mod command;
pub mod error;
pub mod gojson;
pub mod names;
pub mod network;
pub mod result;
pub mod schema;
pub mod version;
