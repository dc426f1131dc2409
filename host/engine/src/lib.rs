//! The engine settings that the compiler and the host share, and the key that
//! tells compiled code of one build from that of another.
//!
//! Compiled code is native code. wasmtime refuses code from another *major* version,
//! but patch releases change code, too. So both programs name the exact version and
//! the revision of these settings in [`KEY`], which wasmtime stores in each artifact
//! and compares when it loads one.

use wasmtime::{Config, ModuleVersionStrategy, Result};

/// Version of wasmtime, and revision of [`config`]. Raise the revision with
/// every change below.
pub const KEY: &str = concat!("wasm-cni-", "48.0.8", "-3");

/// The target that bundled plugins are compiled for: the baseline CPU of this
/// architecture, so that code does not depend on the machine that built it. The C
/// libraries of the compiler and the host make no difference to the code.
pub const TARGET: &str = match (cfg!(target_arch = "x86_64"), cfg!(target_arch = "aarch64"), cfg!(target_env = "musl"))
{
    (true, _, false) => "x86_64-unknown-linux-gnu",
    (true, _, true) => "x86_64-unknown-linux-musl",
    (_, true, false) => "aarch64-unknown-linux-gnu",
    (_, true, true) => "aarch64-unknown-linux-musl",
    _ => panic!("wasm-cni runs on x86_64 and aarch64"),
};

/// Stack of a guest, in bytes.
pub const MAX_STACK: usize = 512 * 1024;

/// The settings. Omitting address maps, unwind tables and debug information makes
/// start-up fast; a host without backtraces does not read them.
///
/// # Errors
///
/// If this build of wasmtime lacks a setting.
pub fn config() -> Result<Config> {
    let mut config = Config::new();
    config.target(TARGET)?;
    config.module_version(ModuleVersionStrategy::Custom(KEY.to_owned()))?;
    config.wasm_component_model(true);
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(MAX_STACK);
    config.generate_address_map(false);
    config.native_unwind_info(false);
    config.wasm_backtrace_max_frames(None);
    config.debug_info(false);
    config.debug_symbols(false);
    // An image costs more to set up, once, than its few pages to copy.
    config.memory_init_cow(false);
    Ok(config)
}

/// A plugin that is part of a program: native code, and what the build knows of the component that it was made of.
#[derive(Debug)]
pub struct Bundled {
    /// The plugin's type, as in a configuration's `type`.
    pub name: &'static str,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: &'static str,
    /// Bytes of the component.
    pub size: usize,
    /// Native code for [`config`]'s settings, aligned to [`ALIGNMENT`].
    pub native: &'static [u8],
    /// Its grants: the table of its `policy.toml`, key by key.
    pub grants: &'static [(&'static str, Grant)],
    /// Whether it reports a namespace that cannot be opened in the kernel's words alone, as its model in the reference
    /// implementation does.
    pub bare_netns_errors: bool,
}

/// A value in a bundled plugin's `policy.toml`.
#[derive(Clone, Copy, Debug)]
pub enum Grant {
    /// `true` or `false`.
    Flag(bool),
    /// A list of texts.
    Texts(&'static [&'static str]),
}

/// What [`Bundled::native`] is aligned to, bytes: the largest page of the architecture, so that its code can be made
/// executable in place.
pub const ALIGNMENT: usize = if cfg!(target_arch = "x86_64") { 4096 } else { 65536 };
