//! The commands, and what they share: finding the network and naming the attachment.

mod attach;
pub(crate) mod cnitool;
mod doctor;
mod inspect;
mod install;
mod key_path;
mod leases;
mod manual;
mod network;
mod networks;
mod places;
mod plan;
mod recover;
mod run;
mod show;
mod validate;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};
use wasm_cni::{Attachment, Network, Runtime, settings::LogLine};

use crate::{
    args::{Args, Command, PLUGINS},
    env::{Env, print_log},
    progress, table,
};

/// Does what the arguments say. Returns the exit status.
pub(crate) fn run(args: Args, mut env: Env) -> Result<u8> {
    let Args { command, global } = args;
    for (name, value) in [
        ("NETCONFPATH", global.conf_dir.map(PathBuf::into_os_string)),
        ("CNI_PATH", global.plugin_path.map(Into::into)),
        ("WASM_CNI_ROOT", global.root.map(PathBuf::into_os_string)),
        ("WASM_CNI_HOST_NETNS", global.host_netns.map(PathBuf::into_os_string)),
        ("WASM_CNI_POLICY", global.policy.map(PathBuf::into_os_string)),
        ("WASM_CNI_TRACE", global.trace.map(PathBuf::into_os_string)),
        ("WASM_CNI_CACHE_DIR", global.cache_dir.map(PathBuf::into_os_string)),
        ("WASM_CNI_PREFER_NATIVE", global.prefer_native.then(|| "1".into())),
        ("WASM_CNI_TIMEOUT", global.timeout.map(|seconds| seconds.to_string().into())),
        ("WASM_CNI_ALLOW_HOST", (!global.allow_host.is_empty()).then(|| global.allow_host.join(",").into())),
    ] {
        if let Some(value) = value {
            env.set(name, value);
        }
    }
    // As container runtimes do.
    if env.plugin_directories().is_empty() {
        env.set("CNI_PATH", PLUGINS);
    }
    env.open_trace()?;
    progress::enable(&env.text("TERM"));
    table::measure();
    match command {
        Command::Add(target) => attach::add(&target, &env),
        Command::Del(target) => attach::del(&target, &env),
        Command::Check(target) => attach::check(&target, &env),
        Command::Plan(plan) => plan::plan(&plan, &env),
        Command::Gc(gc) => network::gc(&gc, false, &env),
        Command::Status(named) => network::status(&named.network.network, Some(named.output.output), &env),
        Command::Networks(output) => networks::networks(&output, &env),
        Command::List(list) => show::list(&list, &env),
        Command::Plugins(output) => show::plugins(&output, &env),
        Command::Inspect(inspect) => inspect::inspect(&inspect, &env),
        Command::Which(which) => networks::which(&which, &env),
        Command::Validate(validate) => validate::validate(&validate, &env),
        Command::Recover(recover) => recover::recover(&recover, &env),
        Command::Leases(leases) => leases::leases(&leases, &env),
        Command::Doctor(output) => doctor::doctor(&output, &env),
        Command::Install(install) => install::install(&install),
        Command::Uninstall(uninstall) => install::uninstall(&uninstall),
        Command::Completions(completions) => manual::completions(&completions),
        Command::Man(pages) => manual::man(&pages),
        Command::Run(run) => run::run(&run, env),
    }
}

/// Whether an argument is the path of a configuration, and not a network's name.
fn is_path(network: &str) -> bool {
    let path = Path::new(network);
    let file = path.extension().is_some_and(|e| ["conflist", "conf", "json"].iter().any(|known| e == *known));
    network.contains('/') || (file && path.is_file())
}

/// Finds a network by path or by name. Broken files on the way to a name are
/// reported, and do not affect other networks.
fn find_network(network: &str, env: &Env) -> Result<Network> {
    if is_path(network) {
        return Ok(wasm_cni::config::load(Path::new(network))?);
    }
    let found = wasm_cni::config::find(&env.configurations(), network)?;
    for file in found.broken {
        let message = &*format!("{}: {}", file.path.display(), file.error);
        print_log(&LogLine::warning("", network, "", message));
    }
    Ok(found.network)
}

/// The network that an attachment was made with, for what takes it away: its file, or what the result cache has of it if
/// the file is gone or broken.
fn find_attached(name: &str, env: &Env, runtime: &Runtime, is_it: impl Fn(&Attachment) -> bool) -> Result<Network> {
    let error = match find_network(name, env) {
        Ok(network) => return Ok(network),
        Err(error) => error,
    };
    let mut cached = runtime.cached(None);
    cached.retain(|cached| cached.network == name && is_it(&cached.attachment));
    cached.sort_by_key(|cached| cached.since);
    let networks = cached.iter().rev().filter_map(|cached| wasm_cni::config::parse(&cached.config).ok());
    let Some(network) = networks.into_iter().find(|network| network.name == name) else { return Err(error) };
    let message = format!("{}; using the configuration in the result cache", crate::chain(&error));
    print_log(&LogLine::warning("", name, "", &message));
    Ok(network)
}

/// The attachment of a namespace, with the arguments in the environment.
fn attachment(env: &Env, container_id: String, ifname: Option<&str>, netns: &Path) -> Result<Attachment> {
    let ifname = match ifname {
        Some(ifname) => ifname.to_owned(),
        None => Some(env.text("CNI_IFNAME")).filter(|name| !name.is_empty()).unwrap_or_else(|| "eth0".to_owned()),
    };
    let args = env.text("CNI_ARGS");
    for pair in args.split(';').filter(|_| !args.is_empty()) {
        match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() && !value.contains('=') => {}
            _ => bail!("invalid CNI_ARGS pair {pair:?}"),
        }
    }
    let netns = netns.to_str().context("the path of the namespace is not UTF-8")?;
    let mut at = Attachment::new(container_id, ifname, netns).args(args);
    at.capability_args = capability_args(&env.text("CAP_ARGS"))?;
    Ok(at)
}

fn capability_args(text: &str) -> Result<Map<String, Value>> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text).context("CAP_ARGS is not JSON")? {
        Value::Object(arguments) => Ok(arguments),
        Value::Null => Ok(Map::new()),
        _ => bail!("CAP_ARGS is not a JSON object"),
    }
}
