//! `wasm-cni`: container networking with sandboxed plugins. Called under the
//! name of a bundled plugin it is that plugin; else it is a command for people.
//! Must not know: wasmtime, netlink.
#![cfg_attr(not(test), no_main)]

mod args;
mod commands;
mod env;
mod isolation;
mod progress;
mod start;
mod table;
mod trace;
mod version;

use std::{
    ffi::{OsStr, OsString},
    io::{self, Write as _},
    path::Path,
};

use clap::Parser as _;
use wasm_cni::{CniError, LogLine};

use crate::{args::Args, env::Env};

#[cfg(test)]
fn main() {
    start::main(0, std::ptr::null());
}

/// What the process does; its exit status.
fn run(arguments: Vec<OsString>) -> u8 {
    let mut env = Env::of_process();
    let program = arguments.first().cloned().unwrap_or_default();
    if Path::new(&program).file_name() == Some(OsStr::new("cnitool")) {
        return commands::cnitool::run(&mut arguments.into_iter().skip(1), env);
    }
    match plugin_name(&program) {
        Some(name) => be_plugin(name, &mut env),
        None => match commands::run(Args::parse_from(arguments), env) {
            Ok(status) => status,
            Err(error) => {
                progress::clear();
                let _ = writeln!(io::stderr(), "Error: {error:#}");
                1
            }
        },
    }
}

/// The bundled plugin that the program was called as.
fn plugin_name(program: &OsStr) -> Option<&'static str> {
    let name = Path::new(program).file_name()?.to_str()?;
    wasm_cni_bundled::PLUGINS.iter().find(|plugin| plugin.name == name).map(|plugin| plugin.name)
}

fn be_plugin(name: &'static str, env: &mut Env) -> u8 {
    // Even a mistake of ours has to reach the runtime as CNI has it.
    std::panic::set_hook(Box::new(move |panic| {
        let text = format!("plugin {name:?} has met a mistake in wasm-cni: {panic}");
        print(CniError::internal(text).to_json().as_bytes());
        std::process::exit(1);
    }));
    // A container is not to lose its network because of a full disk.
    if let Err(error) = env.open_trace() {
        let (network, container_id) = ("", &*env.text("CNI_CONTAINERID"));
        let message = &*format!("{error}; there is none");
        env::print_log(&LogLine::warning(name, network, container_id, message));
    }
    let env = &*env;
    let reply = wasm_cni::answer(name, &|variable| env.text(variable), &mut io::stdin().lock(), &|| env.runtime());
    // A reader that is gone cannot be told anything.
    let _ = io::stderr().write_all(reply.stderr.as_bytes());
    print(reply.stdout.as_bytes());
    reply.status
}

/// By one write(2), where std would make one for each of its last two lines.
fn print(mut text: &[u8]) {
    while !text.is_empty() {
        match nix::unistd::write(io::stdout(), text) {
            Ok(written) => text = &text[written..],
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}
