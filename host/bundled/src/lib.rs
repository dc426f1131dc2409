//! The bundled plugins: native code that the build compiles from the components in
//! `guest-plugins/`. Must not know: how they are run.
//!
//! `build.rs` builds the components for `wasm32-unknown-unknown` and has
//! `wasm-cni-compile` compile them, the same program that compiles third-party plugins,
//! so that both use the same settings.

/// A plugin of this build.
#[derive(Debug)]
pub struct Bundled {
    /// The plugin's type, as in a configuration's `type`.
    pub name: &'static str,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: &'static str,
    /// Size of the component, in bytes.
    pub size: usize,
    /// Native code for [`wasm_cni_engine`](../wasm_cni_engine)'s settings,
    /// aligned to [`ALIGNMENT`].
    pub native: &'static [u8],
}

/// Every bundled plugin, ordered by name.
pub static PLUGINS: &[Bundled] = include!(concat!(env!("OUT_DIR"), "/plugins.rs"));

/// The bundled plugin of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Bundled> {
    PLUGINS.iter().find(|plugin| plugin.name == name)
}

/// Alignment of [`Bundled::native`], in bytes: the largest page of the architecture, so
/// that its code can be made executable in place.
pub const ALIGNMENT: usize = align_of::<Page<()>>();

#[repr(C)]
#[cfg_attr(target_arch = "x86_64", repr(align(4096)))]
#[cfg_attr(not(target_arch = "x86_64"), repr(align(65536)))]
struct Page<T: ?Sized>(T);
