//! The file that a trace goes to.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use nix::libc;
use wasm_cni::{CniError, code};

/// Opens it for appending; a new one is its owner's alone.
///
/// # Errors
///
/// If it cannot be written to, is a link, or no file at all.
pub(crate) fn open(path: &Path) -> Result<File, CniError> {
    let mut options = OpenOptions::new();
    // Not to be held up by a FIFO.
    options.append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK);
    let file = options.open(path).and_then(|file| match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    });
    file.map_err(|e| {
        let why = match e.raw_os_error() {
            Some(libc::ELOOP) => "it is a link".to_owned(),
            _ => e.to_string(),
        };
        CniError::new(code::IO, format!("cannot write the trace to {}: {why}", path.display()))
    })
}

/// Adds a line. All of it at once: others may be writing to the file too. That
/// the disk is full is no reason to fail what is traced.
pub(crate) fn append(mut file: &File, line: &str) {
    let _ = file.write(line.as_bytes());
}
