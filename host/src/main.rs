//! `wasm-cni`: container networking with sandboxed plugins. Called under the
//! name of a bundled plugin it is that plugin, otherwise a command for people.
//! Must not know: wasmtime, netlink.
#![cfg_attr(not(test), no_main)]

mod args;
mod commands;
mod env;
#[cfg(target_env = "musl")]
mod heap;
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

use wasm_cni::{CniError, settings::LogLine};

use crate::env::Env;

#[cfg(test)]
fn main() {
    start::main(0, std::ptr::null());
}

/// Does the process's work. Returns its exit status.
fn run(arguments: Vec<OsString>) -> u8 {
    let mut env = Env::of_process();
    let program = arguments.first().cloned().unwrap_or_default();
    if Path::new(&program).file_name() == Some(OsStr::new("cnitool")) {
        return commands::cnitool::run(&mut arguments.into_iter().skip(1), env);
    }
    match plugin_name(&program) {
        Some(name) => be_plugin(name, &mut env),
        None => match commands::run(args::parse(arguments), env) {
            Ok(status) => status,
            // `wasm-cni list | head`: nobody wants the rest.
            Err(error) if table::is_closed_pipe(&error) => 0,
            Err(error) => {
                progress::clear();
                let _ = writeln!(io::stderr(), "Error: {}", chain(&error));
                if let Some(hint) = error.downcast_ref().and_then(CniError::hint) {
                    let _ = writeln!(io::stderr(), "hint: {hint}");
                }
                1
            }
        },
    }
}

/// An error of the system, in the words of all others.
pub(crate) fn reason(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), wasm_cni_kernel::errno_text)
}

/// An error with its causes; those of the system without Rust's "(os error 2)".
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let text = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref::<io::Error>() {
        Some(error) => reason(error),
        None => cause.to_string(),
    };
    error.chain().map(text).collect::<Vec<_>>().join(": ")
}

/// The bundled plugin that this process was called as.
fn plugin_name(program: &OsStr) -> Option<&'static str> {
    let name = Path::new(program).file_name()?.to_str()?;
    wasm_cni_bundled::PLUGINS.iter().find(|plugin| plugin.name == name).map(|plugin| plugin.name)
}

fn be_plugin(name: &'static str, env: &mut Env) -> u8 {
    // Even a bug of wasm-cni has to reach the runtime as a CNI error.
    std::panic::set_hook(Box::new(move |panic| {
        let text = format!("wasm-cni bug while running plugin {name:?}: {panic}");
        let _ = print(CniError::internal(text).to_json().as_bytes());
        std::process::exit(1);
    }));
    // A full disk must not cost a container its network.
    if let Err(error) = env.open_trace() {
        let (network, container_id) = ("", &*env.text("CNI_CONTAINERID"));
        let message = &*format!("{error}; tracing is disabled");
        env::print_log(&LogLine::warning(name, network, container_id, message));
    }
    let env = &*env;
    let reply =
        wasm_cni::protocol::answer(name, &|variable| env.text(variable), &mut io::stdin().lock(), &mut print, &|| {
            env.runtime()
        });
    // Nobody can be told that the reader is gone.
    let _ = io::stderr().write_all(reply.stderr.as_bytes());
    reply.status
}

/// Writes with one write(2); std would make one for each of the last two lines.
fn print(mut text: &[u8]) -> io::Result<()> {
    while !text.is_empty() {
        match nix::unistd::write(io::stdout(), text) {
            Ok(written) => text = &text[written..],
            Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
