//! The operator's policy: what each plugin may do, beyond or below what it gets
//! by itself, and the limits of a call. One file, and for what is installed on
//! its own a folder of more of them.
//!
//! What a file does not say stays as it is: bundled plugins get what their work
//! needs, others nothing. A mistake is an error with its line and column, and
//! then no plugin runs: a policy that is not understood must not pass for one
//! that allows.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::libc;
use serde::Deserialize;

use wasm_cni_spec::error::{CniError, code};
use wasm_cni_state::files::reason;

use crate::{grants::table::PluginTable, limits::Limits};

/// Largest file, bytes.
const MAX_FILE: u64 = 1 << 20;

/// What operators have said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    limits: LimitsTable,
    plugins: BTreeMap<String, PluginTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    plugins: BTreeMap<String, PluginTable>,
}

/// `[limits]`: of one operation.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LimitsTable {
    /// Linear memory of one instance.
    memory_mib: Option<u16>,
    time_seconds: Option<u16>,
    host_calls: Option<u32>,
    /// What the lists and texts of one host call may hold.
    argument_kib: Option<u32>,
    /// Operations in one host call.
    operations: Option<u16>,
    log_kib: Option<u16>,
    result_items: Option<u32>,
    delegation_depth: Option<u8>,
}

impl Policy {
    /// The policy in a file and in the files `*.toml` of the directory beside it,
    /// `policy.d` for `policy.toml`. The file may be absent only if nobody named it.
    ///
    /// # Errors
    ///
    /// What is wrong with which file.
    pub fn read(path: &Path, is_named: bool) -> Result<Self, CniError> {
        let mut policy = Self::default();
        match read(path)? {
            Some(file) => policy.add(path, file)?,
            None if is_named => return Err(unreadable(path, io::Error::from_raw_os_error(libc::ENOENT))),
            None => {}
        }
        for path in more(&path.with_extension("d"))? {
            if let Some(file) = read(&path)? {
                policy.add(&path, file)?;
            }
        }
        Ok(policy)
    }

    fn add(&mut self, path: &Path, file: File) -> Result<(), CniError> {
        if file.limits != LimitsTable::default() {
            if self.limits != LimitsTable::default() {
                return Err(invalid(path, "limits are set in another file of the policy too"));
            }
            self.limits = file.limits;
        }
        for (kind, table) in file.plugins {
            if self.plugins.contains_key(&kind) {
                return Err(invalid(path, &format!("plugin {kind:?} is in another file of the policy too")));
            }
            self.plugins.insert(kind, table);
        }
        Ok(())
    }

    /// What it says of a plugin.
    pub fn of(&self, kind: &str) -> Option<&PluginTable> {
        self.plugins.get(kind)
    }

    /// The limits, with those that it sets in place of `limits`'.
    pub fn limits(&self, limits: Limits) -> Limits {
        let LimitsTable { memory_mib, time_seconds, host_calls, argument_kib, .. } = self.limits;
        let LimitsTable { operations, log_kib, result_items, delegation_depth, .. } = self.limits;
        let mib = |n: u16| usize::from(n) << 20;
        Limits {
            memory: memory_mib.map_or(limits.memory, mib),
            time: time_seconds.map_or(limits.time, |seconds| Duration::from_secs(seconds.into())),
            host_calls: host_calls.unwrap_or(limits.host_calls),
            argument_bytes: argument_kib
                .and_then(|n| usize::try_from(n).ok()?.checked_mul(1024))
                .unwrap_or(limits.argument_bytes),
            operations: operations.map_or(limits.operations, usize::from),
            log_bytes: log_kib.map_or(limits.log_bytes, |n| usize::from(n) << 10),
            result_items: result_items.and_then(|n| usize::try_from(n).ok()).unwrap_or(limits.result_items),
            depth: delegation_depth.map_or(limits.depth, u32::from),
        }
    }
}

/// What `allow_host` gives to a third-party plugin: both namespaces, bridges and their ports, filters, delegation.
pub fn of_allowed() -> PluginTable {
    toml::from_str(include_str!("allow_host.toml")).unwrap_or_default()
}

