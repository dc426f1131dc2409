//! Entries of an IPAM plugin on disk, in the reference's format: a directory for
//! each network, a file for each entry, and `lock`, held with flock(2).
//!
//! A new entry is linked into the directory when it is whole, so that neither a
//! reader nor a crash ever finds half of one.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use nix::{
    fcntl::{Flock, FlockArg, OFlag},
    libc,
};
use wasm_cni_kernel::{entries, open};

use super::{
    MAX_VALUE, Transaction,
    index::{self, Index},
    is_hint, is_lost,
};
use crate::{
    boot,
    deadline::Deadline,
    files::{Failure, create_directories, create_whole, lock_linked, remove_created},
};

/// The value of what has an entry's name but is no file.
const NOBODY: &[u8] = b"\0";

/// The file that the lock is held on.
const LOCK: &str = "lock";

/// The directory of a network.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// What [`Directory::open`] had to make, outermost first.
    created: Vec<PathBuf>,
    /// Where tables of directories are.
    tables: Option<PathBuf>,
}

impl Directory {
    /// Opens the directory, making it and its parents (0755) if need be. `tables` is a
    /// directory for what makes large ones fast.
    pub fn open(path: &Path, tables: Option<PathBuf>) -> Result<Arc<Self>, Failure> {
        let created = create_directories(path, 0o755)?;
        Ok(Arc::new(Self { path: path.to_owned(), created, tables }))
    }

    /// The directory if it is there. `created` is what was made for it.
    pub fn existing(path: &Path, created: &[PathBuf]) -> Option<Arc<Self>> {
        path.is_dir().then(|| Arc::new(Self { path: path.to_owned(), created: created.to_vec(), tables: None }))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directories that [`Directory::open`] made, outermost first.
    #[must_use]
    pub fn created(&self) -> &[PathBuf] {
        &self.created
    }

    /// Was it made by [`Directory::open`]?
    pub fn is_new(&self) -> bool {
        !self.created.is_empty()
    }

    /// Waits for exclusive use.
    pub fn lock(self: &Arc<Self>, deadline: &Deadline) -> Result<Locked, Failure> {
        let path = self.path.join(LOCK);
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW;
        let open = || match open(&path, flags, 0o750) {
            // Somebody who was the last to use the directory has removed it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                create_directories(&self.path, 0o755).map_err(|failure| failure.source)?;
                open(&path, flags, 0o750)
            }
            opened => opened,
        };
        let lock = lock_linked(open, FlockArg::LockExclusiveNonblock, deadline);
        let operation = |e: &io::Error| if e.raw_os_error() == Some(libc::ETIMEDOUT) { "lock" } else { "open" };
        lock.map(|lock| Locked { directory: Arc::clone(self), table: Mutex::new(Table::Unknown), _lock: lock })
            .map_err(|e| Failure::new(operation(&e), &path, e))
    }

    /// Removes what [`Directory::open`] made if there is no entry in it.
    pub fn remove_if_unused(self: &Arc<Self>) -> Result<(), Failure> {
        let Ok(lock) = self.lock(&Deadline::after(Duration::from_secs(2))) else { return Ok(()) };
        let keys = lock.keys()?;
        if keys.iter().all(|key| is_hint(key)) {
            for key in &keys {
                lock.delete(key)?;
            }
            let _ = fs::remove_file(self.path.join(LOCK));
            remove_created(&self.created);
        }
        Ok(())
    }
}

/// Exclusive use of a [`Directory`], until dropped.
#[derive(Debug)]
pub struct Locked {
    directory: Arc<Directory>,
    table: Mutex<Table>,
    _lock: Flock<File>,
}

/// What is known of all entries.
#[derive(Debug)]
enum Table {
    Unknown,
    None,
    /// There is none, but everything has been read, and not changed since.
    Read(Vec<(String, Vec<u8>)>),
    Open(Index),
}

impl Locked {
    /// The directory.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.path.join(key)
    }

    /// The table, looked for once.
    fn table(&self) -> MutexGuard<'_, Table> {
        let mut table = self.table.lock().expect("no panic with the lock held");
        if matches!(*table, Table::Unknown) {
            let found = self.directory.tables.as_deref().and_then(|tables| Index::open(tables, &self.directory.path));
            *table = found.map_or(Table::None, Table::Open);
        }
        table
    }

    /// Changes the directory, and the table with it. What cannot be done to the
    /// table leaves it invalid, which is no failure.
    fn changing<T>(
        &self,
        change: impl FnOnce() -> Result<T, Failure>,
        follow: impl FnOnce(&mut Index) -> io::Result<bool>,
    ) -> Result<T, Failure> {
        let mut table = self.table();
        let Table::Open(index) = &mut *table else {
            *table = Table::None;
            return change();
        };
        let ready = index.unseal().is_ok();
        let changed = change();
        if !ready || (changed.is_ok() && !follow(index).unwrap_or(false)) {
            *table = Table::None;
        }
        changed
    }

    fn create_file(&self, key: &str, value: &[u8]) -> Result<(), Failure> {
        let path = self.path(key);
        let fill = |mut file: File| {
            file.write_all(value)?;
            boot::mark(&file);
            Ok(file)
        };
        let write = || create_whole(&path, None, fill).map(drop);
        let written = match write() {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && (self.is_stale(key) || self.is_lost(key)) => {
                self.delete_file(key)?;
                write()
            }
            written => written,
        };
        written.map_err(|e| Failure::new("open", &path, e))
    }

    fn is_lost(&self, key: &str) -> bool {
        !is_hint(key) && matches!(self.get(key), Ok(Some(value)) if is_lost(&value))
    }

    fn put_file(&self, key: &str, value: &[u8]) -> Result<(), Failure> {
        let path = self.path(key);
        // In place, as the reference does: these are hints, and a reader takes
        // a damaged one for absent.
        // Cut afterwards: to cut a file to nothing first, and write it then, makes
        // some file systems flush it.
        open(&path, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW, 0o600)
            .and_then(|mut file| file.write_all(value).and_then(|()| file.set_len(value.len() as u64)))
            .map_err(|e| Failure::new("open", &path, e))
    }

    fn delete_file(&self, key: &str) -> Result<(), Failure> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Failure::new("remove", &path, e)),
            _ => Ok(()),
        }
    }
}

