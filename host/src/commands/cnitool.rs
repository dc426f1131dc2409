//! The program as `cnitool`: the same arguments, texts and exit codes.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Result, anyhow, bail};

use super::{attach, network};
use crate::{
    args::{Gc, Named, Target},
    env::Env,
    table,
};

const USAGE: &str = "Usage:
  cnitool [command]

Available Commands:
  add         Add network interface to a network namespace
  check       Check network interface in a network namespace
  del         Delete network interface from a network namespace
  gc          Garbage collect the attachments of a network
  help        Help about any command
  status      Check if a network is ready to attach containers

Flags:
  -h, --help            help for cnitool
  -i, --ifname string   Interface name
";

/// Returns the exit status.
pub(crate) fn run(arguments: &mut dyn Iterator<Item = OsString>, mut env: Env) -> u8 {
    let arguments: Vec<String> = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    match env.open_trace().map_err(Into::into).and_then(|()| dispatch(&arguments, &env)) {
        Ok(status) => status,
        Err(error) if table::is_closed_pipe(&error) => 0,
        Err(error) => {
            let error = crate::chain(&error);
            let _ = write!(io::stderr(), "Error: {error}\n{USAGE}\n{error}\n");
            1
        }
    }
}

fn dispatch(arguments: &[String], env: &Env) -> Result<u8> {
    let (ifname, positional) = options(arguments)?;
    let Some((command, rest)) = positional.split_first() else { return help() };
    if command == "help" || arguments.iter().any(|argument| argument == "-h" || argument == "--help") {
        return help();
    }
    if !["add", "check", "del", "gc", "status"].contains(&command.as_str()) {
        bail!("unknown command {command:?} for \"cnitool\"");
    }
    let [network, netns, ..] = rest else {
        bail!("requires at least 2 arg(s), only received {}", rest.len());
    };
    let target = Target {
        network: network.clone(),
        netns: PathBuf::from(netns),
        ifname: ifname.filter(|name| !name.is_empty()),
        container_id: None,
    };
    let named = || Named { network: network.clone(), netns: None };
    match command.as_str() {
        "add" => attach::add(&target, env),
        "check" => attach::check(&target, env),
        "del" => attach::del(&target, env),
        "gc" => network::gc(&Gc { network: named(), keep: Vec::new(), keep_alive: false }, true, env),
        _ => network::status(network, None, env),
    }
}

/// The value of `-i`, and the positional arguments.
fn options(arguments: &[String]) -> Result<(Option<String>, Vec<String>)> {
    let mut ifname = None;
    let mut positional = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let long = argument.strip_prefix("--ifname=").or_else(|| argument.strip_prefix("-i="));
        match argument.as_str() {
            "-h" | "--help" => {}
            "-i" | "--ifname" => {
                let value = arguments.next().ok_or_else(|| anyhow!("flag needs an argument: {argument}"))?;
                ifname = Some(value.clone());
            }
            _ if long.is_some() => ifname = long.map(str::to_owned),
            _ if argument.starts_with("-i") => ifname = Some(argument[2..].to_owned()),
            _ if argument.starts_with('-') && argument.len() > 1 => bail!("unknown flag: {argument}"),
            _ => positional.push(argument.clone()),
        }
    }
    Ok((ifname, positional))
}

fn help() -> Result<u8> {
    io::stdout().write_all(USAGE.as_bytes())?;
    Ok(0)
}
