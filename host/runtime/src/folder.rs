//! Finding a network among the files of a configuration folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    config::{Network, PluginConfig},
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

/// The network that a name stands for.
#[derive(Debug)]
pub struct Lookup {
    /// The network.
    pub network: Network,
    /// Its file.
    pub path: PathBuf,
    /// Files before it that could not be used. They never hide another network.
    pub broken: Vec<Broken>,
}

/// Finds the network of this name among the `.conflist` files of a folder, in
/// the order of their names, and then among `.conf` and `.json` files.
///
/// # Errors
///
/// The reference's texts when there is no such network; the broken files are in
/// the details then, since one of them may have been meant.
pub fn find(folder: &Path, name: &str) -> Result<Lookup, CniError> {
    let mut broken = Vec::new();
    let files = list(folder)?;
    for path in &files {
        match load_file(path) {
            Ok(network) if network.name == name => return Ok(Lookup { network, path: path.clone(), broken }),
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

/// A configuration file, and what it holds.
#[derive(Debug)]
pub struct Surveyed {
    /// The file.
    pub path: PathBuf,
    /// Its network, or why it cannot be used.
    pub network: Result<Network, CniError>,
}

/// Every configuration file of a folder in the order in which [`find`] looks at
/// them.
///
/// # Errors
///
/// If the folder cannot be read.
pub fn survey(folder: &Path) -> Result<Vec<Surveyed>, CniError> {
    let load = |path: PathBuf| Surveyed { network: load_file(&path), path };
    Ok(list(folder)?.into_iter().map(load).collect())
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
    let network = network.and_then(|network| with_folder(network, path.parent().unwrap_or(Path::new("."))));
    network.map_err(|e| e.note(&format!("in {}", path.display())))
}

/// Adds the plugins in `FOLDER/NAME/*.conf`, in order of the files' names.
fn with_folder(mut network: Network, folder: &Path) -> Result<Network, CniError> {
    if !network.only_inlined && crate::protocol::is_name(&network.name) {
        let mut files: Vec<_> = match fs::read_dir(folder.join(&network.name)) {
            Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.path()).collect(),
            Err(_) => Vec::new(),
        };
        files.retain(|path| path.extension().is_some_and(|e| e == "conf") && path.is_file());
        files.sort();
        for path in files {
            let source = fs::read(&path)
                .map_err(|e| CniError::new(code::IO, format!("error reading {}: {}", path.display(), reason(&e))))?;
            let plugin = PluginConfig::parse(&source).map_err(|e| e.note(&format!("in {}", path.display())))?;
            network.plugins.push(plugin);
        }
    }
    if network.plugins.is_empty() {
        return Err(CniError::new(code::CONFIG, "no plugin configs found"));
    }
    Ok(network)
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

        let Lookup { network, path, broken } = find(folder.path(), "x").unwrap();
        assert_eq!(path, folder.path().join("20-x.conflist"));
        assert_eq!(network.plugins[0].kind, "t", "lists go before single plugins");
        assert_eq!(broken[0].path, folder.path().join("10-broken.conflist"));

        let error = find(folder.path(), "y").unwrap_err();
        assert_eq!(error.msg, format!("no net configuration with name \"y\" in {}", folder.path().display()));
        assert!(error.details.contains("10-broken.conflist"), "{error}");
    }

    #[test]
    fn core_38_plugins_from_the_folder_of_the_networks_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("X.conflist");
        let write = |more: &str| fs::write(&file, format!(r#"{{"name":"X"{more}}}"#)).unwrap();
        fs::create_dir(folder.path().join("X")).unwrap();
        for (name, kind) in [("10-a.conf", "a"), ("20-b.conf", "b"), ("05-c.json", "c")] {
            fs::write(folder.path().join("X").join(name), format!(r#"{{"type":"{kind}"}}"#)).unwrap();
        }
        let kinds = || load_file(&file).unwrap().plugins.into_iter().map(|plugin| plugin.kind).collect::<Vec<_>>();
        write(r#","plugins":[{"type":"R"}]"#);
        assert_eq!(kinds(), ["R", "a", "b"]);
        write("");
        assert_eq!(kinds(), ["a", "b"]);
        write(r#","loadOnlyInlinedPlugins":true,"plugins":[{"type":"R"}]"#);
        assert_eq!(kinds(), ["R"]);
        write(r#","plugins":[]"#);
        assert_eq!(load_file(&file).unwrap_err().msg, "error parsing configuration list: no plugins in list");
        write(r#","loadOnlyInlinedPlugins":true"#);
        let text = "error parsing configuration list: `loadOnlyInlinedPlugins` is true, and no 'plugins' key";
        assert_eq!(load_file(&file).unwrap_err().msg, text);
    }

    #[test]
    fn an_absent_folder_has_no_networks() {
        let error = find(Path::new("/nonexistent"), "y").unwrap_err();
        assert_eq!(error.msg, "no net configurations found in /nonexistent");
    }
}
