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
//! let attachment = Attachment::new("c1", "eth0", netns.path());
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
mod attachments;
mod builder;
mod call;
mod confine;
mod digest;
mod dispatch;
mod grants;
mod host;
mod inspect;
mod instance;
mod leases;
mod list;
mod operation;
mod options;
mod plan;
mod plugins;
mod policy;
mod progress;
mod recover;
mod runtime;
mod several;
mod stand_alone;
mod validate;
mod watchdog;

#[cfg(feature = "tokio")]
pub use asynchronous::{AsyncCall, AsyncRuntime};
pub use builder::Builder;
pub use call::Call;
pub use inspect::{Inspected, Interface as WitInterface};
pub use plugins::Location;
pub use progress::Progress;
pub use recover::Recovered;
pub use runtime::{Added, Runtime};
pub use stand_alone::{Reply, answer};
pub use wasm_cni_capabilities::{
    attempt::Footprint,
    context::LogLine,
    exec::{Exec, ExecCall, ExecOutput, Processes},
    limits::Limits,
};
/// Which engine compiled plugins have to be for: its version, and the revision of
/// its settings.
pub use wasm_cni_engine::KEY as ENGINE_KEY;
pub use wasm_cni_engine::{Bundled, Grant};
pub use wasm_cni_kernel::Netns;
/// Arguments of capabilities that container runtimes agree on.
pub use wasm_cni_spec::capability;
pub use wasm_cni_spec::{
    attachment::{Attachment, AttachmentId},
    command::Command,
    error::{CniError, Effect, ErrorKind, code},
    network::{Network, PluginConfig},
    result::{Dns, Interface, IpConfig, Route, Success, parse_result},
    schema::render_result,
    version::SUPPORTED as SUPPORTED_VERSIONS,
};
pub use wasm_cni_state::{
    cache::Cached,
    conf_dir::{
        Broken, Loaded, Lookup, Surveyed, find as find_network, first as first_network, load_all as load_networks,
        load_file as load_network, survey as survey_networks,
    },
    deadline::Cancel,
    leases::Lease,
};

/// The examples of `docs/embedding.md` compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
struct Embedding;
