//! The heap of a plugin: an arena, and behind it the standard library's.
//!
//! An instance serves one call, in which it allocates some hundred small things.
//! To find a place for each and to take each back was a third of what the bundled plugins
//! did. What an ordinary call needs fits into the arena, which is handed out from its
//! start and goes with the instance; what is left over goes to the standard
//! library's allocator, so that long lists are no reason to run out of memory. What is
//! unsafe here is so for the plugin alone: it is code of the sandbox.

#![expect(unsafe_code, reason = "an allocator is unsafe to write, each function says why it holds")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

/// A heap whose first `SIZE` bytes are an arena. Pages that nobody has touched cost nothing.
pub(crate) struct Heap<const SIZE: usize> {
    arena: UnsafeCell<Arena<SIZE>>,
    /// How much of the arena is handed out: everything before this.
    used: Cell<usize>,
}

/// Aligned to what wasm32's largest types need, so that offsets tell alignment.
#[repr(align(16))]
struct Arena<const SIZE: usize>([u8; SIZE]);

#[cfg(all(feature = "arena", target_arch = "wasm32", target_os = "unknown"))]
#[global_allocator]
static HEAP: Heap<{ 256 * 1024 }> = Heap::new();

// SAFETY: a component has one thread; the target's `atomics` are off.
#[cfg(all(target_arch = "wasm32", not(target_feature = "atomics")))]
unsafe impl<const SIZE: usize> Sync for Heap<SIZE> {}

impl<const SIZE: usize> Heap<SIZE> {
    pub(crate) const fn new() -> Self {
        Self { arena: UnsafeCell::new(Arena([0; SIZE])), used: Cell::new(0) }
    }

    /// Where in the arena a pointer of ours points to; none if it is the
    /// standard library's.
    fn offset(&self, pointer: *mut u8) -> Option<usize> {
        let offset = pointer.addr().wrapping_sub(self.arena.get().addr());
        (offset < SIZE).then_some(offset)
    }
}

// SAFETY: a piece of the arena is handed out only from `used` on, and `used` goes back
// only to the start of the piece before it, by whoever gives that up. So no two pieces
// that are in use overlap. All others are `System`'s, and go back there.
unsafe impl<const SIZE: usize> GlobalAlloc for Heap<SIZE> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.used.get().next_multiple_of(layout.align());
        match start.checked_add(layout.size()) {
            Some(end) if end <= SIZE && layout.align() <= align_of::<Arena<SIZE>>() => {
                self.used.set(end);
                // SAFETY: `start` is at most `end`, which is in the arena or just behind it.
                unsafe { self.arena.get().cast::<u8>().add(start) }
            }
            // SAFETY: the caller's, for the same layout.
            _ => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match self.offset(pointer) {
            Some(start) if start + layout.size() == self.used.get() => self.used.set(start),
            Some(_) => {}
            // SAFETY: it is not in the arena, so it is `System`'s.
            None => unsafe { System.dealloc(pointer, layout) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(start) = self.offset(pointer) else {
            // SAFETY: it is not in the arena, so it is `System`'s.
            return unsafe { System.realloc(pointer, layout, size) };
        };
        let is_last = start + layout.size() == self.used.get();
        if is_last && size <= SIZE - start {
            self.used.set(start + size);
            return pointer;
        }
        if size <= layout.size() {
            return pointer;
        }
        // SAFETY: the caller's promise: `size`, rounded up to the alignment, fits an `isize`.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both are as long as that, and the new piece is not a part of the old one.
            unsafe { new.copy_from_nonoverlapping(pointer, layout.size()) };
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    /// Fills a piece, so that two that overlap show.
    fn piece(heap: &Heap<1024>, size: usize, align: usize, octet: u8) -> &[u8] {
        // SAFETY: the layout is not empty; what `alloc` gives is that long.
        unsafe {
            let pointer = heap.alloc(layout(size, align));
            assert!(!pointer.is_null() && pointer.addr().is_multiple_of(align));
            pointer.write_bytes(octet, size);
            std::slice::from_raw_parts(pointer, size)
        }
    }

    fn give_back(heap: &Heap<1024>, piece: &[u8], align: usize) {
        // SAFETY: it came from there with this layout, and is not used afterwards.
        unsafe { heap.dealloc(piece.as_ptr().cast_mut(), layout(piece.len(), align)) }
    }

    #[test]
    fn pieces_are_aligned_and_apart() {
        let heap = Heap::new();
        let pieces: Vec<_> = (1..=16).map(|i| piece(&heap, usize::from(i), 1 << (i % 5), i)).collect();
        assert!(pieces.iter().zip(1..).all(|(piece, i)| piece.iter().all(|octet| *octet == i)));
        assert!(heap.used.get() < 1024);
    }

    #[test]
    fn the_last_piece_comes_back_and_others_do_not() {
        let heap = Heap::new();
        let (first, second) = (piece(&heap, 100, 1, 1), piece(&heap, 100, 1, 2));
        give_back(&heap, first, 1);
        assert_eq!(heap.used.get(), 200);
        give_back(&heap, second, 1);
        assert_eq!(heap.used.get(), 100);
    }

    #[test]
    fn what_does_not_fit_is_the_standard_library_s() {
        let heap = Heap::new();
        let in_arena = piece(&heap, 1000, 8, 1);
        let outside = piece(&heap, 1000, 8, 2);
        let page = piece(&heap, 4, 4096, 3);
        assert_eq!(heap.offset(outside.as_ptr().cast_mut()), None);
        assert_eq!(heap.offset(page.as_ptr().cast_mut()), None);
        assert_eq!((in_arena[999], outside[0], page[3]), (1, 2, 3));
        give_back(&heap, outside, 8);
        give_back(&heap, page, 4096);
        assert_eq!(heap.used.get(), 1000);
    }

    #[test]
    fn a_piece_grows_where_it_is_if_it_is_the_last_and_moves_otherwise() {
        let heap = Heap::new();
        let first = piece(&heap, 8, 8, 1).as_ptr().cast_mut();
        // SAFETY: each pointer is used with the layout that it has by then, and with its
        // successor no more.
        unsafe {
            assert_eq!(heap.realloc(first, layout(8, 8), 16), first);
            let second = piece(&heap, 8, 8, 2);
            let moved = heap.realloc(first, layout(16, 8), 32);
            assert_eq!((moved == first, moved.read(), second[7]), (false, 1, 2));
            let smaller = heap.realloc(second.as_ptr().cast_mut(), layout(8, 8), 4);
            assert_eq!(smaller.cast_const(), second.as_ptr());
            let outside = heap.realloc(moved, layout(32, 8), 4096);
            assert_eq!((heap.offset(outside), outside.read()), (None, 1));
            let grown = heap.realloc(outside, layout(4096, 8), 8192);
            assert_eq!(grown.read(), 1);
            heap.dealloc(grown, layout(8192, 8));
        }
    }
}
