//! `wasm-cni-compile IN OUT`: compiles a WebAssembly plugin to native code.
//!
//! This is a separate program, so that the one that runs as root contains no
//! compiler: a compiler is the largest target for hostile input. It reads one file
//! and writes one file (`-` is standard input or output, for a user that cannot open
//! files), and limits its own memory and processor time before it reads the input. From standard input to standard output,
//! it can then do nothing else.

mod confine;

use std::{
    fs,
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use nix::sys::resource::{Resource, setrlimit};
use wasmtime::{Engine, OptLevel};

/// Compile a plugin for wasm-cni ahead of time
#[derive(Parser)]
#[command(version)]
struct Args {
    /// A component, or a core module from `wit-bindgen`; `-` for standard input
    #[arg(required_unless_present = "engine_key")]
    input: Option<PathBuf>,
    /// File for the native code, replaced atomically; `-` for standard output
    #[arg(required_unless_present = "engine_key")]
    output: Option<PathBuf>,
    /// Also write the component to this file
    #[arg(long)]
    component: Option<PathBuf>,
    /// Print the key of the engine that can load the output, and exit
    #[arg(long)]
    engine_key: bool,
    /// Maximum size of the input, in bytes
    #[arg(long, default_value_t = 64 << 20)]
    max_input: u64,
    /// Maximum address space, in bytes
    #[arg(long, default_value_t = 4 << 30)]
    max_memory: u64,
    /// Maximum processor time, in seconds
    #[arg(long, default_value_t = 120)]
    max_cpu: u64,
}

fn main() -> Result<()> {
    confine::hide()?;
    let args = Args::parse();
    let (Some(input), Some(output)) = (&args.input, &args.output) else {
        writeln!(io::stdout(), "{}", wasm_cni_engine::KEY)?;
        return Ok(());
    };
    setrlimit(Resource::RLIMIT_AS, args.max_memory, args.max_memory)?;
    setrlimit(Resource::RLIMIT_CPU, args.max_cpu, args.max_cpu)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // Files are for a user that compiles his own.
    if input == Path::new("-") && output == Path::new("-") && args.component.is_none() {
        confine::restrict()?;
    }

    let wasm = read(input, args.max_input).with_context(|| format!("cannot read {}", input.display()))?;
    let component = componentize(wasm).with_context(|| format!("{} does not contain a component", input.display()))?;
    let native = compile(&component).with_context(|| format!("cannot compile {}", input.display()))?;
    if let Some(path) = &args.component {
        replace(path, &component)?;
    }
    if output == Path::new("-") {
        return io::stdout().write_all(&native).context("cannot write to standard output");
    }
    replace(output, &native)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let source: &mut dyn Read = if path == Path::new("-") { &mut io::stdin() } else { &mut fs::File::open(path)? };
    let mut wasm = Vec::new();
    source.take(limit + 1).read_to_end(&mut wasm)?;
    if wasm.len() as u64 > limit {
        bail!("it has more than the {limit} bytes allowed");
    }
    Ok(wasm)
}

fn compile(component: &[u8]) -> Result<Vec<u8>> {
    let compiled = wasm_cni_engine::config()
        .and_then(|mut config| {
            // A plugin runs for a fraction of a millisecond, so the amount of code that is
            // read in matters most.
            config.cranelift_opt_level(OptLevel::SpeedAndSize);
            Engine::new(&config)
        })
        .and_then(|engine| engine.precompile_component(component));
    // wasmtime has its own error type, whose text contains the whole chain.
    compiled.map_err(|error| anyhow::anyhow!("{error:#}"))
}

/// Returns a component unchanged, and makes a component of a core module with its WIT
/// in a custom section.
fn componentize(wasm: Vec<u8>) -> Result<Vec<u8>> {
    // Layer 1 in the version field means component (component-model, Binary.md).
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    if wasm.starts_with(COMPONENT) {
        return Ok(wasm);
    }
    wit_component::ComponentEncoder::default().validate(true).module(&wasm)?.encode()
}

/// Writes next to the target and renames, so that nobody sees half a file, and mapped
/// code is never modified.
fn replace(path: &Path, data: &[u8]) -> Result<()> {
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let written = write_new(&temporary, data).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn write_new(path: &Path, data: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(data)?;
    file.sync_all()
}
