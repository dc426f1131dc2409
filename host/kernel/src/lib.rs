//! The Linux side: network namespaces, rtnetlink, nftables and sysctls. Must not
//! know: wasm, CNI, JSON.
//!
//! A [`Netlink`] always talks to the same network namespace: the kernel ties a
//! socket to the namespace that it was opened in, so no thread has to stay there.
//! Only [`Netns::run`], [`Netns::run_apart`] and [`Netns::is_home_of_all_threads`]
//! call `setns`.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use wasm_cni_kernel::{LinkAttrs, LinkKind, NewLink, Netns};
//!
//! let mut host = Netns::current()?.connect()?;
//! let bridge = host.link_add(&NewLink {
//!     name: "cni0".to_owned(),
//!     kind: LinkKind::Bridge { vlan_filtering: false },
//!     attrs: LinkAttrs { up: Some(true), ..LinkAttrs::default() },
//! })?;
//! host.link_del(bridge)?;
//! # Ok(())
//! # }
//! ```
//!
//! Every [`Error`] keeps its errno. Callers match on [`Error::errno`]; the text is
//! for people.
#![deny(unsafe_code)]

mod address;
mod announce;
mod answer;
mod bridge_vlan;
mod error;
mod file;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod gone;
mod link;
mod neighbour;
mod netlink;
mod netns;
mod netns_id;
mod nftables;
mod nsid;
mod route;
mod rule;
mod socket;
mod sysctl;
mod wait;

pub use address::Address;
pub use bridge_vlan::BridgeVlan;
pub use error::{Error, errno_text};
pub use file::{Entry, entries, open};
pub use link::{
    IF_OPER_UP, IFF_LOOPBACK, IFF_PROMISC, IFF_UP, Link, LinkAttrs, LinkKind, LinkRef, Macvlan, MacvlanMode, NewLink,
    VethPeer, random_index,
};
pub use neighbour::Neighbour;
pub use netlink::Netlink;
pub use netns::{Netns, OpenError};
pub use netns_id::NetnsId;
pub use nftables::{
    BaseChain, Batch, Chain, ChainKind, Family, Hook, IpMatch, ListedRule, Nftables, Policy, Rule, Statement,
};
pub use route::{FullRoute, Hop, Route, RouteAdd, RouteKind};
pub use rule::{IpFamily, RoutingRule};
pub use wait::Condition;
