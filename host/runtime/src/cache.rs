//! The result cache: what ADD leaves for CHECK, DEL and GC, in the reference's
//! format (`cniCacheV1`), written by rename.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    directory::create_folders,
    error::{CniError, code},
    folder::reason,
    runtime::Attachment,
};

const KIND: &str = "cniCacheV1";

/// Keys in the order in which the reference writes them.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
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
    result: Option<Value>,
}

/// A folder of cached results, `<root>/var/lib/cni/results`.
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, network: &str, at: &Attachment) -> PathBuf {
        self.folder.join(format!("{network}-{}-{}", at.container_id, at.ifname))
    }

    /// Keeps a result. The folders made for it come back.
    pub(crate) fn put(
        &self,
        network: &str,
        at: &Attachment,
        config: &[u8],
        result: Value,
    ) -> Result<Vec<PathBuf>, CniError> {
        let pairs = at.args.split(';').filter_map(|pair| pair.split_once('='));
        let entry = Entry {
            kind: KIND.to_owned(),
            container_id: at.container_id.clone(),
            config: STANDARD.encode(config),
            if_name: at.ifname.clone(),
            network_name: network.to_owned(),
            netns: at.netns.clone(),
            cni_args: pairs.map(|(k, v)| [k.to_owned(), v.to_owned()]).collect(),
            capability_args: at.capability_args.clone(),
            result: Some(result),
        };
        let failed =
            |text: String| CniError::new(code::IO, format!("failed to set network {network:?} cached result: {text}"));
        let created = create_folders(&self.folder, 0o700).map_err(|e| failed(e.to_string()))?;
        let path = self.path(network, at);
        write(&path, crate::render::compact(&entry).as_bytes())
            .map_err(|e| failed(format!("{}: {}", path.display(), reason(&e))))?;
        Ok(created)
    }

    /// The result of an attachment; none if there is no entry. A file that is
    /// no entry of ours is taken for a bare result, as older runtimes wrote it.
    ///
    /// # Errors
    ///
    /// What is wrong with its content.
    pub(crate) fn result(&self, network: &str, at: &Attachment) -> Result<Option<Value>, String> {
        let path = self.path(network, at);
        let Ok(text) = fs::read(&path) else { return Ok(None) };
        let value: Value = serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        if value.get("kind").and_then(Value::as_str) != Some(KIND) {
            return Ok(Some(value));
        }
        let entry: Entry = serde_json::from_value(value).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(entry.result)
    }

    pub(crate) fn remove(&self, network: &str, at: &Attachment) {
        let _ = fs::remove_file(self.path(network, at));
    }

    /// Puts an entry that cannot be read out of the way, without losing it.
    pub(crate) fn set_aside(&self, network: &str, at: &Attachment) {
        let path = self.path(network, at);
        let mut aside = path.clone().into_os_string();
        aside.push(".corrupt");
        let _ = fs::rename(path, aside);
    }
}

fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text))
        .and_then(|()| fs::rename(&temporary, path));
    written.inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}