impl Transaction for Locked {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.path(key);
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let read = || {
            let mut file = open(&path, flags, 0)?;
            // Most are a few bytes, and need not be asked for their end.
            let mut start = [0; 512];
            let length = file.read(&mut start)?;
            let mut value = start[..length].to_vec();
            if length == start.len() {
                file.take(MAX_VALUE - start.len() as u64).read_to_end(&mut value)?;
            }
            io::Result::Ok(value)
        };
        match read() {
            Ok(value) => Ok(Some(value)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            // A directory or a link: the key is taken, and by nobody.
            Err(e) if [libc::EISDIR, libc::ELOOP].contains(&e.raw_os_error().unwrap_or(0)) => Ok(Some(NOBODY.to_vec())),
            Err(e) => Err(Failure::new("open", &path, e)),
        }
    }

    fn find(&self, value: &[u8]) -> Result<Vec<String>, Failure> {
        let having = |entries: &[(String, Vec<u8>)]| {
            let have = entries.iter().filter(|(_, found)| found.trim_ascii() == value);
            have.map(|(key, _)| key.clone()).collect::<Vec<_>>()
        };
        let indexed = match &*self.table() {
            Table::Open(table) => table.find(value).ok(),
            Table::Read(entries) => return Ok(having(entries)),
            _ => None,
        };
        let has_it = |found: Option<Vec<u8>>| found.is_some_and(|found| found.trim_ascii() == value);
        if let Some(mut keys) = indexed {
            let has = keys.iter().map(|key| Ok(has_it(self.get(key)?))).collect::<Result<Vec<bool>, Failure>>()?;
            let mut has = has.into_iter();
            keys.retain(|_| has.next() == Some(true));
            keys.sort_unstable();
            return Ok(keys);
        }
        let mut entries = Vec::new();
        for key in self.keys()?.into_iter().filter(|key| !is_hint(key)) {
            if let Some(value) = self.get(&key)? {
                entries.push((key, value));
            }
        }
        let found = having(&entries);
        let tables = self.directory.tables.as_deref().filter(|_| entries.len() >= index::WORTH_IT);
        let all = entries.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        let table = tables.and_then(|tables| Index::build(tables, &self.directory.path, all));
        *self.table() = table.map_or(Table::Read(entries), Table::Open);
        Ok(found)
    }

    fn keys(&self) -> Result<Vec<String>, Failure> {
        let path = &self.directory.path;
        let entries = entries(path).map_err(|e| Failure::new("open", path, e))?;
        // What cannot be looked at may be one.
        let asked = |name: &OsStr| fs::symlink_metadata(path.join(name)).map_or(true, |metadata| metadata.is_file());
        // Ours are regular files with names that are text.
        let files = entries.into_iter().filter(|entry| entry.is_file.unwrap_or_else(|| asked(&entry.name)));
        let names = files.filter_map(|entry| entry.name.into_string().ok());
        let mut keys: Vec<_> = names.filter(|name| name != LOCK).collect();
        keys.sort_unstable();
        Ok(keys)
    }

    fn is_stale(&self, key: &str) -> bool {
        !is_hint(key) && boot::is_before_this(&self.path(key))
    }

    fn create(&self, key: &str, value: &[u8]) -> Result<(), Failure> {
        self.changing(|| self.create_file(key, value), |table| table.added(key, value))
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), Failure> {
        if is_hint(key) {
            return self.changing(|| self.put_file(key, value), |_| Ok(true));
        }
        // Whoever needs the table next makes it anew.
        self.changing(|| self.put_file(key, value), |_| Ok(false))
    }

    fn delete(&self, key: &str) -> Result<(), Failure> {
        let is_indexed = matches!(*self.table(), Table::Open(_));
        let value = if is_indexed { self.get(key)? } else { None };
        self.changing(
            || self.delete_file(key),
            |table| value.map_or(Ok(()), |value| table.removed(key, &value)).map(|()| true),
        )
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // While the lock is still held.
        if let Ok(Table::Open(index)) = self.table.get_mut()
            && !index.is_valid()
        {
            let _ = index.seal();
        }
    }
}

#[cfg(test)]
mod tests;
