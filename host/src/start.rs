//! The start of the process, without what Rust's own does before `main`: it reads
//! the memory map for a guard page, and sets up a handler and a stack for it, which
//! takes a good part of the time of a short call. What is left of that is here.
#![expect(unsafe_code, reason = "the name that libc looks for, and calls of libc, see below")]

use std::{
    ffi::{CStr, OsStr, OsString, c_char, c_int},
    os::unix::ffi::OsStrExt as _,
};

/// Memory that is taken from the kernel at once, octets.
const MEMORY: usize = 1 << 20;

/// musl's own makes a system call for almost every piece.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

// SAFETY: there is no other `main`, and libc calls it once, as C has it. In tests
// it is a function like any other.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    // SAFETY: nobody else runs yet. Ignoring a signal installs no code (who writes
    // to a reader that is gone is told so), and `M_TOP_PAD` takes any number.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        #[cfg(target_env = "gnu")]
        libc::mallopt(libc::M_TOP_PAD, MEMORY as c_int);
    }
    // What is given back is there for what follows.
    #[cfg(target_env = "musl")]
    drop(std::hint::black_box(Vec::<u8>::with_capacity(MEMORY)));
    // std knows them by itself with glibc only.
    let argument = |i| {
        // SAFETY: there are `count` of them, strings of C that outlast this.
        let text = unsafe { CStr::from_ptr(*arguments.add(i)) };
        OsString::from(OsStr::from_bytes(text.to_bytes()))
    };
    let arguments = (0..usize::try_from(count).unwrap_or(0)).map(argument).collect();
    // Flushes standard output too.
    std::process::exit(crate::run(arguments).into())
}
