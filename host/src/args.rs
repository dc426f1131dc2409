//! The command line.

use std::{ffi::OsString, ops::RangeInclusive, path::PathBuf};

use clap::{
    Args as _, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, error::ErrorKind, parser::ValueSource,
};
use wasm_cni::AttachmentId;

const GLOBAL: &str = "Global options";

/// Container networking with sandboxed plugins
///
/// Called under the name of a bundled plugin (a link named `bridge`, for
/// example), this program is that plugin, as in /opt/cni/bin.
#[derive(Parser)]
#[command(name = "wasm-cni", version = crate::version::build(), long_version = crate::version::long(), after_help = ENVIRONMENT)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

// No doc comment: it would become the description of each command.
#[derive(clap::Args)]
#[command(next_help_heading = GLOBAL)]
pub(crate) struct Global {
    /// Directory of network configurations [env: NETCONFPATH] [default: /etc/cni/net.d]
    #[arg(long, value_name = "DIR")]
    pub(crate) conf_dir: Option<PathBuf>,
    /// Colon-separated plugin directories, searched after the bundled plugins [env: CNI_PATH] [default: /opt/cni/bin]
    #[arg(long, value_name = "DIRS")]
    pub(crate) plugin_path: Option<String>,
    /// Directory that contains all state [env: WASM_CNI_ROOT] [default: /]
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Directory of the result cache [env: WASM_CNI_CACHE_DIR] [default: var/lib/cni in the root]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Prefer native plugins over components of the same name [env: WASM_CNI_PREFER_NATIVE=1]
    #[arg(long)]
    pub(crate) prefer_native: bool,
    /// Network namespace to treat as the host's [env: WASM_CNI_HOST_NETNS] [default: the caller's]
    #[arg(long, value_name = "PATH")]
    pub(crate) host_netns: Option<PathBuf>,
    /// Time limit of an operation [env: WASM_CNI_TIMEOUT] [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(TIMEOUT))]
    pub(crate) timeout: Option<u32>,
    /// Policy file: what plugins may do [env: WASM_CNI_POLICY] [default: etc/wasm-cni/policy.toml in the root]
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Append a line of JSON for every plugin call, host call and process [env: WASM_CNI_TRACE]
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Give a third-party plugin the grants of `bridge`, on both namespaces [env: WASM_CNI_ALLOW_HOST]
    #[arg(long, value_name = "PLUGIN")]
    pub(crate) allow_host: Vec<String>,
}

/// Seconds that a time limit can be.
pub(crate) const TIMEOUT: RangeInclusive<i64> = 1..=3600;

/// Where runtimes look for plugins by default.
pub(crate) const PLUGINS: &str = "/opt/cni/bin";

const ENVIRONMENT: &str = "\
Environment:
  CNI_ARGS                Arguments for plugins: K=V;K=V
  CAP_ARGS                Capability arguments, a JSON object
  CNI_IFNAME              Name of the interface in the container
  NETCONFPATH             Same as --conf-dir
  CNI_PATH                Same as --plugin-path
  WASM_CNI_ROOT           Same as --root
  WASM_CNI_CACHE_DIR      Same as --cache-dir
  WASM_CNI_PREFER_NATIVE  1 is --prefer-native, 0 is the default
  WASM_CNI_HOST_NETNS     Same as --host-netns
  WASM_CNI_TIMEOUT        Same as --timeout
  WASM_CNI_POLICY         Same as --policy
  WASM_CNI_TRACE          Same as --trace
  WASM_CNI_ALLOW_HOST     Same as --allow-host, with commas between plugins
  WASM_CNI_COMPILER       Path of wasm-cni-compile
  NO_COLOR                No colors on a terminal

