//! What an IPAM plugin remembers, and the resolver's file that it may read.

use crate::Failure;
pub use crate::bindings::ipam::wasm_cni::store::store::{Change, ChangeError, Entry, Transaction, begin};
pub use crate::bindings::ipam::wasm_cni::system::resolver::resolv_conf;

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        error.cause.into()
    }
}
