//! Neighbours: which link-layer address belongs to an IP address (ARP and NDP).
//!
//! ```no_run
//! # use cni_plugin::*;
//! # use cni_plugin::neighbours::Neighbour;
//! # fn example(sandbox: &Netns, gateway: std::net::IpAddr, mac: Vec<u8>) -> Result<(), Failure> {
//! let mut batch = Batch::on(sandbox);
//! batch.other(neighbours::add(&Neighbour::permanent(LinkRef::Name("eth0".into()), gateway, mac)));
//! batch.commit()?;
//! # Ok(()) }
//! ```

use std::net::IpAddr;

pub use crate::bindings::interface::wasm_cni::neighbour::neighbours::{Neighbour, list};
use crate::bindings::interface::wasm_cni::neighbour::neighbours::{add as add_neighbour, del as delete_neighbour};
use crate::{LinkRef, OtherChange};

/// `NUD_REACHABLE` (linux/neighbour.h).
pub const REACHABLE: u16 = 0x02;
/// `NUD_PERMANENT` (linux/neighbour.h).
pub const PERMANENT: u16 = 0x80;
/// `NTF_PROXY` (linux/neighbour.h).
pub const PROXY: u8 = 0x08;

/// Adds a neighbour, or replaces the one of this address; for
/// [`Batch::other`](crate::Batch::other).
pub fn add(neighbour: &Neighbour) -> OtherChange {
    add_neighbour(neighbour)
}

/// Deletes a neighbour, by its link, address and flags; for
/// [`Batch::other`](crate::Batch::other).
pub fn delete(neighbour: &Neighbour) -> OtherChange {
    delete_neighbour(neighbour)
}

impl Neighbour {
    /// One that stays until it is deleted.
    pub fn permanent(link: LinkRef, ip: IpAddr, mac: Vec<u8>) -> Self {
        Self { link, ip: ip.into(), mac, state: PERMANENT, flags: 0 }
    }

    /// An address that the link answers for.
    pub fn proxy(link: LinkRef, ip: IpAddr) -> Self {
        Self { link, ip: ip.into(), mac: Vec::new(), state: PERMANENT, flags: PROXY }
    }
}
