//! Leases: entries of the store whose key is the address and whose value says
//! who has it, in the reference's format.

use std::collections::BTreeSet;

use cni_plugin::store::{Change, Entry, Transaction};
use cni_plugin::{Attachment, Failure};

/// The leases of a network, asked about one attachment.
#[derive(Debug)]
pub(crate) struct Leases {
    transaction: Transaction,
    owner: Vec<u8>,
    /// What releases before ifnames were recorded have written.
    legacy_owner: Vec<u8>,
}

impl Leases {
    pub(crate) fn of(at: &Attachment, transaction: Transaction) -> Self {
        Self { transaction, owner: value(at), legacy_owner: at.container_id.clone().into_bytes() }
    }

    /// The keys of the leases to release or to check: the attachment's own, or
    /// else those of its container from before ifnames were recorded.
    pub(crate) fn held(&self) -> Result<Vec<String>, Failure> {
        let held = self.transaction.find(&self.owner)?;
        if held.is_empty() {
            return Ok(self.transaction.find(&self.legacy_owner)?);
        }
        Ok(held)
    }

    pub(crate) fn apply(&self, changes: &[Change]) -> Result<(), Failure> {
        if changes.is_empty() {
            return Ok(());
        }
        Ok(self.transaction.apply(changes)?)
    }
}

/// What an allocation asks the store.
pub(crate) trait Lookup {
    /// The values under these keys.
    fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Failure>;

    /// The keys of all leases that the attachment or, in the old format, its
    /// container has.
    fn owned(&mut self) -> Result<Vec<String>, Failure>;
}

impl Lookup for Leases {
    fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        Ok(self.transaction.get(keys)?)
    }

    fn owned(&mut self) -> Result<Vec<String>, Failure> {
        let mut keys = self.transaction.find(&self.owner)?;
        keys.extend(self.transaction.find(&self.legacy_owner)?);
        Ok(keys)
    }
}

/// The value of an attachment's lease.
pub(crate) fn value(at: &Attachment) -> Vec<u8> {
    format!("{}\r\n{}", at.container_id, at.ifname).into_bytes()
}

/// Whether a value is a lease. After a power loss the reference leaves empty
/// files, which belong to no one (containernetworking/plugins#498).
pub(crate) fn is_taken(value: &[u8]) -> bool {
    !value.trim_ascii().is_empty()
}

/// The attachments that a GC leaves alone.
#[derive(Debug)]
pub(crate) struct Live(BTreeSet<Vec<u8>>);

impl Live {
    pub(crate) fn new(live: &[Attachment]) -> Self {
        // The second of each is what its lease says in the old format.
        let owners = live.iter().flat_map(|at| [value(at), at.container_id.clone().into_bytes()]);
        Self(owners.collect())
    }

    /// Whether an entry is a lease, and none of theirs.
    pub(crate) fn have_abandoned(&self, entry: &Entry) -> bool {
        let is_lease = cni_plugin::ip::parse(&entry.key).is_some();
        is_lease && !self.0.contains(entry.value.trim_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(id: &str, ifname: &str) -> Attachment {
        Attachment { container_id: id.into(), ifname: ifname.into() }
    }

    fn abandoned(key: &str, value: &str) -> bool {
        let entry = Entry { key: key.into(), value: value.into() };
        Live::new(&[at("c1", "eth0"), at("c2", "net1")]).have_abandoned(&entry)
    }

    #[test]
    fn a_lease_has_the_reference_s_bytes() {
        assert_eq!(value(&at("c1", "eth0")), b"c1\r\neth0");
    }

    #[test]
    fn a_lease_of_no_live_attachment_is_abandoned() {
        assert!(!abandoned("10.0.0.2", "c1\r\neth0"));
        assert!(!abandoned("fd00::2", "c1\r\neth0\n"));
        assert!(abandoned("10.0.0.2", "c1\r\nnet1"));
        assert!(abandoned("10.0.0.2", "c3\r\neth0"));
    }

    #[test]
    fn a_legacy_lease_lives_as_long_as_any_of_its_containers_attachments() {
        assert!(!abandoned("10.0.0.2", "c2"));
        assert!(abandoned("10.0.0.2", "c3"));
    }

    #[test]
    fn garbage_is_abandoned_and_other_entries_are_not() {
        assert!(abandoned("10.0.0.2", ""));
        assert!(!abandoned("last_reserved_ip.0", "10.0.0.2"));
    }
}
