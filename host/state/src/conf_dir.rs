//! Finding a network among the files of a configuration directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use wasm_cni_spec::{
    error::{CniError, code},
    names::is_name,
    network::{Network, PluginConfig},
};

use crate::files::{read_at_most, reason};

/// Longest configuration that is read, bytes: a file, or what a runtime gives to a plugin.
pub const MAX_CONFIG: u64 = 8 << 20;

/// A configuration file that could not be used.
#[derive(Debug)]
#[non_exhaustive]
pub struct Broken {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub error: CniError,
}

/// The network that a name stands for.
#[derive(Debug)]
#[non_exhaustive]
pub struct Lookup {
    /// The network.
    pub network: Network,
    /// Its file.
    pub path: PathBuf,
    /// Files before it that could not be used. They never hide another network.
    pub broken: Vec<Broken>,
}

/// Finds the network of this name among the `.conflist` files of a directory, in
/// the order of their names, and then among `.conf` and `.json` files.
///
/// # Errors
///
/// The reference's texts when there is no such network; the broken files are in
/// the details then, since one of them may have been meant.
pub fn find(directory: &Path, name: &str) -> Result<Lookup, CniError> {
    let mut broken = Vec::new();
    let files = list(directory)?;
    for path in &files {
        match load_file(path) {
            Ok(network) if network.name == name => return Ok(Lookup { network, path: path.clone(), broken }),
            Ok(_) => {}
            Err(error) => broken.push(Broken { path: path.clone(), error }),
        }
    }
    let text = if files.is_empty() {
        format!("no net configurations found in {}", directory.display())
    } else {
        format!("no net configuration with name {name:?} in {}", directory.display())
    };
    Err(none_of(text, &broken))
}

/// A configuration file, and what it holds.
#[derive(Debug)]
#[non_exhaustive]
pub struct Surveyed {
    /// The file.
    pub path: PathBuf,
    /// Its network, or why it cannot be used.
    pub network: Result<Network, CniError>,
}

/// Every configuration file of a directory in the order in which [`find`] looks at
/// them.
///
/// # Errors
///
/// If the directory cannot be read.
pub fn survey(directory: &Path) -> Result<Vec<Surveyed>, CniError> {
    let load = |path: PathBuf| Surveyed { network: load_file(&path), path };
    Ok(list(directory)?.into_iter().map(load).collect())
}

/// The networks of a directory as [`load_all`] finds them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The networks.
    pub networks: Vec<Network>,
    /// Files that could not be used. They never hide another network.
    pub broken: Vec<Broken>,
}

/// The network that containerd and CRI-O use of a directory: that of the first file by name, whatever its suffix. A file
/// that cannot be used is skipped, as by CRI-O.
///
/// # Errors
///
/// If there is no network, with the broken files in the details.
pub fn first(directory: &Path) -> Result<Lookup, CniError> {
    let mut broken = Vec::new();
    for path in by_name(directory)? {
        match load_file(&path) {
            Ok(network) => return Ok(Lookup { network, path, broken }),
            Err(error) => broken.push(Broken { path, error }),
        }
    }
    Err(none_of(format!("no net configurations found in {}", directory.display()), &broken))
}

/// The first networks of a directory, at most `max`, in the order of [`first`].
///
/// # Errors
///
/// If the directory cannot be read. No network is no error.
pub fn load_all(directory: &Path, max: usize) -> Result<Loaded, CniError> {
    let mut loaded = Loaded { networks: Vec::new(), broken: Vec::new() };
    for path in by_name(directory)? {
        if loaded.networks.len() >= max {
            break;
        }
        match load_file(&path) {
            Ok(network) => loaded.networks.push(network),
            Err(error) => loaded.broken.push(Broken { path, error }),
        }
    }
    Ok(loaded)
}

fn by_name(directory: &Path) -> Result<Vec<PathBuf>, CniError> {
    let mut files = list(directory)?;
    files.sort();
    Ok(files)
}

fn none_of(text: String, broken: &[Broken]) -> CniError {
    let error = CniError::new(code::CONFIG, text);
    broken.iter().fold(error, |error, file| error.note(&format!("{}: {}", file.path.display(), file.error)))
}

/// Reads one file: a list, or by its suffix (`.conf`, `.json`) a single plugin.
/// A `.json` that holds `plugins` is a list.
///
/// # Errors
///
/// Code 5 if it cannot be read, else what [`Network`] says, both with the path.
pub fn load_file(path: &Path) -> Result<Network, CniError> {
    let source = read_at_most(path, MAX_CONFIG).map_err(|e| unreadable(path, e))?;
    let single = match path.extension().and_then(|e| e.to_str()) {
        Some("conf") => true,
        Some("json") => !holds_plugins(&source),
        _ => false,
    };
    let network = if single { Network::parse_single(&source) } else { Network::parse_list(&source) };
    let network = network.and_then(|network| with_directory(network, path.parent().unwrap_or(Path::new("."))));
    network.map_err(|e| e.note(&format!("in {}", path.display())))
}

/// A configuration that was kept: a list, if it holds `plugins`, else a single plugin.
///
/// # Errors
///
/// What [`Network`] says.
pub fn parse(source: &[u8]) -> Result<Network, CniError> {
    if holds_plugins(source) { Network::parse_list(source) } else { Network::parse_single(source) }
}

