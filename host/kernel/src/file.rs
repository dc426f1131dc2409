//! Opening files with one system call.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;

/// Opens a file, close-on-exec; `mode` is for one that is made. By openat(2), since
/// musl's open(2), which is std's, calls fcntl(2) each time for kernels before 2.6.23.
pub fn open(path: &Path, flags: OFlag, mode: u32) -> io::Result<File> {
    let mode = Mode::from_bits_truncate(mode);
    Ok(openat(AT_FDCWD, path, flags | OFlag::O_CLOEXEC, mode)?.into())
}
