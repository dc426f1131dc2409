//! `filter`: what shall hold for an attachment's packets, as rules of the
//! host's namespace. Tables, chains, comments and hashes are the reference's, so
//! that either implementation finds and removes what the other made.
//!
//! Nothing here takes a rule, a chain or a name from a guest: whose rules they
//! are follows from the call.

pub(crate) mod iptables;
mod masquerade;
pub(crate) mod nftables;
mod spoof_check;

use std::{fmt::Write as _, sync::Arc};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};
use wasm_cni_kernel as kernel;
use wasmtime::component::Resource;

use super::{
    State,
    net::Namespace,
    refuse,
    space::{HOST, Space},
};
use crate::{attempt::Attempt, bindings::types, plugin::Command, wire};

/// How often a batch is made anew because somebody else changed the rules that
/// it was made for.
const ATTEMPTS: usize = 8;

/// Whose rules, and whose effects.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Owner {
    pub(crate) network: String,
    pub(crate) container_id: String,
    pub(crate) ifname: String,
}

impl Owner {
    pub(crate) fn of(attempt: &Attempt) -> Self {
        Self {
            network: attempt.network.clone(),
            container_id: attempt.container_id.clone(),
            ifname: attempt.ifname.clone(),
        }
    }

    fn other(network: &str, attachment: &wire::Attachment) -> Self {
        let wire::Attachment { container_id, ifname } = attachment.clone();
        Self { network: network.to_owned(), container_id, ifname }
    }
}

impl State {
    /// Does it in the namespace behind a handle, if this plugin may filter packets
    /// there.
    fn filter(
        &mut self,
        ns: &Resource<Namespace>,
        granted: bool,
        what: &str,
        f: impl FnOnce(&Self, &Space) -> Result<(), types::Error>,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        self.enter()?;
        let space = Arc::clone(&self.table.get(ns)?.space);
        let done = if granted && space.label == HOST {
            f(self, &space)
        } else {
            let text = format!("plugin {:?} has no grant for this in the {} namespace", self.plugin, space.label);
            Err(refuse(types::Code::Denied, what, text))
        };
        Ok(done.map_err(|e| self.failed(e)))
    }

    /// Only a GC knows which attachments are valid.
    fn collects(&self) -> bool {
        self.attempt.command == Command::Gc
    }

    /// What the guest says is valid, and what it leaves out of what the caller
    /// says.
    fn live(&self, said: Vec<wire::Attachment>) -> Vec<Owner> {
        let live = self.attempt.known().with_live(said);
        live.iter().map(|attachment| Owner::other(&self.attempt.network, attachment)).collect()
    }
}

/// The start of a prefix and a hash, the reference's names: `length` octets of
/// the prefix and of SHA-512's hexadecimal digits.
fn hashed(prefix: &str, text: &str, length: usize) -> String {
    let mut name = prefix.to_owned();
    for octet in Sha512::digest(text) {
        let _ = write!(name, "{octet:02x}");
    }
    name.truncate(length);
    name
}

/// Does it until nobody interferes: `ENOENT` means that a rule went away after
/// it had been listed.
fn patiently(mut attempt: impl FnMut() -> Result<(), kernel::Error>) -> Result<(), kernel::Error> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(e) if e.errno() == Errno::ENOENT as i32 => {}
            done => return done,
        }
    }
    attempt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_references() {
        assert_eq!(hashed("CNI-", "cbnetcid1", 28), "CNI-2668abbf8936b2839e6f7167");
        assert_eq!(hashed("", "ptpnet", 16), "9937ea8cc9b806ce");
        assert_eq!(hashed("", "eth0:p1", 16), "b2e2d81a686723be");
    }
}
