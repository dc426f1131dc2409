//! Entries of an IPAM plugin on disk, in the reference's format: a folder for
//! each network, a file for each entry, and `lock`, held with flock(2).
//!
//! A new entry is linked into the folder when it is whole, so that neither a
//! reader nor a crash ever finds half of one.

mod index;

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag},
    libc,
    unistd::linkat,
};
use wasm_cni_kernel::{entries, open};

use self::index::Index;
use crate::{boot, limits::Deadline, undo::Undo};

/// Where the folders of networks lie, if a configuration does not say.
pub(crate) const DATA_DIR: &str = "/var/lib/cni/networks";

/// Largest value, octets.
pub(crate) const MAX_VALUE: u64 = 64 << 10;

/// The value of what has an entry's name but is no file.
const NOBODY: &[u8] = b"\0";

/// How the names of files end that are on their way to another name.
pub(crate) const TEMPORARY: &str = ".tmp";

/// The file that the lock is held on.
const LOCK: &str = "lock";

/// Starts the keys of hints, which are written in place: nobody looks for those by
/// their value.
const HINT: &str = "last_reserved_ip.";

pub(crate) fn is_hint(key: &str) -> bool {
    key.starts_with(HINT)
}

/// A failure with the file and the operation.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {}", crate::folder::reason(source))]
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) source: io::Error,
}

impl Failure {
    fn new(operation: &str, path: &Path, source: io::Error) -> Self {
        Self { what: format!("{operation} {}", path.display()), source }
    }

    pub(crate) fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }
}

/// The folder of a network.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// What [`Directory::open`] had to make, outermost first.
    created: Vec<PathBuf>,
    /// Where tables of directories are.
    tables: Option<PathBuf>,
}

impl Directory {
    /// Opens the folder, making it and its parents (0755) if need be. `tables` is a
    /// folder for what makes large ones fast.
    pub(crate) fn open(path: &Path, tables: Option<PathBuf>) -> Result<Arc<Self>, Failure> {
        let created = create_folders(path, 0o755)?;
        Ok(Arc::new(Self { path: path.to_owned(), created, tables }))
    }

