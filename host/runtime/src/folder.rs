//! Finding a network among the files of a configuration folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    config::Network,
    error::{CniError, code},
};

/// A configuration file that could not be used.
#[derive(Debug)]
pub struct Broken {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub error: CniError,
}

/// Finds the network of this name among the `.conflist` files of a folder, in
/// the order of their names, and then among `.conf` and `.json` files.
///
/// Broken files on the way come back beside it: they never hide another network.
///
/// # Errors
///
/// The reference's texts when there is no such network; the broken files are in
/// the details then, since one of them may have been meant.
pub fn find(folder: &Path, name: &str) -> Result<(Network, Vec<Broken>), CniError> {
    let mut broken = Vec::new();
    let files = list(folder)?;
    for path in &files {
        match load_file(path) {
            Ok(network) if network.name == name => return Ok((network, broken)),
            Ok(_) => {}
            Err(error) => broken.push(Broken { path: path.clone(), error }),
        }
    }
    let text = if files.is_empty() {
        format!("no net configurations found in {}", folder.display())
    } else {
        format!("no net configuration with name {name:?} in {}", folder.display())
    };
    let error = CniError::new(code::CONFIG, text);
    Err(broken.iter().fold(error, |e, b| e.note(&format!("{}: {}", b.path.display(), b.error))))
}

/// Reads one file: a list, or by its suffix (`.conf`, `.json`) a single plugin.
/// A `.json` that holds `plugins` is a list.
///
/// # Errors
///
/// Code 5 if it cannot be read, else what [`Network`] says, both with the path.
pub fn load_file(path: &Path) -> Result<Network, CniError> {
    let source = fs::read(path)
        .map_err(|e| CniError::new(code::IO, format!("error reading {}: {}", path.display(), reason(&e))))?;
    let single = match path.extension().and_then(|e| e.to_str()) {
        Some("conf") => true,
        Some("json") => !holds_plugins(&source),
        _ => false,
    };
    let network = if single { Network::parse_single(&source) } else { Network::parse_list(&source) };
    network.map_err(|e| e.note(&format!("in {}", path.display())))
}

fn holds_plugins(source: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(source).is_ok_and(|value| value.get("plugins").is_some())
}

/// The configuration files, lists first, each kind in the order of its names.
fn list(folder: &Path) -> Result<Vec<PathBuf>, CniError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => {
            let text = format!("error reading {}: {}", folder.display(), reason(&e));
            return Err(CniError::new(code::IO, text));
        }
    };
    let mut files: Vec<(u8, PathBuf)> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter_map(|path| match path.extension()?.to_str()? {
            "conflist" => Some((0, path)),
            "conf" | "json" => Some((1, path)),
            _ => None,
        })
        .filter(|(_, path)| path.is_file())
        .collect();
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// An I/O error in the words of strerror(3), without Rust's "(os error N)".
pub(crate) fn reason(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), wasm_cni_kernel::errno_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_hides_no_other_network_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("10-broken.conflist"), "{").unwrap();
        fs::write(folder.path().join("20-x.conflist"), r#"{"name":"x","plugins":[{"type":"t"}]}"#).unwrap();
        fs::write(folder.path().join("00-x.conf"), r#"{"name":"x","type":"u"}"#).unwrap();

        let (network, broken) = find(folder.path(), "x").unwrap();
        assert_eq!(network.plugins[0].kind, "t", "lists go before single plugins");
        assert_eq!(broken[0].path, folder.path().join("10-broken.conflist"));

        let error = find(folder.path(), "y").unwrap_err();
        assert_eq!(error.msg, format!("no net configuration with name \"y\" in {}", folder.path().display()));
        assert!(error.details.contains("10-broken.conflist"), "{error}");
    }

    #[test]
    fn an_absent_folder_has_no_networks() {
        let error = find(Path::new("/nonexistent"), "y").unwrap_err();
        assert_eq!(error.msg, "no net configurations found in /nonexistent");
    }
}
