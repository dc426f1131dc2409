//! The result cache: what ADD leaves for CHECK, DEL and GC, in the reference's
//! format (`cniCacheV1`), written by rename.
//!
//! The reference's file names do not tell attachments apart: container `b-c` of network
//! `a` and container `c` of network `a-b` have the same. Whose a file is, its content
//! says; whoever comes second gets a longer name.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nix::{
    fcntl::{Flock, FlockArg},
    libc,
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use wasm_cni_kernel::Netns;
use wasm_cni_spec::{
    attachment::{Attachment, Owner},
    error::{CniError, ErrorKind, code},
    gojson,
};

use crate::{
    deadline::Deadline,
    files::{TEMPORARY, create, create_directories, lock_linked, read_at_most, reason, replace},
};

const KIND: &str = "cniCacheV1";

/// Longest name of the reference's that a file is given: what is added while it is written has to fit, too.
const MAX_NAME: usize = 200;

/// How much of the reference's name a longer one has.
const PREFIX: usize = 120;

/// Largest entry, bytes: a configuration in base64, and a result.
const MAX_ENTRY: u64 = 64 << 20;

/// How often somebody else can be faster, before it is something else.
const MAX_TRIES: usize = 9;

/// Ends the name of a file that could not be read.
const CORRUPT: &str = ".corrupt";

/// Keys in the order in which the reference writes them.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<R> {
    kind: String,
    container_id: String,
    config: String,
    if_name: String,
    network_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    netns: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cni_args: Vec<[String; 2]>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    capability_args: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<R>,
}