    /// The folder if it is there. `created` is what was made for it.
    pub(crate) fn existing(path: &Path, created: &[PathBuf]) -> Option<Arc<Self>> {
        path.is_dir().then(|| Arc::new(Self { path: path.to_owned(), created: created.to_vec(), tables: None }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How to take back that it was made.
    pub(crate) fn undo(&self) -> Undo {
        Undo::EntriesFolder { folder: self.path.clone(), created: self.created.clone() }
    }

    /// Was it made by [`Directory::open`]?
    pub(crate) fn is_new(&self) -> bool {
        !self.created.is_empty()
    }

    /// Waits for exclusive use.
    pub(crate) fn lock(self: &Arc<Self>, deadline: &Deadline) -> Result<Locked, Failure> {
        let path = self.path.join(LOCK);
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW;
        let open = || match open(&path, flags, 0o750) {
            // Somebody who was the last to use the folder has removed it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                create_folders(&self.path, 0o755).map_err(|failure| failure.source)?;
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
    pub(crate) fn remove_if_unused(self: &Arc<Self>) -> Result<(), Failure> {
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
pub(crate) struct Locked {
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
    /// The folder.
    pub(crate) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.path.join(key)
    }

    /// The value under a key.
    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.path(key);
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let read = || {
            let mut file = open(&path, flags, 0)?;
            // Most are a few octets, and need not be asked for their end.
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
            // A folder or a link: the key is taken, and by nobody.
            Err(e) if [libc::EISDIR, libc::ELOOP].contains(&e.raw_os_error().unwrap_or(0)) => Ok(Some(NOBODY.to_vec())),
            Err(e) => Err(Failure::new("open", &path, e)),
        }
    }

    /// The keys of entries that have this value, without white space at its ends,
    /// in order.
    pub(crate) fn find(&self, value: &[u8]) -> Result<Vec<String>, Failure> {
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

    /// Whether an entry is from before the last reboot: whoever had it is gone.
    pub(crate) fn is_stale(&self, key: &str) -> bool {
        !is_hint(key) && boot::is_before_this(&self.path(key))
    }

    /// Every key, in order.
    pub(crate) fn keys(&self) -> Result<Vec<String>, Failure> {
        let path = &self.directory.path;
        let entries = entries(path).map_err(|e| Failure::new("open", path, e))?;
        let asked = |name: &OsStr| fs::symlink_metadata(path.join(name)).is_ok_and(|metadata| metadata.is_file());
        // Ours are regular files with names that are text.
        let files = entries.into_iter().filter(|entry| entry.is_file.unwrap_or_else(|| asked(&entry.name)));
        let names = files.filter_map(|entry| entry.name.into_string().ok());
        let mut keys: Vec<_> = names.filter(|name| name != LOCK).collect();
        keys.sort_unstable();
        Ok(keys)
    }

    /// Writes an entry that must not be there yet.
    pub(crate) fn create(&self, key: &str, value: &[u8]) -> Result<(), Failure> {
        self.changing(|| self.create_file(key, value), |table| table.added(key, value))
    }

    fn create_file(&self, key: &str, value: &[u8]) -> Result<(), Failure> {
        let path = self.path(key);
        let write = || write_whole(&self.directory.path, &path, value);
        let written = match write() {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && self.is_stale(key) => {
                self.delete_file(key)?;
                write()
            }
            written => written,
        };
        written.map_err(|e| Failure::new("open", &path, e))
    }

    /// Writes an entry, in place of the one that may be there.
    pub(crate) fn put(&self, key: &str, value: &[u8]) -> Result<(), Failure> {
        if is_hint(key) {
            return self.changing(|| self.put_file(key, value), |_| Ok(true));
        }
        // Whoever needs the table next makes it anew.
        self.changing(|| self.put_file(key, value), |_| Ok(false))
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

    /// Removes an entry if it is there.
    pub(crate) fn delete(&self, key: &str) -> Result<(), Failure> {
        let is_indexed = matches!(*self.table(), Table::Open(_));
        let value = if is_indexed { self.get(key)? } else { None };
        self.changing(
            || self.delete_file(key),
            |table| value.map_or(Ok(()), |value| table.removed(key, &value)).map(|()| true),
        )
    }

    fn delete_file(&self, key: &str) -> Result<(), Failure> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Failure::new("remove", &path, e)),
            _ => Ok(()),
        }
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

/// A nameless file, written and then linked. Where the file system has no such
/// files, the plain way.
fn write_whole(folder: &Path, path: &Path, value: &[u8]) -> io::Result<()> {
    match open(folder, OFlag::O_WRONLY | OFlag::O_TMPFILE, 0o600) {
        Ok(mut file) => {
            use std::os::fd::AsRawFd as _;
            file.write_all(value)?;
            boot::mark(&file);
            let name = format!("/proc/self/fd/{}", file.as_raw_fd());
            linkat(AT_FDCWD, name.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)?;
            Ok(())
        }
        Err(e) if [libc::EOPNOTSUPP, libc::EISDIR, libc::ENOENT].contains(&e.raw_os_error().unwrap_or(0)) => {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            boot::mark(&file);
            file.write_all(value).inspect_err(|_| {
                let _ = fs::remove_file(path);
            })
        }
        Err(e) => Err(e),
    }
}

/// Writes a file (0600) by way of another one that is renamed, so that nobody
/// ever sees half of it. `durable`: it survives a power loss too.
pub(crate) fn replace(path: &Path, data: &[u8], durable: bool) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{}{TEMPORARY}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    let temporary = PathBuf::from(name);
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(data)?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Makes a folder and its missing parents; what was made comes back, outermost
/// first.
pub(crate) fn create_folders(path: &Path, mode: u32) -> Result<Vec<PathBuf>, Failure> {
    let mut created = Vec::new();
    // Somebody may remove, as unused, what was there a moment ago.
    for _ in 0..9 {
        match try_create_folders(path, mode, &mut created) {
            Err(e) if e.source.kind() == io::ErrorKind::NotFound => {}
            done => return done.map(|()| created),
        }
    }
    try_create_folders(path, mode, &mut created).map(|()| created)
}

fn try_create_folders(path: &Path, mode: u32, created: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let mut missing: Vec<&Path> =
        path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()).collect();
    missing.reverse();
    for folder in missing {
        match fs::DirBuilder::new().mode(mode).create(folder) {
            Ok(()) => created.push(folder.to_owned()),
            // Another call was faster.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(e) => {
                remove_created(created);
                created.clear();
                // In the words for the path that was asked for.
                let in_the_way = e.kind() == io::ErrorKind::AlreadyExists;
                let e = if in_the_way { Errno::ENOTDIR.into() } else { e };
                return Err(Failure::new("mkdir", folder, e));
            }
        }
    }
    Ok(())
}

/// Removes folders that [`create_folders`] made, but for those that somebody
/// else uses by now and that are not empty.
pub(crate) fn remove_created(created: &[PathBuf]) {
    for folder in created.iter().rev() {
        let _ = fs::remove_dir(folder);
    }
}

/// Takes a lock on a file that is still there when the lock has been got: one
/// that has been removed meanwhile locks nobody out.
pub(crate) fn lock_linked(
    open: impl Fn() -> io::Result<File>,
    how: FlockArg,
    deadline: &Deadline,
) -> io::Result<Flock<File>> {
    use std::os::unix::fs::MetadataExt as _;
    loop {
        let lock = lock_file(open()?, how, deadline)?;
        if lock.metadata()?.nlink() > 0 {
            return Ok(lock);
        }
        if deadline.passed() {
            return Err(Errno::ETIMEDOUT.into());
        }
    }
}

/// Takes a lock, trying again until the deadline: flock(2) has no time-out, and
/// waiting in the kernel could not be ended.
pub(crate) fn lock_file(mut file: File, how: FlockArg, deadline: &Deadline) -> io::Result<Flock<File>> {
    let mut pause = Duration::from_micros(100);
    loop {
        file = match Flock::lock(file, how) {
            Ok(lock) => return Ok(lock),
            Err((file, Errno::EAGAIN)) => file,
            Err((_, errno)) => return Err(errno.into()),
        };
        if deadline.passed() {
            return Err(Errno::ETIMEDOUT.into());
        }
        std::thread::sleep(pause.min(deadline.remaining()));
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_millis(50))
    }

    #[test]
    fn entries_are_files_in_the_references_format() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("networks/n1");
        let directory = Directory::open(&path, None).unwrap();
        assert!(directory.is_new());
        let lock = directory.lock(&soon()).unwrap();
        lock.create("fd00:10::2", b"c1\r\neth0").unwrap();
        lock.put("last_reserved_ip.0", b"fd00:10::2").unwrap();

        assert_eq!(fs::read(path.join("fd00:10::2")).unwrap(), b"c1\r\neth0");
        let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("fd00:10::2"), 0o600);
        assert_eq!(mode("lock") & 0o700, 0o700);
        assert_eq!(lock.keys().unwrap(), ["fd00:10::2", "last_reserved_ip.0"]);
        assert_eq!(lock.create("fd00:10::2", b"x").unwrap_err().errno(), libc::EEXIST);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 3, "nothing temporary is left");
    }

