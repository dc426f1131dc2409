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
    io::Read as _,
    os::{
        fd::AsRawFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::Path,
    ptr::NonNull,
    sync::{Arc, Mutex, PoisonError},
};

use nix::{libc, unistd::geteuid};
use sha2::{Digest as _, Sha256};
use wasm_cni_engine::Bundled;
use wasm_cni_spec::error::{CniError, ErrorKind};
use wasm_cni_state::files::{create_directories, reason, replace};
use wasmtime::{Engine, component::Component};

use super::{code_memory, compiler::compile, plugin::Code};
use crate::{host::Host, options::CallOptions, progress::Progress};

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

/// Loads a component that came with this program: once, and for good, since its code lies in one place, however many plugins
/// are in it.
pub(crate) fn bundled(engine: &Engine, plugin: &'static Bundled) -> Result<Arc<Code>, CniError> {
    static LOADED: Mutex<BTreeMap<usize, Arc<Code>>> = Mutex::new(BTreeMap::new());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let place = plugin.native.as_ptr().addr();
    if let Some(code) = loaded.get(&place) {
        return Ok(Arc::clone(code));
    }
    // SAFETY: the bytes are part of this program, put there by its build, and
    // stay as they are for as long as it runs. Nobody else loads them: the map
    // is held, and what is in it is never dropped.
    let component = unsafe { Component::deserialize_raw(engine, NonNull::from(plugin.native)) };
    let component = component
        .map_err(|e| unusable(plugin.name, format!("cannot load the bundled plugin {:?}: {e:#}", plugin.name)))?;
    let code = Arc::new(Code::from(component));
    loaded.insert(place, Arc::clone(&code));
    Ok(code)
}

/// Loads a plugin from a `.wasm` file, compiling it first if that has not been
/// done.
pub(crate) fn outside(host: &Host, kind: &str, path: &Path, options: &CallOptions) -> Result<Component, CniError> {
    let failed = |text: String| unusable(kind, format!("cannot load plugin {kind:?} from {}: {text}", path.display()));
    let wasm = read(path).map_err(|e| failed(reason(&e)))?;
    let digest = format!("{:x}", Sha256::digest(&wasm));
    let directory = host.context.under_root("/var/cache/wasm-cni").join(wasm_cni_engine::KEY);
    let cached = directory.join(format!("{digest}.cwasm"));
    if let Some(component) = load(&host.engine, &cached) {
        return Ok(component);
    }
    let compiling = Progress::Compiling { plugin: kind };
    create_directories(&directory, 0o700).map_err(|e| failed(e.to_string()))?;
    let memory = directory.join(format!("{digest}.failed"));
    let native = host.saying(&compiling, || compile(host, kind, &wasm, options, &memory)).map_err(failed)?;
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
