//! `store`: an IPAM plugin's entries, in the folder that its grants name.

use nix::libc;
use wasmtime::component::Resource;

use super::{State, refuse};
use crate::{
    attempt::Attempt,
    bindings::{store, types},
    directory::{Directory, Failure, Locked, MAX_VALUE, is_hint},
    plugin::Command,
    protocol::{check_ifname, is_name},
    undo::Undo,
};

/// What a guest's `transaction` handle stands for.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Transaction {
    lock: Locked,
}

impl store::Host for State {
    fn begin(&mut self) -> wasmtime::Result<Result<Resource<Transaction>, types::Error>> {
        self.enter()?;
        let Some(path) = self.grants.store.clone() else {
            let text = format!("plugin {:?} has no grant for a store", self.plugin);
            return Ok(Err(self.failed(refuse(types::Code::Denied, "store", text))));
        };
        let tables = self.attempt.runtime.under_root("/run/wasm-cni/index");
        let opened = Directory::open(&path, Some(tables)).and_then(|directory| {
            // On the record before the lock can fail: the folder is there now.
            if directory.is_new() {
                let _ = self.attempt.note(directory.undo());
            }
            directory.lock(&self.attempt.deadline)
        });
        match opened {
            Ok(lock) => Ok(Ok(self.table.push(Transaction { lock })?)),
            Err(e) => Ok(Err(self.failed(store_error(&e)))),
        }
    }
}