/// A directory of cached results, `<root>/var/lib/cni/results`.
pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// The cache in this directory, there or not.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file of an attachment, there or not.
    #[must_use]
    pub fn path(&self, network: &str, at: &Attachment) -> PathBuf {
        self.find(network, at).0
    }

    /// The file of an attachment, and what is in it, if it is there.
    fn find(&self, network: &str, at: &Attachment) -> (PathBuf, Option<Vec<u8>>) {
        let Attachment { container_id, ifname, .. } = at;
        let name = format!("{network}-{container_id}-{ifname}");
        let fits = name.len() <= MAX_NAME;
        let first = self.directory.join(&name);
        let found = if fits { content(&first) } else { None };
        if let Some(Some(text)) = &found
            && is_of(text, network, at)
        {
            return (first, found.flatten());
        }
        // No name has a slash, so this one is nobody else's.
        let digest = Sha256::digest(format!("{network}/{container_id}/{ifname}"));
        let name: String = name.chars().take(PREFIX).collect();
        let other = self.directory.join(format!("{name}-{digest:x}"));
        match content(&other) {
            None if found.is_none() && fits => (first, None),
            // Nobody else's name: what is there instead cannot be read, and says so.
            text => (other, text.map(Option::unwrap_or_default)),
        }
    }

    /// Keeps a result, whose keys are in order. `before_new` comes before the file of an attachment that has none.
    ///
    /// # Errors
    ///
    /// If it cannot be written, and those of `before_new`.
    pub fn put(
        &self,
        network: &str,
        at: &Attachment,
        config: &[u8],
        result: impl Serialize,
        before_new: impl FnOnce() -> Result<(), CniError>,
    ) -> Result<(), CniError> {
        let pairs = at.args.split(';').filter_map(|pair| pair.split_once('='));
        let entry = Entry {
            kind: KIND.to_owned(),
            container_id: at.container_id.clone(),
            config: STANDARD.encode(config),
            if_name: at.ifname.clone(),
            network_name: network.to_owned(),
            netns: at.netns.to_string_lossy().into_owned(),
            cni_args: pairs.map(|(k, v)| [k.to_owned(), v.to_owned()]).collect(),
            capability_args: at.capability_args.clone(),
            result: Some(result),
        };
        let text = gojson::compact(&entry);
        let failed = |path: &Path, e: &io::Error| {
            let text = format!("failed to set network {network:?} cached result: {}: {}", path.display(), reason(e));
            CniError::new(code::IO, text)
        };
        let mut before_new = Some(before_new);
        let mut tries = 0;
        loop {
            let (path, found) = self.find(network, at);
            let written = match found {
                Some(_) => replace(&path, text.as_bytes(), false),
                None => {
                    before_new.take().map_or(Ok(()), |before| before())?;
                    create(&path, text.as_bytes())
                }
            };
            match written {
                // Another attachment of the same name was faster, and is found now.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && tries < MAX_TRIES => tries += 1,
                written => return written.map_err(|e| failed(&path, &e)),
            }
        }
    }

    /// Removes the file of an attachment if it is a result of it, and nothing else ever.
    ///
    /// # Errors
    ///
    /// If it cannot be removed.
    pub fn remove_of(&self, owner: &Owner) -> io::Result<()> {
        let Owner { network, container_id, ifname } = owner;
        if [network, container_id, ifname].iter().any(|name| name.contains('/')) {
            return Ok(());
        }
        let at = Attachment::new(container_id, ifname, PathBuf::new());
        match self.find(network, &at) {
            (path, Some(text)) if serde_json::from_slice::<Entry<IgnoredAny>>(&text).is_ok_and(|e| e.kind == KIND) => {
                fs::remove_file(path)
            }
            _ => Ok(()),
        }
    }

    /// The result of an attachment; none if there is no entry. A file that is
    /// no entry of ours is taken for a bare result, as older runtimes wrote it.
    ///
    /// # Errors
    ///
    /// What is wrong with its content.
    pub fn result(&self, network: &str, at: &Attachment) -> Result<Option<Value>, String> {
        let (path, text) = self.find(network, at);
        let Some(text) = text else { return Ok(None) };
        let value: Value = serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        if value.get("kind").and_then(Value::as_str) != Some(KIND) {
            return Ok(Some(value));
        }
        let entry: Entry<Value> = serde_json::from_value(value).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(entry.result)
    }

    /// The configuration that an attachment was made with, if there is an entry that can be read.
    #[must_use]
    pub fn config(&self, network: &str, at: &Attachment) -> Option<Vec<u8>> {
        let entry: Entry<Value> = serde_json::from_slice(&self.find(network, at).1?).ok()?;
        STANDARD.decode(entry.config).ok()
    }

    /// Holds the directory, making it if need be; what was made comes back. If the
    /// file system has no locks it is not held.
    pub fn hold(&self, how: FlockArg, deadline: &Deadline) -> Result<(Option<Flock<File>>, Vec<PathBuf>), CniError> {
        let failed = |text: String| CniError::new(code::IO, format!("cannot use the result cache: {text}"));
        let created = create_directories(&self.directory, 0o700).map_err(|e| failed(e.to_string()))?;
        let open = || {
            File::open(&self.directory).or_else(|e| {
                // Removed, as unused, since.
                create_directories(&self.directory, 0o700).map_err(|_| e)?;
                File::open(&self.directory)
            })
        };
        match lock_linked(open, how, deadline) {
            Ok(held) => Ok((Some(held), created)),
            Err(e) if e.raw_os_error() == Some(libc::ETIMEDOUT) => {
                let text = format!("{} is held by another operation for too long", self.directory.display());
                Err(failed(text).of_kind(ErrorKind::TimedOut))
            }
            Err(_) => Ok((None, created)),
        }
    }

    /// The attachments of one container or of all, in order of the files' names.
    /// What is no entry is skipped.
    pub fn list(&self, container_id: Option<&str>) -> Vec<Cached> {
        let all = self.entries().unwrap_or_default();
        let wanted = |cached: &Cached| container_id.is_none_or(|id| cached.attachment.container_id == id);
        all.into_iter().filter(wanted).collect()
    }

    /// The attachments of a network.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read: silence would pass for "there are none".
    pub fn of_network(&self, network: &str) -> Result<Vec<Cached>, CniError> {
        let entries = self.entries().map_err(|e| {
            let text = format!("cannot read the result cache {}: {}", self.directory.display(), reason(&e));
            CniError::new(code::IO, text).caused_by(e)
        })?;
        Ok(entries.into_iter().filter(|cached| cached.network == network).collect())
    }

    /// The attachments of a network, for whoever takes what is not among them for gone.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read, or a file in it that may be one of them.
    pub fn all_of_network(&self, network: &str) -> Result<Vec<Cached>, CniError> {
        let all = self.of_network(network)?;
        let prefix = format!("{network}-");
        let may_be = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            name.starts_with(prefix.as_bytes()) && !name.ends_with(CORRUPT.as_bytes())
        };
        let paths = self.paths().unwrap_or_default();
        match paths.iter().filter(may_be).find(|path| path.exists() && Cached::read(path).is_none()) {
            None => Ok(all),
            Some(path) => {
                let text = format!("cannot tell which attachments are alive: {} cannot be read", path.display());
                Err(CniError::new(code::DECODE, text))
            }
        }
    }

    fn entries(&self) -> io::Result<Vec<Cached>> {
        Ok(self.paths()?.iter().filter_map(|path| Cached::read(path)).collect())
    }

    fn paths(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        match fs::read_dir(&self.directory) {
            Ok(entries) => {
                for entry in entries {
                    paths.push(entry?.path());
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        paths.retain(|path| !path.as_os_str().as_encoded_bytes().ends_with(TEMPORARY.as_bytes()));
        paths.sort();
        Ok(paths)
    }

    /// Forgets an attachment.
    pub fn remove(&self, network: &str, at: &Attachment) {
        let _ = fs::remove_file(self.path(network, at));
    }

    /// Puts an entry that cannot be read out of the way, without losing it.
    pub fn set_aside(&self, network: &str, at: &Attachment) {
        let path = self.path(network, at);
        let mut aside = path.clone().into_os_string();
        aside.push(CORRUPT);
        let _ = fs::rename(path, aside);
    }
}

/// What is in a file, if it is there; inside, none if it cannot be read.
fn content(path: &Path) -> Option<Option<Vec<u8>>> {
    match read_at_most(path, MAX_ENTRY) {
        Ok(text) => Some(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => None,
        Err(_) => Some(None),
    }
}

/// An attachment in the cache.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Cached {
    /// The network's name.
    pub network: String,
    /// With the arguments that it was made with.
    pub attachment: Attachment,
    /// The configuration that it was made with.
    pub config: Vec<u8>,
    /// The result, JSON.
    pub result: Option<Value>,
    /// When it was written.
    pub since: Option<SystemTime>,
}

impl Cached {
    /// Is its namespace there? None if it is not known which that is, or if that cannot be told.
    #[must_use]
    pub fn is_alive(&self) -> Option<bool> {
        let netns = &self.attachment.netns;
        if netns.as_os_str().is_empty() { None } else { Netns::is_at(netns) }
    }

    fn read(path: &Path) -> Option<Self> {
        let text = read_at_most(path, MAX_ENTRY).ok()?;
        let entry: Entry<Value> = serde_json::from_slice(&text).ok()?;
        let netns = match entry.netns.is_empty() {
            false => entry.netns,
            true => sandbox(entry.result.as_ref(), &entry.if_name).unwrap_or_default().to_owned(),
        };
        let args: Vec<_> = entry.cni_args.iter().map(|[key, value]| format!("{key}={value}")).collect();
        let mut attachment = Attachment::new(entry.container_id, entry.if_name, netns).args(args.join(";"));
        attachment.capability_args = entry.capability_args;
        (entry.kind == KIND).then(|| Self {
            network: entry.network_name,
            attachment,
            config: STANDARD.decode(entry.config).unwrap_or_default(),
            result: entry.result,
            since: fs::metadata(path).and_then(|m| m.modified()).ok(),
        })
    }
}

/// Whether a file is of this attachment, or does not say whose it is.
fn is_of(text: &[u8], network: &str, at: &Attachment) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Whose {
        kind: String,
        container_id: String,
        if_name: String,
        network_name: String,
    }
    match serde_json::from_slice::<Whose>(text) {
        Ok(whose) if whose.kind == KIND => {
            whose.network_name == network && whose.container_id == at.container_id && whose.if_name == at.ifname
        }
        _ => true,
    }
}

/// The namespace as the result has it: before its version 1.1.0 libcni did not
/// write it down apart from that.
fn sandbox<'a>(result: Option<&'a Value>, ifname: &str) -> Option<&'a str> {
    let interfaces = result?.get("interfaces")?.as_array()?;
    let inside = interfaces.iter().filter(|interface| interface["name"] == ifname);
    inside.filter_map(|interface| interface["sandbox"].as_str()).find(|sandbox| !sandbox.is_empty())
}

#[cfg(test)]
mod tests;
