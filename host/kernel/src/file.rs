//! Opens files and lists directories with as few system calls as possible.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, fchmod};
use rustix::fs::{FileType, RawDir};

/// How many bytes of directory entries one call reads. Has to be more than the
/// longest entry.
const CHUNK: usize = 8192;

/// How often a file that comes and goes is tried.
const ATTEMPTS: usize = 8;

/// Opens a file, close-on-exec; a new file has `mode`, whatever the umask. Uses
/// openat(2): std calls open(2), which in musl also calls fcntl(2), for kernels before
/// 2.6.23.
pub fn open(path: &Path, flags: OFlag, mode: u32) -> io::Result<File> {
    let mode = Mode::from_bits_truncate(mode);
    let open = |flags: OFlag| openat(AT_FDCWD, path, flags | OFlag::O_CLOEXEC, mode);
    let new = |flags: OFlag| {
        let file = open(flags)?;
        // The umask has been applied.
        fchmod(&file, mode)?;
        Ok(file.into())
    };
    if flags.contains(OFlag::O_TMPFILE) || flags.contains(OFlag::O_CREAT | OFlag::O_EXCL) {
        return new(flags);
    }
    if !flags.contains(OFlag::O_CREAT) {
        return Ok(open(flags)?.into());
    }
    // To know whether it is new: an older one keeps its mode.
    for _ in 0..ATTEMPTS {
        match open(flags & !OFlag::O_CREAT) {
            Err(Errno::ENOENT) => {}
            opened => return Ok(opened?.into()),
        }
        match new(flags | OFlag::O_EXCL) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened,
        }
    }
    Ok(open(flags)?.into())
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the directory.
    pub name: OsString,
    /// Whether it is a regular file; `None` if the file system does not say.
    pub is_file: Option<bool>,
}

/// Lists a directory, in no particular order, without `.` and `..`. Uses
/// getdents64(2): opendir(3) would allocate and make more system calls.
pub fn entries(directory: &Path) -> io::Result<Vec<Entry>> {
    let directory = open(directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY, 0)?;
    let mut chunk = [MaybeUninit::uninit(); CHUNK];
    let mut directory = RawDir::new(&directory, &mut chunk);
    let mut entries = Vec::new();
    while let Some(entry) = directory.next() {
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
    fn every_entry_of_a_directory_however_many() {
        let directory = tempfile::tempdir().unwrap();
        let names: BTreeSet<OsString> = (0..500).map(|i| format!("{i:0>200}").into()).collect();
        for name in &names {
            fs::write(directory.path().join(name), "").unwrap();
        }
        fs::create_dir(directory.path().join("directory")).unwrap();
        let (files, others): (Vec<_>, Vec<_>) =
            entries(directory.path()).unwrap().into_iter().partition(|entry| entry.is_file != Some(false));
        assert_eq!(files.into_iter().map(|entry| entry.name).collect::<BTreeSet<_>>(), names);
        assert_eq!(others, [Entry { name: "directory".into(), is_file: Some(false) }]);
    }

    #[test]
    fn only_directories_have_entries() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(entries(file.path()).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert_eq!(entries(Path::new("/nonexistent")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
