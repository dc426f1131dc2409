//! Which build this is, for people and for other builds: a program's file says so
//! without being run.

use std::{fs, io, path::Path};

use memchr::memmem;

/// The build, as stored in the program's file.
#[used]
static MARK: &str =
    concat!("\u{1}wasm-cni program ", env!("CARGO_PKG_VERSION"), " (", env!("WASM_CNI_COMMIT"), ")\u{1}");

/// The end of the mark.
const END: u8 = 1;

/// The start of [`MARK`], taken from there: a second copy would be found instead.
fn beginning() -> &'static str {
    const LENGTH: usize = "\u{1}wasm-cni program ".len();
    &MARK[..LENGTH]
}

/// `0.1.0 (0a5627d)`.
pub(crate) fn build() -> &'static str {
    MARK[beginning().len()..].trim_end_matches('\u{1}')
}

/// The build in a file; none if the file is not this program. The file is not run.
///
/// # Errors
///
/// If the file cannot be read.
pub(crate) fn of_file(path: &Path) -> io::Result<Option<String>> {
    let content = fs::read(path)?;
    let build = |at: usize| {
        let rest = &content[at + beginning().len()..];
        let end = rest.iter().take(100).position(|byte| *byte == END)?;
        String::from_utf8(rest[..end].to_vec()).ok()
    };
    Ok(memmem::find_iter(&content, beginning()).find_map(build))
}

/// For `--version`: the build and its components.
pub(crate) fn long() -> &'static str {
    let engine = wasm_cni::settings::ENGINE_KEY.trim_start_matches("wasm-cni-");
    let (wasmtime, settings) = engine.rsplit_once('-').unwrap_or((engine, ""));
    let mut text = format!("{}\n", build());
    text += &format!("engine   wasmtime {wasmtime}, settings {settings}\n");
    text += &format!("target   {}, {}\n", env!("WASM_CNI_TARGET"), env!("WASM_CNI_PROFILE"));
    text += &format!("rustc    {}\n", env!("WASM_CNI_RUSTC"));
    let plugins = wasm_cni_bundled::PLUGINS.iter();
    let lines: Vec<_> =
        plugins.map(|plugin| format!("plugin   {:<11}  sha256:{}", plugin.name, plugin.digest)).collect();
    (text + &lines.join("\n")).leak()
}
