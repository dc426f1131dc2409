//! The entries of a directory, with changes that are not written. Nothing is made or locked: others may change the directory
//! meanwhile, as they may between a plan and its execution.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use nix::libc;
use wasm_cni_state::{
    boot,
    files::Failure,
    store::{Transaction, is_hint},
};

/// Entries as they would be.
#[derive(Clone)]
pub(super) struct Entries {
    directory: PathBuf,
    /// What would be written; none for what would be removed.
    changed: Arc<Mutex<BTreeMap<String, Option<Vec<u8>>>>>,
}

impl Entries {
    pub(super) fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), changed: Arc::default() }
    }

    fn set(&self, key: &str, value: Option<&[u8]>) {
        let mut changed = self.changed.lock().expect("no panic with the lock held");
        changed.insert(key.to_owned(), value.map(<[u8]>::to_vec));
    }

    fn changed(&self, key: &str) -> Option<Option<Vec<u8>>> {
        self.changed.lock().expect("no panic with the lock held").get(key).cloned()
    }
}

impl Transaction for Entries {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        if let Some(value) = self.changed(key) {
            return Ok(value);
        }
        let path = self.directory.join(key);
        match fs::read(&path) {
            Ok(value) => Ok(Some(value)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Failure::new("open", &path, e)),
        }
    }

    fn find(&self, value: &[u8]) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        for key in self.keys()?.into_iter().filter(|key| !is_hint(key)) {
            if self.get(&key)?.is_some_and(|entry| entry.trim_ascii() == value) {
                found.push(key);
            }
        }
        Ok(found)
    }

    fn keys(&self) -> Result<Vec<String>, Failure> {
        let listed = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(self.written()),
            Err(e) => return Err(Failure::new("open", &self.directory, e)),
        };
        let files = listed.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        let names = files.filter_map(|entry| entry.file_name().into_string().ok());
        let mut keys: Vec<_> = names.filter(|name| name != "lock" && self.changed(name).is_none()).collect();
        keys.extend(self.written());
        keys.sort_unstable();
        Ok(keys)
    }

    fn is_stale(&self, key: &str) -> bool {
        !is_hint(key) && self.changed(key).is_none() && boot::is_before_this(&self.directory.join(key))
    }

    fn create(&self, key: &str, value: &[u8]) -> Result<(), Failure> {
        if self.get(key)?.is_some() && !self.is_stale(key) {
            let exists = io::Error::from_raw_os_error(libc::EEXIST);
            return Err(Failure::new("open", &self.directory.join(key), exists));
        }
        self.set(key, Some(value));
        Ok(())
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), Failure> {
        self.set(key, Some(value));
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), Failure> {
        self.set(key, None);
        Ok(())
    }
}

impl Entries {
    /// The keys that would be written.
    fn written(&self) -> Vec<String> {
        let changed = self.changed.lock().expect("no panic with the lock held");
        changed.iter().filter(|(_, value)| value.is_some()).map(|(key, _)| key.clone()).collect()
    }
}