/// A file, if it is there. It must not be anybody's to write.
fn read(path: &Path) -> Result<Option<File>, CniError> {
    let failed = |e| unreadable(path, e);
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let metadata = file.metadata().map_err(failed)?;
    let owned = [0, nix::unistd::geteuid().as_raw()].contains(&metadata.uid());
    if !metadata.is_file() || !owned || metadata.mode() & 0o022 != 0 {
        return Err(invalid(path, "it is not a file that only root, or who runs this, can write to"));
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    toml::from_str(&text).map(Some).map_err(|e| invalid(path, e.to_string().trim_end()))
}

/// The files of a folder, in order of their names.
fn more(folder: &Path) -> Result<Vec<PathBuf>, CniError> {
    let failed = |e| unreadable(folder, e);
    let mut paths = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(failed)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(failed(e)),
    };
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, error: io::Error) -> CniError {
    CniError::new(code::IO, format!("cannot read the policy {}: {}", path.display(), reason(&error))).caused_by(error)
}

fn invalid(path: &Path, text: &str) -> CniError {
    CniError::new(code::CONFIG, format!("invalid policy {}", path.display())).details(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use crate::grants::table::Namespace;

    use super::*;

    fn parse(text: &str) -> Result<Policy, CniError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        Policy::read(&path, true)
    }

    #[test]
    fn what_is_not_said_stays_as_it_is() {
        let policy = parse("[limits]\nmemory-mib = 8\n[plugins.mine]\nnamespaces = [\"sandbox\"]\n").unwrap();
        let limits = policy.limits(Limits::default());
        assert_eq!((limits.memory, limits.host_calls), (8 << 20, Limits::default().host_calls));
        assert_eq!(policy.of("mine").unwrap().namespaces, Some(vec![Namespace::Sandbox]));
        assert_eq!(policy.of("mine").unwrap().devices, None);
        assert!(policy.of("other").is_none());
        assert_eq!(Policy::read(Path::new("/nonexistent/policy.toml"), false).unwrap(), Policy::default());
    }

    #[test]
    fn a_policy_that_was_named_must_exist() {
        let error = Policy::read(Path::new("/nonexistent/policy.toml"), true).unwrap_err();
        assert_eq!(error.msg, "cannot read the policy /nonexistent/policy.toml: no such file or directory");
    }

    #[test]
    fn mistakes_have_their_line_and_column() {
        for (text, line, what) in [
            ("[plugins.a]\nnamespace = [\"host\"]\n", 2, "unknown field `namespace`"),
            ("[plugins.a]\nnamespaces = [\"hosts\"]\n", 2, "unknown variant `hosts`"),
            ("[plugins.a]\n\nhost-sysctls = [\"kernel/x\"]\n", 3, "is not a valid sysctl pattern"),
            ("[plugins.a]\nhost-sysctls = [\"net/ipv4/conf/eth*/x\"]\n", 2, "is not a valid sysctl pattern"),
            ("[plugins.a]\nhost-sysctls = [\"net/ipv4/*\"]\n", 2, "a `*` stands for a link, directly below"),
            ("[plugins.a]\nsandbox-sysctls = [\"net/*/conf/x/*\"]\n", 2, "a `*` stands for a link, directly below"),
            ("[limits]\nmemory-mib = 99999999\n", 2, "invalid value"),
            ("[limits]\nmemory-mib = -1\n", 2, "invalid value"),
            ("[plugin.a]\n", 1, "unknown field `plugin`"),
            ("[plugins.a\n", 1, ""),
            ("[plugins.a]\n[plugins.a]\n", 2, ""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.details.contains(&format!("line {line}, column ")), "{text}: {}", error.details);
            assert!(error.details.contains(what), "{text}: {}", error.details);
        }
    }

    #[test]
    fn who_may_write_to_it_could_grant_everything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(Policy::read(&path, true).unwrap_err().details.contains("can write to"));
    }

    #[test]
    fn a_folder_adds_plugins_but_changes_none() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        };
        write("policy.toml", "[plugins.a]\ndevices = true\n");
        write("policy.d/b.toml", "[plugins.b]\ndevices = true\n");
        write("policy.d/notes.txt", "no policy");
        let path = folder.path().join("policy.toml");
        let policy = Policy::read(&path, true).unwrap();
        assert!(policy.of("a").is_some() && policy.of("b").is_some());
        write("policy.d/c.toml", "[plugins.a]\ndevices = false\n");
        assert!(Policy::read(&path, true).unwrap_err().details.contains("plugin \"a\" is in another file"));
    }
}