impl store::HostTransaction for State {
    fn get(
        &mut self,
        this: Resource<Transaction>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<Vec<u8>>>, types::Error>> {
        self.enter()?;
        let limit = self.attempt.runtime.limits.operations;
        if keys.len() > limit {
            return Ok(Err(self.failed(refuse(
                types::Code::Limit,
                "store",
                format!("more than {limit} keys at once"),
            ))));
        }
        let lock = &self.table.get(&this)?.lock;
        let value = |key: &str| {
            check_key(key)?;
            let value = lock.get(key).map_err(|e| store_error(&e))?;
            Ok(value.filter(|_| !self.is_free(lock, key)))
        };
        let values = keys.iter().map(|key| value(key)).collect::<Result<Vec<_>, _>>();
        Ok(values.map_err(|e| self.failed(e)))
    }

    fn find(
        &mut self,
        this: Resource<Transaction>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<String>, types::Error>> {
        self.enter()?;
        let lock = &self.table.get(&this)?.lock;
        let search = || {
            let mut found = lock.find(&value)?;
            found.retain(|key| !self.is_free(lock, key));
            Ok(found)
        };
        Ok(search().map_err(|e: Failure| self.failed(store_error(&e))))
    }

    fn entries(
        &mut self,
        this: Resource<Transaction>,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<store::Entry>, types::Error>> {
        self.enter()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(self.attempt.runtime.limits.operations);
        let lock = &self.table.get(&this)?.lock;
        let page = || {
            let mut entries = Vec::new();
            let keys = lock.keys()?;
            for key in keys.into_iter().filter(|key| after.as_ref().is_none_or(|after| key > after)) {
                if entries.len() == limit {
                    break;
                }
                if let Some(value) = lock.get(&key)? {
                    entries.push(store::Entry { key, value });
                }
            }
            Ok(entries)
        };
        Ok(page().map_err(|e: Failure| self.failed(store_error(&e))))
    }

    fn apply(
        &mut self,
        this: Resource<Transaction>,
        changes: Vec<store::Change>,
    ) -> wasmtime::Result<Result<(), store::ChangeError>> {
        self.enter()?;
        let limit = self.attempt.runtime.limits.operations;
        if changes.len() > limit {
            let cause = refuse(types::Code::Limit, "store", format!("more than {limit} changes at once"));
            return Ok(Err(store::ChangeError { at: 0, cause: self.failed(cause) }));
        }
        for (at, change) in (0..).zip(&changes) {
            if let Err(cause) = self.change(&this, change)? {
                return Ok(Err(store::ChangeError { at, cause: self.failed(cause) }));
            }
        }
        Ok(Ok(()))
    }

    fn drop(&mut self, this: Resource<Transaction>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl State {
    /// For an ADD, an entry from before the last reboot is free.
    fn is_free(&self, lock: &Locked, key: &str) -> bool {
        self.attempt.command == Command::Add && lock.is_stale(key)
    }

    fn change(
        &self,
        this: &Resource<Transaction>,
        change: &store::Change,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        let lock = &self.table.get(this)?.lock;
        Ok(self.checked_change(lock, change))
    }

    /// A lease in the reference's format says whose it is. It is nobody else's
    /// to change; in a GC it is anybody's who is not valid.
    fn may_replace(&self, lock: &Locked, key: &str, old: Option<&[u8]>) -> Result<(), types::Error> {
        let Some((id, ifname)) = old.and_then(holder) else { return Ok(()) };
        let Attempt { command, container_id, ifname: own, .. } = &*self.attempt;
        let others = match command {
            Command::Gc => self.attempt.known().is_live(id, ifname),
            _ => (id, ifname) != (container_id, own) && !self.is_free(lock, key),
        };
        match others {
            true => self.deny(&format!("store {key:?}"), "to change another attachment's lease"),
            false => Ok(()),
        }
    }

    fn checked_change(&self, lock: &Locked, change: &store::Change) -> Result<(), types::Error> {
        let failed = |e: Failure| store_error(&e);
        let folder = || lock.directory().path().to_owned();
        match change {
            store::Change::Put(entry) => {
                check_entry(entry)?;
                if is_hint(&entry.key) {
                    // Whatever it says, nobody has or loses an address by it.
                    self.count()?;
                    return lock.put(&entry.key, &entry.value).map_err(failed);
                }
                let old = lock.get(&entry.key).map_err(failed)?;
                self.may_replace(lock, &entry.key, old.as_deref())?;
                let (folder, key, value) = (folder(), entry.key.clone(), entry.value.clone());
                // Half of it may be written when it fails: the note stays.
                self.note(Undo::EntryReplaced { folder, key, value, old })?;
                lock.put(&entry.key, &entry.value).map_err(failed)
            }
            store::Change::Create(entry) => {
                check_entry(entry)?;
                let (folder, key, value) = (folder(), entry.key.clone(), entry.value.clone());
                let note = self.note(Undo::EntryCreated { folder, key, value })?;
                lock.create(&entry.key, &entry.value).map_err(|e| {
                    self.attempt.strike(note);
                    failed(e)
                })
            }
            store::Change::Delete(key) => {
                check_key(key)?;
                let old = lock.get(key).map_err(failed)?;
                self.may_replace(lock, key, old.as_deref())?;
                if let Some(value) = old {
                    self.note(Undo::EntryRemoved { folder: folder(), key: key.clone(), value })?;
                }
                lock.delete(key).map_err(failed)
            }
        }
    }
}

/// The attachment that a value names, if it is a lease.
fn holder(value: &[u8]) -> Option<(&str, &str)> {
    let (id, ifname) = std::str::from_utf8(value).ok()?.trim().split_once("\r\n")?;
    (is_name(id) && check_ifname(ifname).is_ok()).then_some((id, ifname))
}

fn check_entry(entry: &store::Entry) -> Result<(), types::Error> {
    check_key(&entry.key)?;
    if entry.value.len() as u64 > MAX_VALUE {
        return Err(refuse(types::Code::Limit, format!("store {:?}", entry.key), "a value has at most 65536 octets"));
    }
    Ok(())
}

/// A key is the name of a file, and of no other file than the guest's own.
pub(super) fn check_key(key: &str) -> Result<(), types::Error> {
    let bad = key.is_empty()
        || key.len() > 255
        || [".", "..", "lock"].contains(&key)
        || key.contains(|c: char| c == '/' || c.is_control());
    if bad {
        let text = "a key has 1 to 255 bytes without / and is not ., .. or lock";
        return Err(refuse(types::Code::Invalid, format!("store {key:?}"), text));
    }
    Ok(())
}

fn store_error(failure: &Failure) -> types::Error {
    let errno = failure.errno();
    let code = match errno {
        libc::ENOENT => types::Code::NotFound,
        libc::EEXIST => types::Code::Exists,
        libc::ETIMEDOUT => types::Code::Timeout,
        _ => types::Code::Io,
    };
    types::Error {
        code,
        errno: errno.unsigned_abs(),
        what: failure.what.clone(),
        msg: crate::folder::reason(&failure.source),
    }
}

#[cfg(test)]
mod tests {
    use super::{check_key, holder};

    #[test]
    fn a_lease_says_whose_it_is() {
        assert_eq!(holder(b"c1\r\neth0"), Some(("c1", "eth0")));
        assert_eq!(holder(b" c1\r\neth0\n"), Some(("c1", "eth0")));
        for other in
            [&b""[..], b"c1", b"10.0.0.2", b"c1\neth0", b"\r\neth0", b"c1\r\n", b"../c\r\neth0", b"\xff\r\neth0"]
        {
            assert_eq!(holder(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_key_cannot_name_another_file() {
        for key in ["", ".", "..", "lock", "../x", "a/b", "a\0b", &"x".repeat(256)] {
            assert!(check_key(key).is_err(), "{key:?}");
        }
        check_key("fd00:10::2").unwrap();
        check_key("last_reserved_ip.0").unwrap();
    }
}
