//! The seam of a dry run: what plugins would do is done to a recording of the real state.

use std::path::Path;

use wasm_cni_kernel::Netns;
use wasm_cni_state::store;

use crate::space::Space;

/// What stands in for the kernel and the disk.
pub trait Rehearsal: Send + Sync {
    /// A namespace that is real, with changes that are not.
    fn space(&self, label: &'static str, netns: Netns) -> Space;

    /// The entries of a directory, with changes that are not written.
    fn entries(&self, directory: &Path) -> Box<dyn store::Transaction>;
}
