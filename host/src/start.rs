//! The start of the process, without what Rust's runtime does before `main`: it reads
//! the memory map for a guard page and sets up a handler and a stack, which is a large
//! part of the time of a short call. This file does the rest of that work.
#![expect(unsafe_code, reason = "the symbol that libc looks for, and calls of libc, see below")]

use std::{
    ffi::{CStr, OsStr, OsString, c_char, c_int},
    os::unix::ffi::OsStrExt as _,
};

/// Bytes of memory to request from the kernel at once.
const MEMORY: usize = 1 << 20;

// SAFETY: there is no other `main`, and libc calls it once. In tests it is an ordinary
// function.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    // SAFETY: no other thread runs yet. Ignoring a signal installs no code (writing to
    // a closed pipe fails instead), and `M_TOP_PAD` takes any number.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        #[cfg(target_env = "gnu")]
        libc::mallopt(libc::M_TOP_PAD, MEMORY as c_int);
    }
    // Freed memory stays with the allocator for later use.
    #[cfg(target_env = "musl")]
    drop(std::hint::black_box(Vec::<u8>::with_capacity(MEMORY)));
    // std finds the arguments by itself with glibc only.
    let argument = |i| {
        // SAFETY: there are `count` C strings, which outlast this call.
        let text = unsafe { CStr::from_ptr(*arguments.add(i)) };
        OsString::from(OsStr::from_bytes(text.to_bytes()))
    };
    let arguments = (0..usize::try_from(count).unwrap_or(0)).map(argument).collect();
    // Flushes standard output too.
    std::process::exit(crate::run(arguments).into())
}
