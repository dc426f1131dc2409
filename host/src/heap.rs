//! The heap where libc is musl, whose own allocator makes a system call for almost every allocation: dlmalloc, behind a lock of
//! a few instructions. A call allocates thousands of times; musl's lock, which dlmalloc's crate takes, was a tenth of it.
#![expect(unsafe_code, reason = "an allocator is unsafe to offer, and each function says why it holds")]

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use dlmalloc::Dlmalloc;

#[global_allocator]
static HEAP: Heap = Heap { taken: AtomicBool::new(false), memory: UnsafeCell::new(Dlmalloc::new()) };

struct Heap {
    taken: AtomicBool,
    memory: UnsafeCell<Dlmalloc>,
}

// SAFETY: nobody reaches the memory but in `locked`.
unsafe impl Sync for Heap {}

impl Heap {
    #[inline(always)]
    fn locked<T>(&self, f: impl FnOnce(&mut Dlmalloc) -> T) -> T {
        // It is held for less time than a switch to another thread takes.
        while self.taken.swap(true, Ordering::Acquire) {
            thread::yield_now();
        }
        // SAFETY: whoever has set `taken` is alone, and dlmalloc calls nobody who allocates.
        let done = f(unsafe { &mut *self.memory.get() });
        self.taken.store(false, Ordering::Release);
        done
    }
}

// SAFETY: dlmalloc keeps the promises of `GlobalAlloc` to one thread at a time, which the lock sees to.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: an alignment is a power of two.
        self.locked(|memory| unsafe { memory.malloc(layout.size(), layout.align()) })
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise: it came from here, with this layout.
        self.locked(|memory| unsafe { memory.free(at, layout.size(), layout.align()) });
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: an alignment is a power of two.
        self.locked(|memory| unsafe { memory.calloc(layout.size(), layout.align()) })
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise: it came from here, with this layout.
        self.locked(|memory| unsafe { memory.realloc(at, layout.size(), layout.align(), size) })
    }
}
