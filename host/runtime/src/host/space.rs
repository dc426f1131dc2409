//! A network namespace with the netlink sockets that an operation uses in it: one
//! of a kind.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use wasm_cni_kernel::{Error, Netlink, Netns, Nftables};

use crate::faults;

/// Label of the namespace that the host's end of things is in.
pub(crate) const HOST: &str = "host";
/// Label of the container's namespace.
pub(crate) const SANDBOX: &str = "sandbox";

/// Which of a call's namespaces.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Place {
    Host,
    Sandbox,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Host => HOST,
            Self::Sandbox => SANDBOX,
        })
    }
}

/// Shared by the instances of one operation and its undo record.
pub(crate) struct Space {
    pub(crate) label: &'static str,
    pub(crate) netns: Netns,
    netlink: Mutex<Option<Netlink>>,
    nftables: Mutex<Option<Nftables>>,
}

impl Space {
    pub(crate) fn new(label: &'static str, netns: Netns) -> Self {
        Self { label, netns, netlink: Mutex::new(None), nftables: Mutex::new(None) }
    }

    pub(crate) fn place(&self) -> Place {
        if self.label == HOST { Place::Host } else { Place::Sandbox }
    }

    /// Uses the socket, opening it first if need be.
    pub(crate) fn netlink<T>(&self, f: impl FnOnce(&mut Netlink) -> Result<T, Error>) -> Result<T, Error> {
        faults::at_kernel()?;
        let mut netlink = self.netlink.lock().expect("no panic with the lock held");
        if netlink.is_none() {
            *netlink = Some(self.netns.connect()?);
        }
        f(netlink.as_mut().expect("opened above"))
    }

    /// Uses the socket for packet filters, opening it first if need be.
    pub(crate) fn nftables<T>(&self, f: impl FnOnce(&mut Nftables) -> Result<T, Error>) -> Result<T, Error> {
        faults::at_kernel()?;
        let mut nftables = self.nftables.lock().expect("no panic with the lock held");
        if nftables.is_none() {
            *nftables = Some(self.netns.nftables()?);
        }
        f(nftables.as_mut().expect("opened above"))
    }
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label)
    }
}
