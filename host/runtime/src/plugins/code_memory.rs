//! Makes native code executable where it lies, for code that is part of this
//! program: neither read nor copied, and only the pages that are used are ever
//! touched.
#![expect(unsafe_code, reason = "mprotect(2), see below")]

use std::{ffi::c_void, ptr::NonNull, sync::Arc};

use nix::sys::mman::{ProtFlags, mprotect};
use wasmtime::{Config, CustomCodeMemory, Result};

/// Lets this configuration's engines load code in place.
pub(crate) fn load_in_place(config: &mut Config) {
    config.with_custom_code_memory(Some(Arc::new(InPlace)));
}

struct InPlace;

impl CustomCodeMemory for InPlace {
    fn required_alignment(&self) -> usize {
        wasm_cni_engine::ALIGNMENT
    }

    fn publish_executable(&self, code: *const u8, len: usize) -> Result<()> {
        protect(code, len, ProtFlags::PROT_READ | ProtFlags::PROT_EXEC)
    }

    fn unpublish_executable(&self, code: *const u8, len: usize) -> Result<()> {
        protect(code, len, ProtFlags::PROT_READ)
    }
}

fn protect(code: *const u8, len: usize, protection: ProtFlags) -> Result<()> {
    let Some(start) = NonNull::new(code.cast_mut().cast::<c_void>()) else { return Ok(()) };
    // SAFETY: wasmtime passes the text section of code that it has loaded and
    // that nothing else lies in; it is never made writable.
    unsafe { mprotect(start, len, protection) }.map_err(wasmtime::Error::new)
}
