//! The trace file.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
};

use nix::{fcntl::OFlag, libc};
use wasm_cni::{CniError, error::code};

/// Opens it for appending. A new file is accessible to its owner only.
///
/// # Errors
///
/// If it cannot be written to, or is not a regular file.
pub(crate) fn open(path: &Path) -> Result<File, CniError> {
    // Does not block on a FIFO.
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = wasm_cni_kernel::open(path, flags, 0o600).and_then(|file| match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    });
    file.map_err(|e| {
        let why = match e.raw_os_error() {
            Some(libc::ELOOP) => "it is a symbolic link".to_owned(),
            _ => e.to_string(),
        };
        CniError::new(code::IO, format!("cannot write the trace to {}: {why}", path.display()))
    })
}

/// Appends a line with one write: others may write to the file too. A full disk must
/// not fail what is traced.
pub(crate) fn append(mut file: &File, line: &str) {
    let _ = file.write(line.as_bytes());
}
