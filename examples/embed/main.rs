//! A container runtime in small: a network namespace for each container, the
//! networks of a folder, a command in it, and nothing left when it ends.
//!
//! ```console
//! # cargo run -p wasm-cni --example embed -- examples/net.d 2 ip -brief address
//! ```
//!
//! starts two containers, each on every network of the folder, runs the command
//! in each, and ends with the first status that is not 0. It needs the rights to
//! make namespaces and devices, as root has them.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
    time::Duration,
};

use wasm_cni::{Added, AsyncRuntime, Attachment, CniError, Netns, Network, Runtime};
use wasm_cni_kernel::{LinkAttrs, LinkRef};

/// What an attachment may take.
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
    let [folder, count, command @ ..] = &arguments[..] else {
        return Err("usage: embed FOLDER COUNT COMMAND...".into());
    };
    let networks = networks(Path::new(folder))?;
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
    // Bridges that were made for these containers, now that none is left.
    for left in footprints.iter().rev().flat_map(|footprint| runtime.runtime().tidy(footprint)) {
        eprintln!("embed: could not be removed: {left}");
    }
    Ok(code)
}

/// Plugins come from CNI_PATH if they are not bundled; all state is below
/// EMBED_ROOT, so that a test can have it to itself.
#[expect(clippy::disallowed_methods, reason = "a program may read its environment; the library does not")]
fn runtime() -> std::result::Result<Runtime, CniError> {
    let folders = env::var_os("CNI_PATH").unwrap_or_default();
    let root = env::var_os("EMBED_ROOT").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    Runtime::builder()
        .plugin_dirs(env::split_paths(&folders))
        .env(env::vars_os())
        .root(root)
        .log(|line| eprintln!("{} {} {}: {}", line.level, line.container_id, line.plugin, line.message))
        .build()
}

/// Every network of the folder that can be used; the others are reported.
fn networks(folder: &Path) -> Result<Vec<Network>> {
    let mut networks = Vec::new();
    for file in wasm_cni::survey_networks(folder)? {
        match file.network {
            Ok(network) => networks.push(network),
            Err(error) => eprintln!("embed: skipping {}: {error}", file.path.display()),
        }
    }
    if networks.is_empty() {
        return Err(format!("no networks in {}", folder.display()).into());
    }
    Ok(networks)
}

/// A namespace, and what it is to be attached to.
struct Container {
    netns: Arc<Netns>,
    attachments: Vec<(Network, Attachment)>,
}

impl Container {
    fn new(id: String, networks: &[Network]) -> Result<Self> {
        let netns = Netns::create()?;
        let mut netlink = netns.connect()?;
        let lo = netlink.link_get(LinkRef::Name("lo"))?.index;
        netlink.link_set(lo, &LinkAttrs { up: Some(true), ..LinkAttrs::default() })?;
        // This process keeps the namespace: there is no file to remove.
        let path = netns.path().display().to_string();
        let attachment = |(i, network): (usize, &Network)| {
            let at = Attachment {
                container_id: id.clone(),
                ifname: format!("eth{i}"),
                netns: path.clone(),
                ..Attachment::default()
            };
            (network.clone(), at)
        };
        let attachments = networks.iter().enumerate().map(attachment).collect();
        Ok(Self { netns: Arc::new(netns), attachments })
    }

    /// From being attached to being detached. Gives the command's status.
    async fn live(self, runtime: &AsyncRuntime, command: Vec<String>) -> Result<(u8, Vec<Added>)> {
        // One after the other, so that the first network has the first say in
        // default routes. If one fails, those before it are taken back.
        let added = runtime.add_in_order(&self.attachments, Some(TIMEOUT)).await?;
        for (added, (_, at)) in added.iter().zip(&self.attachments) {
            for ip in &added.result.ips {
                eprintln!("{} {}: {}", at.container_id, at.ifname, ip.address);
            }
        }
        // Ctrl-C ends the command; it is waited for, and then comes the rest.
        let ended = self.command(command).await;
        for (network, at) in self.attachments.iter().rev() {
            runtime.del(network, at, Some(TIMEOUT)).await?;
        }
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
