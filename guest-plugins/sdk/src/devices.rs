//! Which network devices belong to which hardware.

pub use crate::bindings::interface::wasm_cni::system::devices::{Bus, driver, exists, interfaces, interfaces_at};
