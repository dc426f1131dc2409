//! The plugins that come with wasm-cni: native code that the build made of the
//! components in `guest-plugins/`. Knows nothing of how they are run.
//!
//! `build.rs` builds the components for `wasm32-unknown-unknown` and has
//! `wasm-cni-compile` compile them, the same program that compiles plugins from
//! elsewhere, so that both come out of the same settings.

/// A plugin of this build.
#[derive(Debug)]
pub struct Bundled {
    /// The plugin's type, as in a configuration's `type`.
    pub name: &'static str,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: &'static str,
    /// Octets of the component.
    pub size: usize,
    /// Native code for [`wasm_cni_engine`](../wasm_cni_engine)'s settings,
    /// aligned to a page.
    pub native: &'static [u8],
}

/// Every bundled plugin, ordered by name.
pub static PLUGINS: &[Bundled] = include!(concat!(env!("OUT_DIR"), "/plugins.rs"));

/// The bundled plugin of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Bundled> {
    PLUGINS.iter().find(|plugin| plugin.name == name)
}

/// Code that starts on a page, as the loader wants it.
#[repr(C, align(4096))]
struct Page<T: ?Sized>(T);
