//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{Parser, Subcommand};

/// Container networking with sandboxed plugins
///
/// Called under the name of a bundled plugin (a link named `bridge`, say) it is
/// that plugin, as in /opt/cni/bin.
#[derive(Parser)]
#[command(name = "wasm-cni", version = crate::version::build(), long_version = crate::version::long(), after_help = ENVIRONMENT)]
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
    /// The folder of the result cache [default: /var/lib/cni below the root]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Native plugins go before components of the same name
    #[arg(long, global = true)]
    pub(crate) prefer_native: bool,
    /// The namespace for the host's end of things [default: $WASM_CNI_HOST_NETNS or the caller's]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) host_netns: Option<PathBuf>,
    /// Seconds that an operation may take [default: 30]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) timeout: Option<u32>,
    /// What plugins may do [default: $WASM_CNI_POLICY or /etc/wasm-cni/policy.toml below the root]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Append a line of JSON to this file for every call of a plugin, every call that it makes of
    /// the host, and every process [default: $WASM_CNI_TRACE or none]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Give a plugin that is not bundled what `bridge` has: both namespaces
    #[arg(long, global = true, value_name = "PLUGIN")]
    pub(crate) allow_host: Vec<String>,
}

/// Where runtimes look for plugins by default.
pub(crate) const PLUGINS: &str = "/opt/cni/bin";

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
    /// Detach every cached attachment of a network but those to keep
    Gc(Gc),
    /// Ask a network's plugins whether they are ready
    ///
    /// Says nothing if they are, but on a terminal.
    Status(Which),
    /// Run a command in a fresh network namespace, attached to a network
    ///
    /// The namespace, and what was made for it, goes when the command ends,
    /// however it ends. The exit status is the command's.
    Run(Run),
    /// List the attachments in the result cache
    List(List),
    /// List the plugins, and where each comes from
    Plugins(Output),
    /// Tell what a plugin is, what it asks for, and what it can and cannot do
    Inspect(Inspect),
    /// Tell which file a network's name stands for, and why
    Which(Which),
    /// Find the mistakes in a folder of network configurations
    Validate(Validate),
    /// Take back what killed calls have left half-done
    ///
    /// Every add, del and gc does this for what is new; this one also tries
    /// again what could not be taken back then.
    Recover(Recover),
    /// List addresses that are taken: by whom, since when, and whether they still are
    Leases(Leases),
    /// Say what is wrong with this machine, and what to do about it
    ///
    /// Tries in a private namespace what the kernel can do; changes nothing.
    /// The exit status is 1 if something will fail.
    Doctor(Output),
    /// Put this program, and a name for each of its plugins, into a folder of plugins
    ///
    /// Also while they are in use: every name stands for a whole file at every
    /// moment, and calls that have begun end as they began.
    Install(Install),
    /// Take out what `install` put there, and put back what it replaced
    Uninstall(Uninstall),
    /// Print a script that completes this program's arguments in a shell
    Completions(Completions),
    /// Print the manual page, or write one for each command into a folder
    Man(ManPages),
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
    /// The container [default: made of the namespace's path, as by cnitool]
    #[arg(long, value_name = "ID")]
    pub(crate) container_id: Option<String>,
}

/// A network, and what `cnitool` wants beside it.
#[derive(clap::Args)]
pub(crate) struct Named {
    /// Name of a network, or path of its configuration
    pub(crate) network: String,
    /// Not used
    #[arg(hide = true)]
    pub(crate) netns: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct Which {
    #[command(flatten)]
    pub(crate) network: Named,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(clap::Args)]
pub(crate) struct Gc {
    #[command(flatten)]
    pub(crate) network: Named,
    /// An attachment to keep
    #[arg(long, value_name = "ID/IFNAME", value_parser = attachment)]
    pub(crate) keep: Vec<(String, String)>,
    /// Keep the attachments whose namespace is there
    #[arg(long)]
    pub(crate) keep_alive: bool,
}

fn attachment(text: &str) -> Result<(String, String), String> {
    let (id, ifname) = text.split_once('/').ok_or("an attachment is ID/IFNAME, as in c1/eth0")?;
    Ok((id.to_owned(), ifname.to_owned()))
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// Only of this network
    pub(crate) network: Option<String>,
    /// Only of this container
    #[arg(long, value_name = "ID")]
    pub(crate) container_id: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(clap::Args)]
pub(crate) struct Output {
    /// For people or for programs
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
}

#[derive(clap::Args)]
pub(crate) struct Inspect {
    /// Type of a plugin, or path of a .wasm or .cwasm file
    pub(crate) plugin: String,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(clap::Args)]
pub(crate) struct Validate {
    /// The folder, or one file [default: $NETCONFPATH or /etc/cni/net.d]
    pub(crate) path: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct Recover {
    /// Only say what there is to take back
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(clap::Args)]
pub(crate) struct Leases {
    /// Only of this network
    pub(crate) network: Option<String>,
    /// Remove those that are stale
    #[arg(long)]
    pub(crate) prune: bool,
    /// Only say what there is to remove
    #[arg(long, requires = "prune")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(clap::Args)]
pub(crate) struct Install {
    /// The folder that the runtime looks for plugins in
    #[arg(default_value = PLUGINS)]
    pub(crate) dir: PathBuf,
    /// Only these plugins
    #[arg(long, value_name = "PLUGIN,...", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Take the place of files that are not wasm-cni's; `uninstall` puts them back
    #[arg(long)]
    pub(crate) replace: bool,
    /// Only what `install` has put there before; nothing where it has not
    #[arg(long, conflicts_with = "replace")]
    pub(crate) upgrade: bool,
    /// Only say what there is to do
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(clap::Args)]
pub(crate) struct Uninstall {
    /// The folder
    #[arg(default_value = PLUGINS)]
    pub(crate) dir: PathBuf,
    /// Only say what there is to do
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(clap::Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(clap::Args)]
pub(crate) struct ManPages {
    /// The folder, such as /usr/local/share/man/man1
    pub(crate) dir: Option<PathBuf>,
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
