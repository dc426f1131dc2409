//! Native code of plugins: from this program itself, or from the cache of what
//! `wasm-cni-compile` made of a `.wasm` file.
//!
//! Loading native code is `unsafe`: whoever can write it can do what this
//! process can. So it is loaded only from this program, or from a file that
//! this user or root owns, that nobody else can write to, and that is reached
//! without following a link; it is replaced by rename, never written in place;
//! and its name holds the digest of the component and the key of the engine.
#![expect(unsafe_code, reason = "wasmtime cannot check native code, see above")]

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::{MetadataExt as _, OpenOptionsExt as _},
            process::CommandExt as _,
        },
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    ptr::NonNull,
    sync::{Mutex, PoisonError},
};

use nix::{libc, unistd::geteuid};
use sha2::{Digest as _, Sha256};
use wasm_cni_capabilities::{exec, trace::Who};
use wasm_cni_engine::Bundled;
use wasm_cni_spec::error::{CniError, ErrorKind};
use wasm_cni_state::files::{create_directories, reason, replace};
use wasmtime::{Engine, component::Component};

use super::code_memory;
use crate::{host::Host, progress::Progress};

/// Largest component, bytes.
const MAX_COMPONENT: u64 = 64 << 20;

/// The engine, one for the process: all runtimes have the same settings, and
/// the code of this program can be registered with one only.
///
/// # Errors
///
/// If it does not run on this machine.
pub(crate) fn engine() -> Result<Engine, CniError> {
    static ENGINE: Mutex<Option<Engine>> = Mutex::new(None);
    let mut engine = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
    if engine.is_none() {
        let made = wasm_cni_engine::config().and_then(|mut config| {
            code_memory::load_in_place(&mut config);
            Engine::new(&config)
        });
        let made = made.map_err(|e| CniError::internal(format!("cannot start the WebAssembly engine: {e:#}")))?;
        *engine = Some(made);
    }
    Ok(engine.clone().expect("made above"))
}

/// Loads a plugin that came with this program: once, and for good, since its
/// code lies in one place.
pub(crate) fn bundled(engine: &Engine, plugin: &'static Bundled) -> Result<Component, CniError> {
    static LOADED: Mutex<BTreeMap<&str, Component>> = Mutex::new(BTreeMap::new());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(component) = loaded.get(plugin.name) {
        return Ok(component.clone());
    }
    // SAFETY: the bytes are part of this program, put there by its build, and
    // stay as they are for as long as it runs. Nobody else loads them: the map
    // is held, and what is in it is never dropped.
    let component = unsafe { Component::deserialize_raw(engine, NonNull::from(plugin.native)) };
    let component = component
        .map_err(|e| unusable(plugin.name, format!("cannot load the bundled plugin {:?}: {e:#}", plugin.name)))?;
    loaded.insert(plugin.name, component.clone());
    Ok(component)
}

/// Loads a plugin from a `.wasm` file, compiling it first if that has not been
/// done.
pub(crate) fn outside(host: &Host, kind: &str, path: &Path) -> Result<Component, CniError> {
    let failed = |text: String| unusable(kind, format!("cannot load plugin {kind:?} from {}: {text}", path.display()));
    let wasm = read(path).map_err(|e| failed(reason(&e)))?;
    let digest = format!("{:x}", Sha256::digest(&wasm));
    let directory = host.context.under_root("/var/cache/wasm-cni").join(wasm_cni_engine::KEY);
    let cached = directory.join(format!("{digest}.cwasm"));
    if let Some(component) = load(&host.engine, &cached) {
        return Ok(component);
    }
    let compiling = Progress::Compiling { plugin: kind };
    let native = host.saying(&compiling, || compile(host, kind, &wasm)).map_err(failed)?;
    create_directories(&directory, 0o700).map_err(|e| failed(e.to_string()))?;
    replace(&cached, &native, true).map_err(|e| failed(format!("{}: {}", cached.display(), reason(&e))))?;
    load(&host.engine, &cached)
        .ok_or_else(|| failed(format!("{} cannot be trusted: it has other owners or writers", cached.display())))
}

