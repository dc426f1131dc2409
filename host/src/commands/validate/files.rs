//! The files that `validate` looks at, each with its text or why it has none.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// What is wrong with a file before anybody looks at its JSON.
pub(super) struct Unusable {
    /// The text before the mistake.
    pub(super) before: String,
    pub(super) why: String,
}

/// The configurations in a directory, in order, or the one file.
pub(super) fn configurations(path: &Path) -> Result<Vec<PathBuf>> {
    match path.is_dir() {
        true => Ok(named(path, &["conflist", "conf", "json"])?),
        // One that is not there was not meant.
        false => fs::symlink_metadata(path)
            .map(|_| vec![path.to_owned()])
            .with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The files of a directory with one of these endings: also those that cannot be opened, and what is no file.
pub(super) fn named(directory: &Path, endings: &[&str]) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut files = read().with_context(|| format!("cannot read {}", directory.display()))?;
    files.retain(|file| !file.is_dir() && file.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)));
    files.sort();
    Ok(files)
}

/// Its text.
pub(super) fn text(file: &Path) -> Result<String, Unusable> {
    let unusable = |why: String| Unusable { before: String::new(), why };
    let bytes = match fs::metadata(file) {
        // Reading a FIFO would wait.
        Ok(metadata) if !metadata.is_file() => return Err(unusable("it is not a regular file".to_owned())),
        Ok(_) => fs::read(file),
        Err(e) => Err(e),
    };
    let bytes = bytes.map_err(|e| match (file.is_symlink(), e.kind()) {
        (true, io::ErrorKind::NotFound) => unusable("it is a link to a file that does not exist".to_owned()),
        _ => unusable(format!("cannot read it: {}", wasm_cni_kernel::errno_text(e.raw_os_error().unwrap_or(0)))),
    })?;
    String::from_utf8(bytes).map_err(|e| {
        let before = String::from_utf8_lossy(&e.as_bytes()[..e.utf8_error().valid_up_to()]).into_owned();
        Unusable { before, why: "it is not UTF-8 here".to_owned() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_in_the_list_and_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        fs::write(file("1.conf"), b"{\n\xff}").unwrap();
        std::os::unix::fs::symlink("/nonexistent", file("2.conflist")).unwrap();
        fs::create_dir(file("3.conf")).unwrap();
        fs::write(file("4.txt"), "").unwrap();
        assert_eq!(configurations(directory.path()).unwrap(), [file("1.conf"), file("2.conflist")]);
        assert_eq!(text(&file("1.conf")).err().unwrap().before, "{\n");
        assert!(text(&file("2.conflist")).err().unwrap().why.contains("does not exist"));
        assert!(text(Path::new("/dev/null")).err().unwrap().why.contains("not a regular file"));
        assert!(configurations(Path::new("/nonexistent")).is_err());
    }
}
