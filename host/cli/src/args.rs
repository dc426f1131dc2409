//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{Parser, Subcommand};

/// Container networking with sandboxed plugins
///
/// Called under the name of a bundled plugin (a link named `bridge`, say) it is
/// that plugin, as in /opt/cni/bin.
#[derive(Parser)]
#[command(name = "wasm-cni", version, after_help = ENVIRONMENT)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Folder of network configurations [default: $NETCONFPATH or /etc/cni/net.d]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) conf_dir: Option<PathBuf>,
    /// Folders of plugins that are not bundled, `:` between them [default: $CNI_PATH]
    #[arg(long, global = true, value_name = "DIRS")]
    pub(crate) plugin_path: Option<String>,
    /// Keep all state below this folder [default: $WASM_CNI_ROOT or /]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// The namespace for the host's end of things [default: $WASM_CNI_HOST_NETNS or the caller's]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) host_netns: Option<PathBuf>,
    /// Seconds that an operation may take [default: 30]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) timeout: Option<u32>,
    /// Give a plugin that is not bundled the host's namespace too
    #[arg(long, global = true, value_name = "PLUGIN")]
    pub(crate) allow_host: Vec<String>,
}

const ENVIRONMENT: &str = "\
Environment:
  NETCONFPATH   folder of network configurations
  CNI_PATH      folders of plugins
  CNI_ARGS      arguments for plugins: K=V;K=V
  CAP_ARGS      values for capabilities, JSON
  CNI_IFNAME    name of the interface in the container";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Attach a network namespace to a network and print the result
    Add(Target),
    /// Detach a network namespace from a network
    Del(Target),
    /// Check that an attachment is as `add` left it
    Check(Target),
    /// Run a command in a fresh network namespace, attached to a network
    ///
    /// The namespace, and what was made for it, goes when the command ends,
    /// however it ends. The exit status is the command's.
    Run(Run),
}

/// What to attach to what.
#[derive(clap::Args)]
pub(crate) struct Target {
    /// Name of a network, or path of its configuration
    pub(crate) network: String,
    /// Path of the network namespace
    pub(crate) netns: PathBuf,
    /// Name of the interface in the namespace [default: $CNI_IFNAME or eth0]
    #[arg(short, long)]
    pub(crate) ifname: Option<String>,
}

#[derive(clap::Args)]
pub(crate) struct Run {
    /// Do it all in private user, network and mount namespaces: needs no
    /// privilege and changes nothing on the machine
    #[arg(long)]
    pub(crate) isolated: bool,
    /// Name of the interface in the namespace [default: $CNI_IFNAME or eth0]
    #[arg(short, long)]
    pub(crate) ifname: Option<String>,
    /// Name of a network, or path of its configuration
    pub(crate) network: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}
