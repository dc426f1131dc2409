//! Where the program's memory comes from with musl, whose own allocator makes a
//! system call for almost every piece and whose locks are functions.
#![expect(unsafe_code, reason = "an allocator, see below")]

use std::{
    alloc::{GlobalAlloc, Layout},
    sync::{Mutex, PoisonError},
};

use dlmalloc::Dlmalloc;

struct Memory(Mutex<Dlmalloc>);

#[global_allocator]
static MEMORY: Memory = Memory(Mutex::new(Dlmalloc::new()));

impl Memory {
    fn with<T>(&self, f: impl FnOnce(&mut Dlmalloc) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// SAFETY: each function passes on what it was called with, to the function of the
// same meaning, one caller at a time. None of them panics or allocates.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.with(|memory| unsafe { memory.malloc(layout.size(), layout.align()) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.with(|memory| unsafe { memory.calloc(layout.size(), layout.align()) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        self.with(|memory| unsafe { memory.free(pointer, layout.size(), layout.align()) });
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        self.with(|memory| unsafe { memory.realloc(pointer, layout.size(), layout.align(), size) })
    }
}
