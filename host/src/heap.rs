//! The heap where libc is musl, whose own allocator makes a system call for almost every allocation: dlmalloc, behind std's
//! lock. A call allocates thousands of times, and musl's lock, which dlmalloc would use by itself, took a tenth of its time.
#![expect(unsafe_code, reason = "an allocator is unsafe to offer, each function says why it holds")]

use std::{
    alloc::{GlobalAlloc, Layout},
    sync::{Mutex, MutexGuard, PoisonError},
};

use dlmalloc::Dlmalloc;

#[global_allocator]
static HEAP: Heap = Heap(Mutex::new(Dlmalloc::new()));

struct Heap(Mutex<Dlmalloc>);

impl Heap {
    /// It is never poisoned: dlmalloc does not panic.
    fn lock(&self) -> MutexGuard<'_, Dlmalloc> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// SAFETY: dlmalloc keeps the promises of `GlobalAlloc` for one thread at a time, which the lock sees to; the lock itself
// allocates nothing.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise: the layout is not empty.
        unsafe { self.lock().malloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise: it came from here with this layout.
        unsafe { self.lock().free(pointer, layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise: the layout is not empty.
        unsafe { self.lock().calloc(layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise: it came from here with this layout, and the new size is not zero.
        unsafe { self.lock().realloc(pointer, layout.size(), layout.align(), size) }
    }
}