/// Adds the plugins in `FOLDER/NAME/*.conf`, in order of the files' names.
fn with_directory(mut network: Network, directory: &Path) -> Result<Network, CniError> {
    if !network.only_inlined && is_name(&network.name) {
        let mut files: Vec<_> = match fs::read_dir(directory.join(&network.name)) {
            Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.path()).collect(),
            Err(e) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&e.kind()) => Vec::new(),
            Err(e) => return Err(unreadable(&directory.join(&network.name), e)),
        };
        files.retain(|path| path.extension().is_some_and(|e| e == "conf") && may_be_file(path));
        files.sort();
        for path in files {
            let source = read_at_most(&path, MAX_CONFIG).map_err(|e| unreadable(&path, e))?;
            let plugin = PluginConfig::parse(&source).map_err(|e| e.note(&format!("in {}", path.display())))?;
            network.plugins.push(plugin);
        }
    }
    if network.plugins.is_empty() {
        return Err(CniError::new(code::CONFIG, "no plugin configs found"));
    }
    Ok(network)
}

/// A file, or what cannot be looked at: a dangling link is a mistake to be told, not a file that is not there.
fn may_be_file(path: &Path) -> bool {
    path.metadata().map_or(true, |metadata| metadata.is_file())
}

fn holds_plugins(source: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(source).is_ok_and(|value| value.get("plugins").is_some())
}

/// The configuration files, lists first, each kind in the order of its names.
fn list(directory: &Path) -> Result<Vec<PathBuf>, CniError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(unreadable(directory, e)),
    };
    let mut files: Vec<(u8, PathBuf)> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter_map(|path| match path.extension()?.to_str()? {
            "conflist" => Some((0, path)),
            "conf" | "json" => Some((1, path)),
            _ => None,
        })
        .filter(|(_, path)| may_be_file(path))
        .collect();
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

fn unreadable(path: &Path, error: io::Error) -> CniError {
    CniError::new(code::IO, format!("error reading {}: {}", path.display(), reason(&error))).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_hides_no_other_network_and_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("10-broken.conflist"), "{").unwrap();
        fs::write(directory.path().join("20-x.conflist"), r#"{"name":"x","plugins":[{"type":"t"}]}"#).unwrap();
        fs::write(directory.path().join("00-x.conf"), r#"{"name":"x","type":"u"}"#).unwrap();

        let Lookup { network, path, broken } = find(directory.path(), "x").unwrap();
        assert_eq!(path, directory.path().join("20-x.conflist"));
        assert_eq!(network.plugins[0].kind, "t", "lists go before single plugins");
        assert_eq!(broken[0].path, directory.path().join("10-broken.conflist"));

        let error = find(directory.path(), "y").unwrap_err();
        assert_eq!(error.msg, format!("no net configuration with name \"y\" in {}", directory.path().display()));
        assert!(error.details.contains("10-broken.conflist"), "{error}");
    }

    #[test]
    fn a_dangling_link_is_a_broken_file_and_not_an_absent_one() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/nonexistent", directory.path().join("10-x.conflist")).unwrap();
        fs::create_dir(directory.path().join("20-x.conflist")).unwrap();
        let surveyed = survey(directory.path()).unwrap();
        assert_eq!(surveyed.len(), 1);
        assert!(surveyed[0].network.as_ref().unwrap_err().msg.contains("no such file"));
    }

    #[test]
    fn a_huge_file_is_a_broken_file() {
        let directory = tempfile::tempdir().unwrap();
        let huge = fs::File::create(directory.path().join("10-x.conflist")).unwrap();
        huge.set_len(MAX_CONFIG + 1).unwrap();
        fs::write(directory.path().join("20-y.conflist"), r#"{"name":"y","plugins":[{"type":"t"}]}"#).unwrap();
        let Lookup { network, broken, .. } = find(directory.path(), "y").unwrap();
        assert_eq!(network.name, "y");
        assert!(broken[0].error.msg.ends_with("10-x.conflist: it is larger than 8 MiB"), "{}", broken[0].error);
    }

    #[test]
    fn the_first_network_is_that_of_the_first_file_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(directory.path().join(file), text).unwrap();
        write("00-broken.conflist", "{");
        write("10-a.conf", r#"{"name":"a","type":"t"}"#);
        write("20-b.conflist", r#"{"name":"b","plugins":[{"type":"t"}]}"#);
        let Lookup { network, broken, .. } = first(directory.path()).unwrap();
        assert_eq!((&*network.name, broken.len()), ("a", 1));
        let names =
            |max| load_all(directory.path(), max).unwrap().networks.into_iter().map(|n| n.name).collect::<Vec<_>>();
        assert_eq!(names(1), ["a"]);
        assert_eq!(names(9), ["a", "b"]);
        assert!(first(Path::new("/nonexistent")).is_err() && load_all(Path::new("/nonexistent"), 9).is_ok());
    }

    #[test]
    fn core_38_plugins_from_the_directory_of_the_networks_name() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("X.conflist");
        let write = |more: &str| fs::write(&file, format!(r#"{{"name":"X"{more}}}"#)).unwrap();
        fs::create_dir(directory.path().join("X")).unwrap();
        for (name, kind) in [("10-a.conf", "a"), ("20-b.conf", "b"), ("05-c.json", "c")] {
            fs::write(directory.path().join("X").join(name), format!(r#"{{"type":"{kind}"}}"#)).unwrap();
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
    fn an_absent_directory_has_no_networks() {
        let error = find(Path::new("/nonexistent"), "y").unwrap_err();
        assert_eq!(error.msg, "no net configurations found in /nonexistent");
    }
}
