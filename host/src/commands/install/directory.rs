//! What a plugin directory contains, and who it is from. Changes nothing.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use memchr::memmem;

use crate::version;

/// The file that all names are hard links to. Symbolic links work with most runtimes,
/// but following one takes two steps, and the program may be uninstalled in between.
/// They are also broken where single files are copied or mounted.
pub(crate) const PROGRAM: &str = "wasm-cni";

/// The compiler of third-party plugins, if it is installed.
pub(crate) const COMPILER: &str = "wasm-cni-compile";

/// Where replaced files are kept.
pub(crate) const REPLACED: &str = ".wasm-cni-replaced";

/// What is held while the directory is changed.
pub(super) const LOCK: &str = ".wasm-cni-lock";

/// How the names of files begin that are not whole yet.
pub(super) const UNBORN: &str = ".wasm-cni-new.";

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum There {
    Nothing,
    /// A symbolic link to the program in the same directory, created by hand.
    Link,
    /// This program or another build of it: the file itself, or a link to it
    /// elsewhere. With the build, if it is known.
    Ours(String),
    /// A file that is not from wasm-cni, or a link to one.
    Foreign,
    Directory,
}

/// A plugin directory.
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
}

impl Directory {
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn aside(&self, name: &str) -> PathBuf {
        self.path.join(REPLACED).join(name)
    }

    /// # Errors
    ///
    /// If it cannot be read.
    pub(crate) fn there(&self, name: &str) -> io::Result<There> {
        let path = self.file(name);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(There::Nothing),
            Err(e) => return Err(e),
        };
        if metadata.is_symlink() {
            let target = fs::read_link(&path)?;
            if name != PROGRAM && (target == Path::new(PROGRAM) || target == self.file(PROGRAM)) {
                return Ok(There::Link);
            }
        }
        // A broken link counts as well.
        let Ok(target) = fs::metadata(&path) else { return Ok(There::Foreign) };
        if target.is_dir() {
            return Ok(if metadata.is_symlink() { There::Foreign } else { There::Directory });
        }
        if !target.is_file() {
            return Ok(There::Foreign);
        }
        let build = match name {
            COMPILER => compiler(&path)?.then(String::new),
            _ => version::of_file(&path)?,
        };
        Ok(build.map_or(There::Foreign, There::Ours))
    }

    /// The names in it, sorted; none if it does not exist.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        names(&self.path)
    }

    /// The names of the kept files.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    pub(crate) fn kept(&self) -> io::Result<Vec<String>> {
        let mut names = names(&self.path.join(REPLACED))?;
        names.retain(|name| !name.starts_with(UNBORN));
        Ok(names)
    }

    /// Whether it is another name of the program's file.
    pub(super) fn is_program(&self, name: &str) -> bool {
        let program = id(&self.file(PROGRAM));
        program.is_some() && id(&self.file(name)) == program
    }

    /// Whether the kept file is the file in place.
    pub(super) fn is_kept_one(&self, name: &str) -> bool {
        let there = id(&self.file(name));
        there.is_some() && id(&self.aside(name)) == there
    }
}

/// Identifies a file; for a link, the link itself.
fn id(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut names = Vec::new();
    for entry in entries {
        // No name of ours is other than UTF-8.
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a file is any build of the compiler.
fn compiler(path: &Path) -> io::Result<bool> {
    Ok(memmem::find(&fs::read(path)?, COMPILER.as_bytes()).is_some())
}