    #[test]
    fn a_lock_that_is_held_is_waited_for_until_the_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path(), None).unwrap();
        let held = directory.lock(&soon()).unwrap();
        assert_eq!(directory.lock(&soon()).unwrap_err().errno(), libc::ETIMEDOUT);
        drop(held);
        directory.lock(&soon()).unwrap();
    }

    #[test]
    fn a_folder_goes_with_its_last_entry_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let directory = Directory::open(&path, None).unwrap();
        directory.lock(&soon()).unwrap().create("10.0.0.2", b"c1").unwrap();
        directory.remove_if_unused().unwrap();
        assert!(path.join("10.0.0.2").exists());
        directory.lock(&soon()).unwrap().delete("10.0.0.2").unwrap();
        directory.remove_if_unused().unwrap();
        assert!(!folder.path().join("a").exists());
        assert!(folder.path().exists());
    }

    #[test]
    fn who_comes_as_the_last_one_leaves_gets_a_lock_that_locks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        std::thread::scope(|scope| {
            for i in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    for round in 0..50 {
                        let directory = Directory::open(path, None).unwrap();
                        let key = format!("{i}-{round}");
                        directory.lock(&Deadline::after(Duration::from_secs(10))).unwrap().create(&key, b"x").unwrap();
                        let lock = directory.lock(&Deadline::after(Duration::from_secs(10))).unwrap();
                        assert!(lock.get(&key).unwrap().is_some(), "{key} is gone");
                        lock.delete(&key).unwrap();
                        drop(lock);
                        directory.remove_if_unused().unwrap();
                    }
                });
            }
        });
    }

    #[test]
    fn a_failure_names_operation_file_and_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Directory::open(&file.join("n1"), None).unwrap_err();
        assert_eq!(error.to_string(), format!("mkdir {}: not a directory", file.display()));
    }
}