An option takes precedence over its variable. A program that is called as a
plugin reads the same variables.";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Attach a network namespace to a network and print the result
    Add(Target),
    /// Detach a network namespace from a network
    Del(Target),
    /// Check that an attachment is still as `add` left it
    Check(Target),
    /// Print what `add` or `del` would change, and change nothing
    ///
    /// The plugins run against a recording of the real state. The exit status is
    /// 1 if the real command would fail.
    Plan(Plan),
    /// Detach a network's cached attachments, except those to keep
    Gc(Gc),
    /// Ask a network's plugins whether they are ready
    ///
    /// Prints nothing on success unless standard output is a terminal.
    Status(Which),
    /// Run a command in a new network namespace that is attached to a network
    ///
    /// The namespace and its attachment are removed when the command ends,
    /// however it ends. The exit status is the command's.
    Run(Run),
    /// List the configured networks
    ///
    /// The exit status is 1 if a configuration file cannot be used.
    Networks(Output),
    /// List the attachments in the result cache
    List(List),
    /// List the plugins and where each one is found
    Plugins(Output),
    /// Show what a plugin is, what it imports, and what it can and cannot do
    Inspect(Inspect),
    /// Show which file a network name resolves to, and why
    Which(Which),
    /// Find mistakes in network configurations
    Validate(Validate),
    /// Undo what interrupted calls left behind
    ///
    /// Every add, del and gc undoes new leftovers by itself. This command also
    /// retries what could not be undone then.
    Recover(Recover),
    /// List leased addresses with their owner, age and state
    Leases(Leases),
    /// Find problems of this machine and say how to fix them
    ///
    /// Tests the kernel's features in a private namespace and changes nothing.
    /// The exit status is 1 if something will fail.
    Doctor(Output),
    /// Install this program under the name of each plugin
    ///
    /// Safe while containers start and stop: every file is replaced
    /// atomically, and calls in progress are not affected.
    Install(Install),
    /// Remove what `install` created, and restore what it replaced
    Uninstall(Uninstall),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Print the manual page, or write the page of each command to a directory
    Man(ManPages),
}

/// Commands that work without networks.
const WITHOUT_NETWORKS: [&str; 4] = ["install", "uninstall", "completions", "man"];

/// Global options that have an effect on commands which only look.
const WHAT_COUNTS: [(&str, &[&str]); 5] = [
    ("list", &["conf_dir", "root", "cache_dir"]),
    ("networks", &["conf_dir"]),
    ("plugins", &["plugin_path", "prefer_native"]),
    ("validate", &["conf_dir", "plugin_path", "prefer_native"]),
    ("which", &["conf_dir", "plugin_path", "prefer_native"]),
];

/// The whole definition: commands take global options after their name, too.
pub(crate) fn command() -> clap::Command {
    let with_global = |command: clap::Command| {
        let name = command.get_name().to_owned();
        if WITHOUT_NETWORKS.contains(&name.as_str()) {
            return command;
        }
        let counts = WHAT_COUNTS.iter().find(|(known, _)| *known == name).map(|(_, options)| *options);
        Global::augment_args(command).mut_args(|arg| {
            let global = arg.get_help_heading() == Some(GLOBAL);
            let hidden = global && counts.is_some_and(|counts| !counts.contains(&arg.get_id().as_str()));
            if hidden { arg.hide(true) } else { arg }
        })
    };
    Args::command().mut_subcommands(with_global)
}

/// The arguments of a process. Ends it if they are wrong, or ask for help.
pub(crate) fn parse(arguments: Vec<OsString>) -> Args {
    let mut definition = command();
    let matches = definition.clone().get_matches_from(arguments);
    let mut args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let Some((name, inner)) = matches.subcommand() else { return args };
    if !WITHOUT_NETWORKS.contains(&name) {
        let prefer_native = args.global.prefer_native;
        args.global.update_from_arg_matches(inner).unwrap_or_else(|error| error.exit());
        args.global.prefer_native |= prefer_native;
    } else if matches.ids().any(|id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine)) {
        let text = format!("`{name}` takes no global options");
        definition.error(ErrorKind::ArgumentConflict, text).exit();
    }
    args
}

