//! What is in a folder of plugins, and whose it is. Changes nothing.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use memchr::memmem;

use crate::version;

/// The file that all names are hard links to. Symbolic ones would do for most
/// runtimes, but to follow one takes two steps: a call that has read it looks for
/// a program that has been uninstalled meanwhile. And they lead nowhere where
/// single files are copied or mounted.
pub(crate) const PROGRAM: &str = "wasm-cni";

/// What compiles plugins from elsewhere, if it is there.
pub(crate) const COMPILER: &str = "wasm-cni-compile";

/// Where foreign files are kept that a name of ours took the place of.
pub(crate) const REPLACED: &str = ".wasm-cni-replaced";

/// How the names of files begin that are not whole yet.
pub(super) const UNBORN: &str = ".wasm-cni-new.";

/// What lies under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum There {
    Nothing,
    /// A symbolic link to the program in the same folder, as made by hand.
    Link,
    /// This program or another build of it: the file itself, or a link to it
    /// elsewhere. With the build, as far as it is known.
    Ours(String),
    /// Somebody else's file, or a link to one.
    Foreign,
    /// No file at all.
    Folder,
}

/// A folder of plugins.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
}

impl Folder {
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn aside(&self, name: &str) -> PathBuf {
        self.path.join(REPLACED).join(name)
    }

    /// # Errors
    ///
    /// If what is there cannot be read.
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
        // To nowhere, it is somebody's all the same.
        let Ok(target) = fs::metadata(&path) else { return Ok(There::Foreign) };
        if target.is_dir() {
            return Ok(if metadata.is_symlink() { There::Foreign } else { There::Folder });
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

    /// The names of what is in it, in order; none if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        names(&self.path)
    }

    /// The names of the foreign files that are kept.
    ///
    /// # Errors
    ///
    /// If the folder cannot be read.
    pub(crate) fn kept(&self) -> io::Result<Vec<String>> {
        let mut names = names(&self.path.join(REPLACED))?;
        names.retain(|name| !name.starts_with(UNBORN));
        Ok(names)
    }

    /// Is it the program's file, by another name?
    pub(super) fn is_program(&self, name: &str) -> bool {
        let program = id(&self.file(PROGRAM));
        program.is_some() && id(&self.file(name)) == program
    }

    /// Is the file that is kept the one that is there?
    pub(super) fn is_kept_one(&self, name: &str) -> bool {
        let there = id(&self.file(name));
        there.is_some() && id(&self.aside(name)) == there
    }
}

/// Which file it is; of a link, the link itself.
fn id(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut names = Vec::new();
    for entry in entries {
        // What is not text is no name of ours.
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a file is the compiler, of whichever build.
fn compiler(path: &Path) -> io::Result<bool> {
    Ok(memmem::find(&fs::read(path)?, COMPILER.as_bytes()).is_some())
}
