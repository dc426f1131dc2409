//! The plugins that come with wasm-cni: native code that the build made of the components in `guest-plugins/`, with the
//! grants of each. Must not know: how they are run.
//!
//! `build.rs` builds the components for `wasm32-unknown-unknown` and has `wasm-cni-compile` compile them, the same program
//! that compiles third-party plugins, so that both come out of the same settings.

use wasm_cni_engine::{ALIGNMENT, Bundled, Grant};

include!(concat!(env!("OUT_DIR"), "/plugins.rs"));

const _: () = assert!(align_of::<Page<()>>() == ALIGNMENT, "the pages of the architecture");

#[repr(C)]
#[cfg_attr(target_arch = "x86_64", repr(align(4096)))]
#[cfg_attr(not(target_arch = "x86_64"), repr(align(65536)))]
struct Page<T: ?Sized>(T);
