//! A small container runtime: it attaches a network namespace for each container to
//! the networks of a directory, runs a command in it, and leaves nothing behind.
//!
//! ```console
//! # cargo run -p wasm-cni --example embed -- examples/net.d 2 ip -brief address
//! ```
//!
//! starts two containers on every network of the directory, runs the command in each,
//! and exits with the first status that is not 0. It needs privileges to create
//! namespaces and devices, as root has.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
    time::Duration,
};

use wasm_cni::{
    Added, AsyncRuntime, Attachment, CniError, Netns, Network, Runtime, config::Loaded, sandbox::set_up_loopback,
};

/// Time limit of an attachment.
const TIMEOUT: Duration = Duration::from_secs(10);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("embed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [directory, count, command @ ..] = &arguments[..] else {
        return Err("usage: embed DIR COUNT COMMAND...".into());
    };
    let networks = networks(Path::new(directory))?;
    let runtime = AsyncRuntime::new(runtime()?);

    // All at the same time: one runtime serves many calls.
    let mut containers = tokio::task::JoinSet::new();
    for i in 0..count.parse::<u32>()? {
        let container = Container::new(format!("embed-{}-{i}", std::process::id()), &networks)?;
        let (runtime, command) = (runtime.clone(), command.to_vec());
        containers.spawn(async move { container.live(&runtime, command).await });
    }
    let mut code = ExitCode::SUCCESS;
    let mut footprints = Vec::new();
    while let Some(ended) = containers.join_next().await {
        let (status, added) = ended??;
        footprints.extend(added.into_iter().map(|added| added.footprint));
        if status != 0 {
            code = ExitCode::from(status);
        }
    }
    // Bridges that were created for these containers.
    for left in footprints.iter().rev().flat_map(|footprint| runtime.runtime().tidy(footprint)) {
        eprintln!("embed: could not be removed: {left}");
    }
    Ok(code)
}

/// Plugins are bundled or come from CNI_PATH. All state is in EMBED_ROOT, which a test
/// sets to a private directory.
#[expect(clippy::disallowed_methods, reason = "a program may read its environment; the library does not")]
fn runtime() -> std::result::Result<Runtime, CniError> {
    let directories = env::var_os("CNI_PATH").unwrap_or_default();
    let root = env::var_os("EMBED_ROOT").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    Runtime::builder()
        .bundled(wasm_cni_bundled::PLUGINS)
        .plugin_dirs(env::split_paths(&directories))
        .env(env::vars_os())
        .root(root)
        .timeout(TIMEOUT)
        .log(|line| eprintln!("{} {} {}: {}", line.level, line.container_id, line.plugin, line.message))
        .build()
}

/// Every network of the directory that can be used; reports the others.
fn networks(directory: &Path) -> Result<Vec<Network>> {
    let Loaded { networks, broken, .. } = wasm_cni::config::load_all(directory, usize::MAX)?;
    for file in broken {
        eprintln!("embed: skipping {}: {}", file.path.display(), file.error);
    }
    if networks.is_empty() {
        return Err(format!("no networks in {}", directory.display()).into());
    }
    Ok(networks)
}

/// A namespace, and the networks to attach it to.
struct Container {
    netns: Arc<Netns>,
    attachments: Vec<(Network, Attachment)>,
}

impl Container {
    fn new(id: String, networks: &[Network]) -> Result<Self> {
        let netns = Netns::create()?;
        set_up_loopback(&netns)?;
        // This process keeps the namespace alive, so there is no file to remove.
        let attachments = Attachment::new(id, "", netns.path()).numbered("eth", networks.to_vec());
        Ok(Self { netns: Arc::new(netns), attachments })
    }

    /// Attaches it, runs the command and detaches it. Returns the command's status.
    async fn live(self, runtime: &AsyncRuntime, command: Vec<String>) -> Result<(u8, Vec<Added>)> {
        // In order, so that the first network gets the default routes. If one fails, the
        // ones before it are undone.
        let added = runtime.add_in_order(&self.attachments).await?;
        for (added, (_, at)) in added.iter().zip(&self.attachments) {
            for ip in &added.result.ips {
                eprintln!("{} {}: {}", at.container_id, at.ifname, ip.address);
            }
        }
        // Ctrl-C ends the command; wait for it, and then detach.
        let ended = self.command(command).await;
        runtime.del_all(&self.attachments).await?;
        Ok((ended?, added))
    }

    async fn command(&self, command: Vec<String>) -> Result<u8> {
        let netns = Arc::clone(&self.netns);
        let run = move || -> Result<u8> {
            let [program, arguments @ ..] = &command[..] else { return Ok(0) };
            // A process starts in the namespace of the thread that starts it.
            let status = netns.run(|| -> io::Result<_> { Command::new(program).args(arguments).status() })??;
            Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
        };
        let mut running = tokio::task::spawn_blocking(run);
        loop {
            tokio::select! {
                ended = &mut running => return ended?,
                _ = tokio::signal::ctrl_c() => eprintln!("embed: waiting for the command"),
            }
        }
    }
}
