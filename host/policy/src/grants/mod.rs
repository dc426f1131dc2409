//! What a plugin may reach. Deny by default, key by key: what is not named is not linked, not lent and not done.

pub mod bundled;
pub mod pattern;
pub mod requested;
pub mod resolve;
pub mod table;

use std::path::PathBuf;

use self::table::{Operation, Sysctl};

/// The grants of one call. The host checks them before every effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The container's namespace.
    pub sandbox: bool,
    /// The namespace that the host's end of things is in.
    pub host: bool,
    /// Kinds of changes in either.
    pub operations: Vec<Operation>,
    /// Kinds of links, of those with an interface of their own, that may be made.
    pub links: Vec<String>,
    /// Patterns of names of the host's links that may be the parent of one.
    pub parent_links: Vec<String>,
    /// Patterns of names of the host's bridges that may be made, and used if they
    /// are there.
    pub host_links: Vec<String>,
    /// Patterns of names of links that may go from one namespace to the other,
    /// and be renamed for it.
    pub move_links: Vec<String>,
    /// Sysctls to read and write in the container's namespace; `*` stands for
    /// one part of the key.
    pub sandbox_sysctls: Vec<Sysctl>,
    /// The same for the host's namespace, where `*` stands for a link that the
    /// attempt made.
    pub host_sysctls: Vec<Sysctl>,
    /// Source NAT for the attachment, in the host's namespace.
    pub masquerade: bool,
    /// A spoof check for the attachment, in the host's namespace.
    pub spoof_check: bool,
    /// sysfs: which network devices belong to which hardware.
    pub devices: bool,
    /// A value that is kept for the attachment, in this directory.
    pub memo: Option<PathBuf>,
    /// Plugins to delegate to.
    pub delegates: Vec<String>,
    /// The directory of an IPAM plugin's entries.
    pub store: Option<PathBuf>,
    /// The file behind `resolver.resolv-conf`.
    pub resolver: Option<PathBuf>,
    /// Addresses of a bridge that was there may be removed for those of gateways.
    pub force_address: bool,
}
