//! Container networking with sandboxed plugins: what libcni, `pkg/invoke` and
//! `pkg/skel` are to Go. Must not know: argv, and the environment of the
//! process.
//!
//! A [`Network`] is a list of plugins. [`Runtime::add`] runs them for an
//! [`Attachment`], each in a WebAssembly instance of its own with the grants
//! and limits of its own, and takes back every effect if one of them fails.
//!
//! ```no_run
//! use wasm_cni::{Attachment, Netns, Network, Runtime};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let network = Network::parse_list(br#"{ "cniVersion": "1.1.0", "name": "lan",
//!     "plugins": [{ "type": "bridge", "ipam": { "type": "host-local", "subnet": "10.1.0.0/16" } }] }"#)?;
//! // A container's namespace, or a fresh one as here; anything that has a path.
//! let netns = Netns::create()?;
//! let attachment = Attachment {
//!     container_id: "c1".to_owned(),
//!     ifname: "eth0".to_owned(),
//!     netns: netns.path().display().to_string(),
//!     ..Attachment::default()
//! };
//! let runtime = Runtime::builder().build()?;
//! let added = runtime.add(&network, &attachment)?;
//! println!("{}", added.result.ips[0].address); // 10.1.0.2/16
//! runtime.del(&network, &attachment)?;
//! # Ok(())
//! # }
//! ```
//!
//! [`AsyncRuntime`] is the same as futures, with time-outs and cancellation.
//! A plugin's type is looked up among the components that come with this crate,
//! then in the folders of [`Builder::plugin_dirs`], where it may be a component
//! or an executable; [`Exec`] is the seam for who finds and runs executables in
//! another way. [`Runtime::cached`] knows what is attached.
//!
//! Every failure is a [`CniError`]: the specification's code, what failed, and
//! what to know about it.

mod abilities;
#[cfg(feature = "tokio")]
mod asynchronous;
mod attempt;
mod bindings;
mod boot;
mod cache;
mod code_memory;
mod compiled;
mod config;
mod confine;
mod directory;
mod dispatch;
mod error;
mod faults;
mod folder;
mod grants;
mod host;
mod inspect;
mod instance;
mod journal;
mod known;
mod leases;
mod limits;
mod native;
mod operations;
mod plugin;
mod policy;
mod progress;
mod protocol;
mod records;
mod recover;
mod render;
mod result;
mod runtime;
mod schema;
mod trace;
mod undo;
mod validate;
mod version;
mod watchdog;
mod wire;

#[cfg(feature = "tokio")]
pub use asynchronous::AsyncRuntime;
pub use attempt::Footprint;
pub use cache::Cached;
pub use config::{Network, PluginConfig};
pub use error::{CniError, code};
pub use folder::{
    Broken, Lookup, Surveyed, find as find_network, load_file as load_network, survey as survey_networks,
};
pub use inspect::{Inspected, Interface as WitInterface};
pub use leases::Lease;
pub use limits::{CallOptions, Cancel, Limits};
pub use native::{Exec, ExecCall, ExecOutput, Processes};
pub use plugin::{Command, Location, LogLine};
pub use progress::Progress;
pub use protocol::{Reply, answer};
pub use recover::Recovered;
pub use result::{Dns, Interface, IpConfig, Route, Success, parse_result};
pub use runtime::{Added, Attachment, Builder, Runtime};
pub use schema::render_result;
pub use version::SUPPORTED as SUPPORTED_VERSIONS;
/// Which engine compiled plugins have to be for: its version, and the revision of
/// its settings.
pub use wasm_cni_engine::KEY as ENGINE_KEY;
pub use wasm_cni_kernel::Netns;

/// The examples of `docs/embedding.md` compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
struct Embedding;
