//! Write CNI plugins as WebAssembly components for wasm-cni.
//!
//! A plugin is pure logic. The host lends it network namespaces as handles
//! ([`Netns`]), and takes the changes to make there as a list ([`Batch`]).
//! Whatever a failed ADD has done the host undoes, so a plugin has no roll-back
//! of its own: `?` is enough. It needs no thought for `cniVersion` either.
//!
//! ```no_run
//! use cni_plugin::{Batch, Call, Failure, InterfacePlugin, LinkAttr, LinkRef, Mistake, Netns, Output};
//!
//! struct Loopback;
//! cni_plugin::export_interface_plugin!(Loopback);
//!
//! impl InterfacePlugin for Loopback {
//!     fn add(_: &Call, sandbox: &Netns, _: Option<&Netns>) -> Result<Output, Failure> {
//!         let mut batch = Batch::on(sandbox);
//!         batch.set_link(LinkRef::Name("lo".into()), [LinkAttr::Up(true)]);
//!         batch.commit()?;
//!         Ok(cni_plugin::Output::default())
//!     }
//!
//!     fn del(_: &Call, _: Option<&Netns>, _: Option<&Netns>) -> Result<(), Failure> {
//!         Ok(())
//!     }
//!
//!     fn check(_: &Call, _: &Netns, _: Option<&Netns>) -> Result<(), Failure> {
//!         Ok(())
//!     }
//!
//!     fn validate(config: &str) -> Vec<Mistake> {
//!         cni_plugin::validate::unknown_keys(config, &[])
//!     }
//! }
//! ```
//!
//! The texts of errors are those of the reference plugins: people and scripts
//! know them. The modules that hold them are [`decode`], [`args`], [`mac`],
//! [`iface`] and [`check`].

pub mod args;
mod batch;
pub mod bindings;
pub mod check;
pub mod decode;
mod defaults;
pub mod devices;
pub mod dummy;
#[doc(hidden)]
pub mod export;
mod failure;
mod fault;
pub mod forwarding;
pub mod go;
#[cfg(any(test, all(feature = "arena", target_arch = "wasm32", target_os = "unknown")))]
mod heap;
pub mod iface;
pub mod ip;
pub mod ipam;
mod json;
mod keys;
pub mod link;
pub mod log;
pub mod mac;
pub mod macvlan;
pub mod masquerade;
pub mod memo;
pub mod neighbours;
pub mod netconf;
mod plugin;
pub mod result;
pub mod routes;
pub mod rules;
#[doc(hidden)]
pub mod several;
pub mod spoof_check;
pub mod store;
pub mod validate;
pub mod veth;

pub use batch::{Batch, Change, CommitFailed, Committed};
pub use bindings::interface::wasm_cni::cni::cni::{
    Attachment, Call, CniRoute, Dns, Failure, Iface, IpConfig, Mistake, Output,
};
pub use bindings::interface::wasm_cni::net::net::{
    Address, Bridge, BridgeVlan, Change as OtherChange, Condition, Link, LinkAttr, LinkKind, LinkRef, Netns, Query,
    Route, Snapshot, Tables, Tolerance, Veth,
};
pub use bindings::interface::wasm_cni::types::types::{Code, Error};
pub use failure::{Context, PLUGIN_FAILED, try_all};
pub use ipnet::IpNet;
pub use plugin::{InterfacePlugin, IpamPlugin, require_host};