/// Loads a plugin that was compiled before it was put there, on a machine that
/// has no compiler, say.
pub(crate) fn ahead(engine: &Engine, kind: &str, path: &Path) -> Result<Component, CniError> {
    load(engine, path).ok_or_else(|| {
        let text = format!("cannot load plugin {kind:?} from {}", path.display());
        unusable(kind, text).details(format!(
            "native code is loaded if only its owner, root or this user, can write to it and its directory, and if it was \
             compiled for this engine ({})",
            wasm_cni_engine::KEY
        ))
    })
}

fn unusable(kind: &str, text: String) -> CniError {
    CniError::internal(text).of_kind(ErrorKind::NoPlugin).in_plugin(kind)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_COMPONENT {
        return Err(std::io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut wasm = Vec::new();
    file.take(MAX_COMPONENT).read_to_end(&mut wasm)?;
    Ok(wasm)
}

/// Native code from the cache, if it can be trusted and is for this engine.
fn load(engine: &Engine, path: &Path) -> Option<Component> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path).ok()?;
    if !is_ours(&file) || !path.parent().and_then(|directory| File::open(directory).ok()).is_some_and(|f| is_ours(&f)) {
        return None;
    }
    // The very file that was looked at, whatever has the name by now.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: only root or this user can have written it, after `compile`.
    unsafe { Component::deserialize_file(engine, path) }.ok()
}

/// Owned by root or this user, and nobody else can write to it.
fn is_ours(file: &File) -> bool {
    file.metadata().is_ok_and(|m| (m.uid() == 0 || m.uid() == geteuid().as_raw()) && m.mode() & 0o022 == 0)
}

/// Has the compiler, a process of its own, turn a component into native code.
fn compile(host: &Host, kind: &str, wasm: &[u8]) -> Result<Vec<u8>, String> {
    let compiler = compiler(host)?;
    let user = nobodys_user();
    let command = |unprivileged: bool| {
        let mut command = Command::new(&compiler);
        command.args(["-", "-"]).env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if unprivileged {
            command.uid(user).gid(user);
        }
        command
    };
    let root = geteuid().is_root();
    // In a user namespace without a mapping for it there is no way to become it.
    let run = || {
        let mut child = command(root).spawn().or_else(|e| if root { command(false).spawn() } else { Err(e) })?;
        let mut stdin = child.stdin.take().expect("piped above");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // If it ends early its error says why.
                let _ = stdin.write_all(wasm);
            });
            child.wait_with_output()
        })
    };
    let status = |output: &Output| exec::status(output.status);
    let output = host.context.trace.process(Who::plugin(kind), &compiler, &["-", "-"], run, status);
    let output = output.map_err(|e| format!("cannot run {}: {}", compiler.display(), reason(&e)))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} failed ({}): {}", compiler.display(), output.status, text.trim()));
    }
    Ok(output.stdout)
}

/// A user that no other process is: `nobody` is many a daemon, and each of them could write into the compiler's process what
/// it is to answer. systemd leaves this range of 2^28 users to nobody (systemd.io, Users, Groups, UIDs and GIDs).
fn nobodys_user() -> u32 {
    0x7000_0000 | wasm_cni_kernel::random_index() & 0x0fff_ffff
}

/// The compiler that was set, else the one beside this program, else the one
/// of the distribution.
fn compiler(host: &Host) -> Result<PathBuf, String> {
    const NAME: &str = "wasm-cni-compile";
    if let Some(path) = &host.compiler {
        return Ok(path.clone());
    }
    let here = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join(NAME)));
    let there = Path::new("/usr/libexec/wasm-cni").join(NAME);
    let found = here.into_iter().chain([there]).find(|path| path.is_file());
    found.ok_or_else(|| format!("not compiled yet, and `{NAME}` was not found next to this program"))
}
