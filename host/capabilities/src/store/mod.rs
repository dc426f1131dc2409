//! `store`: an IPAM plugin's entries, in the directory that its grants name.

pub mod effects;
pub mod keys;

use std::path::Path;

use serde_json::{Value, json};
use wasm_cni_spec::command::Command;
use wasm_cni_state::{
    files,
    store::{self as entries, files::Directory, is_hint, nothing::Nothing},
};
use wasmtime::component::{HasSelf, Resource};

use self::{
    effects::{Created, Opened, Removed, Replaced},
    keys::{check_entry, check_key, holder, store_error},
};
use crate::{
    attempt::Attempt,
    bindings::{store, types},
    capability::Capability,
    describe::{Describe, Scribe, at},
    failure::{Failure, Reply, refuse},
    handles::Transaction,
    state::State,
    world::World,
};

/// `wasm-cni:store/store`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:store/store@0.1.0",
    worlds: &[World::Ipam],
    link: |linker| store::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |table| table.data_dirs.as_ref().is_some_and(|directories| !directories.is_empty()),
    abilities: |table, imported, abilities| {
        let directories = table.data_dirs.iter().flatten().map(|directory| directory.display().to_string());
        let directories: Vec<_> = directories.collect();
        let what = "keep entries of its own network in the directory of leases";
        if !imported || directories.is_empty() {
            return abilities.say(false, what);
        }
        let below = match directories.iter().any(|directory| directory == "/") {
            true => String::new(),
            false => format!(", below {}", directories.join(" or ")),
        };
        abilities.say(true, format!("{what} (`dataDir`{below})"));
    },
    needs: |grants, needs| {
        needs.boot_marks |= grants.store.is_some();
        needs.stores.extend(grants.store.clone());
    },
};

/// Makes the directory of a plugin's entries for an ADD, if it is not there.
pub fn make(attempt: &Attempt, path: &Path) -> Result<(), files::Failure> {
    let directory = Directory::open(path, None)?;
    if directory.is_new() {
        let _ = attempt.note(Opened::of(&directory));
    }
    Ok(())
}

impl store::Host for State {
    fn begin(&mut self) -> Reply<Resource<Transaction>> {
        self.call("store.begin", &[], |state| {
            let Some(path) = state.grants.store.clone() else {
                return Err(state.deny::<()>("store", "for a store").unwrap_err().into());
            };
            if let Some(rehearsal) = &state.attempt.rehearsal {
                let entries = rehearsal.entries(&path);
                return state.table.push(Transaction { entries }).map_err(Failure::handle);
            }
            // Only an ADD needs a directory; for everything else, one that is not there is empty.
            if state.attempt.command != Command::Add && matches!(path.try_exists(), Ok(false)) {
                let entries = Box::new(Nothing);
                return state.table.push(Transaction { entries }).map_err(Failure::handle);
            }
            let tables = state.attempt.context.under_root("/run/wasm-cni/index");
            let opened = Directory::open(&path, Some(tables)).and_then(|directory| {
                // On the record before the lock can fail: the directory is there now.
                if directory.is_new() {
                    let _ = state.attempt.note(Opened::of(&directory));
                }
                directory.lock(&state.attempt.deadline)
            });
            let entries = Box::new(opened.map_err(|e| store_error(&e))?);
            state.table.push(Transaction { entries }).map_err(Failure::handle)
        })
    }
}

impl store::HostTransaction for State {
    fn get(&mut self, this: Resource<Transaction>, keys: Vec<String>) -> Reply<Vec<Option<Vec<u8>>>> {
        self.call("store.get", &[("keys", &keys)], |state| {
            let limit = state.attempt.context.limits.operations;
            if keys.len() > limit {
                return Err(refuse(types::Code::Limit, "store", format!("more than {limit} keys at once")).into());
            }
            let entries = state.transaction(&this)?;
            let value = |key: &str| {
                check_key(key)?;
                let value = entries.get(key).map_err(|e| store_error(&e))?;
                let is_lost = |value: &[u8]| state.attempt.command == Command::Add && entries::is_lost(value);
                Ok(value.filter(|value| !is_lost(value) && !state.is_free(entries, key)))
            };
            Ok(keys.iter().map(|key| value(key)).collect::<Result<Vec<_>, types::Error>>()?)
        })
    }

    fn find(&mut self, this: Resource<Transaction>, value: Vec<u8>) -> Reply<Vec<String>> {
        self.call("store.find", &[("value", &value)], |state| {
            let entries = state.transaction(&this)?;
            let mut found = entries.find(&value).map_err(|e| store_error(&e))?;
            found.retain(|key| !state.is_free(entries, key));
            Ok(found)
        })
    }

