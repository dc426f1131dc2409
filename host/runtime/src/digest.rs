//! Digests of files.

use std::{fs::File, path::Path};

use sha2::{Digest as _, Sha256};
use wasm_cni_spec::error::{CniError, code};
use wasm_cni_state::files::reason;

/// Bytes of a file, and its SHA-256 in hexadecimal.
///
/// # Errors
///
/// If it cannot be read.
pub(crate) fn digest(path: &Path) -> Result<(u64, String), CniError> {
    let failed = |e: std::io::Error| {
        CniError::new(code::IO, format!("cannot read {}: {}", path.display(), reason(&e))).caused_by(e)
    };
    // Not to be held up by a FIFO.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(CniError::new(code::IO, format!("cannot read {}: it is not a file", path.display())));
    }
    let mut digest = Sha256::new();
    let size = File::open(path).and_then(|mut file| std::io::copy(&mut file, &mut digest)).map_err(failed)?;
    Ok((size, format!("{:x}", digest.finalize())))
}
