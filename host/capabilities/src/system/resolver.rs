//! `resolver`: the file that the configuration names.

use std::{
    fs::{Metadata, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use nix::{errno::Errno, libc};
use wasm_cni_kernel::errno_text;

use wasmtime::component::HasSelf;

use crate::{
    abilities::named,
    bindings::{resolver, types},
    capability::Capability,
    failure::{Reply, refuse},
    state::State,
    world::World,
};

/// `wasm-cni:system/resolver`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:system/resolver@0.1.0",
    worlds: &[World::Ipam],
    link: |linker| resolver::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |table| table.resolv_conf.as_ref().is_some_and(|files| !files.is_empty()),
    abilities: |table, imported, abilities| {
        let files = table.resolv_conf.as_deref().unwrap_or_default();
        let what = "read the file that `resolvConf` names";
        match imported && !files.is_empty() {
            true => abilities.say(true, format!("{what}{}", named(", one of", files))),
            false => abilities.say(false, what),
        }
    },
    needs: |grants, needs| needs.files.extend(grants.resolver.clone()),
};

/// Largest `resolv.conf`, bytes.
const MAX_RESOLV_CONF: u64 = 64 << 10;

impl resolver::Host for State {
    fn resolv_conf(&mut self) -> Reply<Option<String>> {
        self.call("resolver.resolv-conf", &[], |state| {
            let Some(path) = &state.grants.resolver else { return Ok(None) };
            let text = read(path).map_err(|e| failed(path, &e))?;
            Ok(Some(String::from_utf8_lossy(&text).into_owned()))
        })
    }
}

/// Not to be held up by a FIFO, nor to read from a device; that is asked first for the text of the error, as what is not a
/// file is out of a confined process's reach.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    regular(std::fs::metadata(path)?)?;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)?;
    regular(file.metadata()?)?;
    let mut text = Vec::new();
    file.take(MAX_RESOLV_CONF).read_to_end(&mut text)?;
    Ok(text)
}

fn regular(metadata: Metadata) -> io::Result<()> {
    if metadata.is_file() { Ok(()) } else { Err(Errno::EINVAL.into()) }
}

fn failed(path: &Path, error: &io::Error) -> types::Error {
    let what = format!("open {}", path.display());
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    let code = match errno {
        libc::EINVAL => return refuse(types::Code::Invalid, what, "not a regular file"),
        libc::ENOENT => types::Code::NotFound,
        _ => types::Code::Io,
    };
    types::Error { code, errno: errno.unsigned_abs(), what, msg: errno_text(errno) }
}
