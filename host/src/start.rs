//! The start of the process, without what Rust's own does before `main`: it reads
//! the memory map for a guard page, and sets up a handler and a stack for it, which
//! takes a good part of the time of a short call. What is left of that is here.
#![expect(unsafe_code, reason = "the name that libc looks for, and calls of libc, see below")]

use std::ffi::{c_char, c_int};

/// Memory that is taken from the kernel at once, octets.
const MEMORY: c_int = 1 << 20;

// SAFETY: there is no other `main`, and libc calls it once, as C has it. In tests
// it is a function like any other.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    // SAFETY: nobody else runs yet. Ignoring a signal installs no code (who writes
    // to a reader that is gone is told so), and `M_TOP_PAD` takes any number.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::mallopt(libc::M_TOP_PAD, MEMORY);
    }
    // Flushes standard output too.
    std::process::exit(crate::run().into())
}
