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
//! [`Runtime::call`] gives a call a time-out and a cancellation; [`AsyncRuntime`] is
//! the same as futures, whose dropping cancels. A plugin's type is looked up among
//! the components that the program hands to [`Builder::bundled`],
//! then in the directories of [`Builder::plugin_dirs`], where it may be a component
//! or an executable; [`exec::Exec`] is the extension point for running executables
//! in another way. [`Runtime::cached`] lists what is attached.
//!
//! Every failure is a [`CniError`]: the specification's code and texts for people,
//! [`CniError::kind`] for programs, and [`CniError::effect`], which says what a
//! failed ADD left behind.
//!
//! The types that most callers need are here; the others are in the modules.

mod abilities;
#[cfg(feature = "tokio")]
mod asynchronous;
mod attachments;
mod builder;
mod call;
mod confine;
mod dead;
mod digest;
mod dispatch;
mod dry_run;
mod ended;
mod footprint;
mod grants;
mod host;

mod inspection;
mod instance;
mod judge;
mod leases;
mod list;
mod operation;
mod options;
mod plan;
mod plugins;
mod progress;
mod recover;
mod released;
mod runtime;
pub mod sandbox;
mod several;
mod stand_alone;
mod validate;
mod watchdog;

#[cfg(feature = "tokio")]
pub use asynchronous::{AsyncCall, AsyncRuntime};
pub use builder::Builder;
pub use call::Call;
pub use runtime::{Added, Runtime};
pub use wasm_cni_kernel::Netns;
pub use wasm_cni_spec::{
    attachment::{Attachment, AttachmentId},
    capability,
    error::{CniError, Effect, ErrorKind},
    network::Network,
};
pub use wasm_cni_state::deadline::Cancel;

/// Network configurations: reading them, and finding them in a directory.
pub mod config {
    pub use wasm_cni_spec::network::{Network, PluginConfig};
    pub use wasm_cni_state::conf_dir::{
        Broken, Loaded, Lookup, Surveyed, find, first, load_all, load_file as load, parse, survey,
    };
}

/// What an ADD achieved, in every version of the specification.
pub mod result {
    pub use wasm_cni_capabilities::footprint::Footprint;
    pub use wasm_cni_spec::{
        result::{Dns, Interface, IpConfig, Route, Success, parse_result as parse},
        schema::render_result as render,
        version::SUPPORTED as SUPPORTED_VERSIONS,
    };
}

/// Errors, their kinds and their codes.
pub mod error {
    pub use wasm_cni_spec::error::{CniError, Effect, ErrorKind, code};
}

/// How native plugins are found and run.
pub mod exec {
    pub use wasm_cni_capabilities::exec::{Exec, ExecCall, ExecOutput, Processes};
}

/// What is known without calling a plugin: plugins, attachments, leases, and what interrupted calls left.
pub mod inspect {
    pub use wasm_cni_state::{cache::Cached, leases::Lease};

    pub use crate::{
        dry_run::{Planned, PlannedStep},
        inspection::{Inspected, Interface},
        plugins::Location,
        recover::Recovered,
        validate::Mistake,
    };
}

/// What the functions of [`Builder`] take and report.
pub mod settings {
    pub use wasm_cni_capabilities::{context::LogLine, limits::Limits};
    /// Which engine compiled plugins have to be for: its version, and the revision of
    /// its settings.
    pub use wasm_cni_engine::KEY as ENGINE_KEY;
    pub use wasm_cni_engine::{Bundled, Grant};

    pub use crate::progress::Progress;
}

/// Being a plugin: parameters in the environment, the configuration on standard input.
pub mod protocol {
    pub use wasm_cni_spec::command::Command;

    pub use crate::stand_alone::{Output, Reply, answer};
}

/// The examples of `docs/embedding.md` compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
struct Embedding;
