//! `add`, `del` and `check`, compatible with `cnitool`.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::{Component, Path, PathBuf},
};

use anyhow::Result;
use sha2::{Digest as _, Sha512};
use wasm_cni::{Attachment, Network};

use super::{attachment, find_attached, find_network};
use crate::{args::Target, env::Env};

pub(crate) fn add(target: &Target, env: &Env) -> Result<u8> {
    let (network, at) = prepare(target, env)?;
    let print = |json: &str| {
        let mut stdout = io::stdout();
        stdout.write_all(json.as_bytes()).and_then(|()| stdout.flush())
    };
    env.runtime()?.call().add_delivering(&network, &at, print)?;
    Ok(0)
}

pub(crate) fn del(target: &Target, env: &Env) -> Result<u8> {
    let at = attached(target, env)?;
    let runtime = env.runtime()?;
    let is_it = |of: &Attachment| of.container_id == at.container_id && of.ifname == at.ifname;
    let network = find_attached(&target.network, env, &runtime, is_it)?;
    runtime.del(&network, &at)?;
    Ok(0)
}

pub(crate) fn check(target: &Target, env: &Env) -> Result<u8> {
    let (network, at) = prepare(target, env)?;
    env.runtime()?.check(&network, &at)?;
    Ok(0)
}

pub(crate) fn prepare(target: &Target, env: &Env) -> Result<(Network, Attachment)> {
    let network = find_network(&target.network, env)?;
    Ok((network, attached(target, env)?))
}

fn attached(target: &Target, env: &Env) -> Result<Attachment> {
    let netns = clean(&std::env::current_dir().unwrap_or_default().join(&target.netns));
    let id = target.container_id.clone().unwrap_or_else(|| container_id(&netns));
    attachment(env, id, target.ifname.as_deref(), &netns)
}

/// The path without `.`, `..` and doubled slashes; symbolic links are not resolved.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// `cnitool-` and the first ten bytes of the path's SHA-512.
fn container_id(netns: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let digest = Sha512::digest(netns.as_os_str().as_bytes());
    digest[..10].iter().fold("cnitool-".to_owned(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_26_the_container_id_follows_from_the_clean_path() {
        for path in ["/tmp/ns", "/tmp/../tmp/./ns", "/tmp//ns"] {
            assert_eq!(container_id(&clean(Path::new(path))), "cnitool-352833ea4e7f1a968163");
        }
        assert_eq!(container_id(Path::new("/var/run/netns/testing")), "cnitool-77383ca0a0715733ca6f");
    }
}
