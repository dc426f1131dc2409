//! What plugins can reach: the functions that guests import, each with its check, its effect, the effect's inverse, its
//! description and its kernel call in one file. Must not know: where plugins come from, and what a network is.
//!
//! A capability is an interface of the WIT: an entry of [`table::ALL`], which is where everything else in the host learns of
//! it. One such is `system/random.rs`: a constant `CAPABILITY`, and the functions of the interface, each by [`state::State::call`],
//! which counts and traces it. What changes something is a [`net::change::Change`], or notes an [`record::effect::Effect`]
//! before it acts.

pub mod abilities;
pub mod attempt;
pub mod bindings;
pub mod call;
pub mod capability;
pub mod cause;
pub mod convert;
pub mod delegate;
pub mod describe;
pub mod facts;
pub mod failure;
pub mod filter;
pub mod footprint;
pub mod handles;
pub mod identity;
pub mod limits;
pub mod link;
pub mod needs;
pub mod neighbour;
pub mod net;
pub mod print;
pub mod printed;
pub mod record;
pub mod rehearsal;
pub mod route;
pub mod state;
pub mod store;
pub mod system;
pub mod table;
pub mod vlan_interface;
pub mod wire;

pub use wasm_cni_context::{context, exec, faults, text, tied, trace};
pub use wasm_cni_namespaces::{device, link_id, space};
pub use wasm_cni_policy::{grants, world};

#[cfg(test)]
mod properties;
