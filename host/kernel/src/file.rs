//! Files with as few system calls as they take.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use rustix::fs::{FileType, RawDir};

/// Octets of a folder's entries that are read at once: more than its longest has.
const CHUNK: usize = 8192;

/// Opens a file, close-on-exec; `mode` is for one that is made. By openat(2), since
/// musl's open(2), which is std's, calls fcntl(2) each time for kernels before 2.6.23.
pub fn open(path: &Path, flags: OFlag, mode: u32) -> io::Result<File> {
    let mode = Mode::from_bits_truncate(mode);
    Ok(openat(AT_FDCWD, path, flags | OFlag::O_CLOEXEC, mode)?.into())
}

/// What a folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder.
    pub name: OsString,
    /// Whether it is a regular file; none if the file system does not say.
    pub is_file: Option<bool>,
}

/// What a folder holds, in no order, without `.` and `..`. By getdents64(2): a
/// stream of C's is memory of its allocator and some system calls more.
pub fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let folder = open(folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY, 0)?;
    let mut chunk = [MaybeUninit::uninit(); CHUNK];
    let mut folder = RawDir::new(&folder, &mut chunk);
    let mut entries = Vec::new();
    while let Some(entry) = folder.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            let is_file = match entry.file_type() {
                FileType::Unknown => None,
                kind => Some(kind == FileType::RegularFile),
            };
            entries.push(Entry { name: OsStr::from_bytes(name).to_owned(), is_file });
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    #[test]
    fn every_entry_of_a_folder_however_many() {
        let folder = tempfile::tempdir().unwrap();
        let names: BTreeSet<OsString> = (0..500).map(|i| format!("{i:0>200}").into()).collect();
        for name in &names {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("folder")).unwrap();
        let (files, others): (Vec<_>, Vec<_>) =
            entries(folder.path()).unwrap().into_iter().partition(|entry| entry.is_file != Some(false));
        assert_eq!(files.into_iter().map(|entry| entry.name).collect::<BTreeSet<_>>(), names);
        assert_eq!(others, [Entry { name: "folder".into(), is_file: Some(false) }]);
    }

    #[test]
    fn what_is_no_folder_has_no_entries() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(entries(file.path()).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert_eq!(entries(Path::new("/nonexistent")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