/// An attachment.
#[derive(clap::Args)]
pub(crate) struct Target {
    /// Name of a network, or path of its configuration file
    pub(crate) network: String,
    /// Path of the network namespace
    pub(crate) netns: PathBuf,
    /// Name of the interface in the namespace [env: CNI_IFNAME] [default: eth0]
    #[arg(short, long)]
    pub(crate) ifname: Option<String>,
    /// Container ID [default: derived from the namespace's path, as by cnitool]
    #[arg(long, value_name = "ID")]
    pub(crate) container_id: Option<String>,
}

/// A planned operation.
#[derive(clap::Args)]
pub(crate) struct Plan {
    /// What to plan
    pub(crate) operation: PlannedOperation,
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PlannedOperation {
    /// Attaching
    Add,
    /// Detaching
    Del,
}

/// A network, and the argument that `cnitool` wants after it.
#[derive(clap::Args)]
pub(crate) struct Named {
    /// Name of a network, or path of its configuration file
    pub(crate) network: String,
    /// Ignored
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
    /// Keep this attachment
    #[arg(long, value_name = "ID/IFNAME", value_parser = attachment)]
    pub(crate) keep: Vec<AttachmentId>,
    /// Keep attachments whose namespace exists
    #[arg(long)]
    pub(crate) keep_alive: bool,
}

fn attachment(text: &str) -> Result<AttachmentId, String> {
    let (id, ifname) = text.split_once('/').ok_or("expected ID/IFNAME, for example c1/eth0")?;
    Ok(AttachmentId::new(id, ifname))
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// Only this network
    pub(crate) network: Option<String>,
    /// Only this container
    #[arg(long, value_name = "ID")]
    pub(crate) container_id: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(clap::Args)]
pub(crate) struct Output {
    /// Output format
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
    /// Plugin type, or path of a .wasm or .cwasm file
    pub(crate) plugin: String,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(clap::Args)]
pub(crate) struct Validate {
    /// Directory or file to check [default: --conf-dir]
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(clap::Args)]
pub(crate) struct Recover {
    /// Print what would be undone, without doing it
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(clap::Args)]
pub(crate) struct Leases {
    /// Only this network
    pub(crate) network: Option<String>,
    /// Remove stale leases
    #[arg(long)]
    pub(crate) prune: bool,
    /// Print what would be removed, without doing it
    #[arg(long, requires = "prune")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(clap::Args)]
pub(crate) struct Install {
    /// Directory in which the container runtime looks for plugins
    #[arg(default_value = PLUGINS)]
    pub(crate) dir: PathBuf,
    /// Only these plugins
    #[arg(long, value_name = "PLUGIN,...", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Replace files that are not from wasm-cni; `uninstall` restores them
    #[arg(long)]
    pub(crate) replace: bool,
    /// Update only what an earlier `install` put there
    #[arg(long, conflicts_with = "replace")]
    pub(crate) upgrade: bool,
    /// Print what would be done, without doing it
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(clap::Args)]
pub(crate) struct Uninstall {
    /// Directory that `install` was given
    #[arg(default_value = PLUGINS)]
    pub(crate) dir: PathBuf,
    /// Print what would be done, without doing it
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(clap::Args)]
pub(crate) struct Completions {
    /// Shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(clap::Args)]
pub(crate) struct ManPages {
    /// Directory, created if missing; for example /usr/local/share/man/man1
    pub(crate) dir: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct Run {
    /// Use private user, network and mount namespaces: needs no privileges and
    /// changes nothing on the machine
    #[arg(long)]
    pub(crate) isolated: bool,
    /// Name of the interface in the namespace [env: CNI_IFNAME] [default: eth0]
    #[arg(short, long)]
    pub(crate) ifname: Option<String>,
    /// Name of a network, or path of its configuration file
    pub(crate) network: String,
    /// Command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}