    fn entries(&mut self, this: Resource<Transaction>, after: Option<String>, limit: u32) -> Reply<Vec<store::Entry>> {
        self.call("store.entries", &[("after", &after), ("limit", &limit)], |state| {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(state.attempt.context.limits.operations);
            let entries = state.transaction(&this)?;
            let page = || {
                let mut page = Vec::new();
                let keys = entries.keys()?;
                for key in keys.into_iter().filter(|key| after.as_ref().is_none_or(|after| key > after)) {
                    if page.len() == limit {
                        break;
                    }
                    if let Some(value) = entries.get(&key)? {
                        page.push(store::Entry { key, value });
                    }
                }
                Ok(page)
            };
            Ok(page().map_err(|e: files::Failure| store_error(&e))?)
        })
    }

    fn apply(&mut self, this: Resource<Transaction>, changes: Vec<store::Change>) -> Reply<(), store::ChangeError> {
        self.call("store.apply", &[("changes", &changes)], |state| {
            let limit = state.attempt.context.limits.operations;
            if changes.len() > limit {
                let cause = refuse(types::Code::Limit, "store", format!("more than {limit} changes at once"));
                return Err(store::ChangeError { at: 0, cause }.into());
            }
            for (at, change) in (0..).zip(&changes) {
                let entries = state.transaction(&this)?;
                state.change(entries, change).map_err(|cause| store::ChangeError { at, cause })?;
            }
            Ok(())
        })
    }

    /// The end of the transaction.
    fn drop(&mut self, this: Resource<Transaction>) -> wasmtime::Result<()> {
        self.uncounted("store.drop", |state| {
            state.table.delete(this)?;
            Ok(())
        })
    }
}

impl State {
    fn transaction<E: crate::failure::GuestError>(
        &self,
        this: &Resource<Transaction>,
    ) -> Result<&dyn entries::Transaction, Failure<E>> {
        Ok(&*self.table.get(this).map_err(Failure::handle)?.entries)
    }

    /// For an ADD, an entry from before the last reboot is free.
    fn is_free(&self, entries: &dyn entries::Transaction, key: &str) -> bool {
        self.attempt.command == Command::Add && entries.is_stale(key)
    }

    /// A lease in the reference's format says whose it is. It is nobody else's
    /// to change; in a GC it is anybody's who is not valid.
    fn may_replace(
        &self,
        entries: &dyn entries::Transaction,
        key: &str,
        old: Option<&[u8]>,
    ) -> Result<(), types::Error> {
        let Some((id, ifname)) = old.and_then(holder) else { return Ok(()) };
        let Attempt { command, container_id, ifname: own, .. } = &*self.attempt;
        let others = match command {
            Command::Gc => self.attempt.facts().is_live(id, ifname),
            _ => (id, ifname) != (container_id, own) && !self.is_free(entries, key),
        };
        match others {
            true => self.deny(&format!("store {key:?}"), "to change another attachment's lease"),
            false => Ok(()),
        }
    }

    fn change(&self, entries: &dyn entries::Transaction, change: &store::Change) -> Result<(), types::Error> {
        let failed = |e: files::Failure| store_error(&e);
        let directory = || self.grants.store.clone().unwrap_or_default();
        match change {
            store::Change::Put(entry) => {
                check_entry(entry)?;
                if is_hint(&entry.key) {
                    // Whatever it says, nobody has or loses an address by it.
                    self.count()?;
                    return entries.put(&entry.key, &entry.value).map_err(failed);
                }
                let old = entries.get(&entry.key).map_err(failed)?;
                self.may_replace(entries, &entry.key, old.as_deref())?;
                // Half of it may be written when it fails: the note stays.
                self.note(Replaced::new(directory(), entry, old))?;
                entries.put(&entry.key, &entry.value).map_err(failed)
            }
            store::Change::Create(entry) => {
                check_entry(entry)?;
                let note = self.note(Created::new(directory(), entry))?;
                entries.create(&entry.key, &entry.value).map_err(|e| {
                    self.attempt.strike(note);
                    failed(e)
                })
            }
            store::Change::Delete(key) => {
                check_key(key)?;
                let old = entries.get(key).map_err(failed)?;
                self.may_replace(entries, key, old.as_deref())?;
                if let Some(value) = old {
                    self.note(Removed::new(directory(), key.clone(), value))?;
                }
                entries.delete(key).map_err(failed)
            }
        }
    }
}

impl Describe for store::Entry {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        json!({ "key": scribe.text(&self.key), "value": self.value.describe(scribe) })
    }
}

impl Describe for store::Change {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        match self {
            Self::Put(entry) => json!({ "put": entry.describe(scribe) }),
            Self::Create(entry) => json!({ "create": entry.describe(scribe) }),
            Self::Delete(key) => json!({ "delete": scribe.text(key) }),
        }
    }
}

impl Describe for store::ChangeError {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        at(self.at, &self.cause, scribe)
    }
}
