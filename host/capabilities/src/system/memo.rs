//! `memo`: a small value that a plugin keeps for its attachment.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use nix::{fcntl::OFlag, libc};
use serde::{Deserialize, Serialize};
use wasm_cni_kernel::{errno_text, open};
use wasm_cni_spec::{attachment::Owner, names::is_name};
use wasm_cni_state::files::{create_directories, reason, replace};

use wasmtime::component::HasSelf;

use crate::{
    bindings::{memo, types},
    capability::Capability,
    describe::Hidden,
    failure::{Reply, refuse},
    grants::resolve::MEMOS,
    needs::Needs,
    record::{
        directories::Directories,
        effect::{Cleanup, Effect, Undone},
        scene::{Scene, Shared},
    },
    state::State,
    world::World,
};

/// `wasm-cni:system/memo`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:system/memo@0.1.0",
    worlds: &[World::Interface],
    link: |linker| memo::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |table| table.memo == Some(true),
    abilities: |table, imported, abilities| {
        let what = "keep a small value for its attachment, from ADD to DEL";
        abilities.say(imported && table.memo == Some(true), what);
    },
    needs: |grants, needs| needs.directories.extend(grants.memo.clone()),
};

/// Largest value, bytes.
const MAX_VALUE: usize = 64 << 10;

impl memo::Host for State {
    fn get(&mut self) -> Reply<Option<Vec<u8>>> {
        self.call("memo.get", &[], |state| Ok(read(&state.memo()?)?))
    }

    fn put(&mut self, value: Vec<u8>) -> Reply<()> {
        let hidden = Hidden(value);
        self.call("memo.put", &[("value", &hidden)], |state| {
            let Hidden(value) = &hidden;
            let path = state.memo()?;
            if value.len() > MAX_VALUE {
                return Err(refuse(types::Code::Limit, "memo-put", "a value has at most 65536 bytes").into());
            }
            if state.attempt.is_rehearsed() {
                return Ok(());
            }
            let old = read(&path)?;
            let created = path.parent().map(|directory| create_directories(directory, 0o700)).transpose();
            let created = created.map_err(|e| failed(&e.what, &e.source))?.unwrap_or_default();
            if !created.is_empty() {
                state.note(Directories { created })?;
            }
            state.note(Kept { plugin: state.plugin.clone(), value: value.clone(), old })?;
            Ok(replace(&path, value, false).map_err(|e| failed(&format!("write {}", path.display()), &e))?)
        })
    }

    fn forget(&mut self) -> Reply<()> {
        self.call("memo.forget", &[], |state| {
            let path = state.memo()?;
            if let (false, Some(value)) = (state.attempt.is_rehearsed(), read(&path)?) {
                state.note(Kept { plugin: state.plugin.clone(), value: Vec::new(), old: Some(value) })?;
                remove(&path).map_err(|e| failed(&format!("remove {}", path.display()), &e))?;
            }
            Ok(())
        })
    }
}

impl State {
    /// The file of the attachment's value.
    fn memo(&self) -> Result<PathBuf, types::Error> {
        match &self.grants.memo {
            Some(directory) => Ok(directory.join(file_name(&self.attempt.owner()))),
            None => self.deny("memo", "to keep a value: add `memo = true` to its table of the policy"),
        }
    }
}

fn file_name(owner: &Owner) -> String {
    format!("{}_{}.json", owner.container_id, owner.ifname)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, types::Error> {
    let opened = open(path, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK, 0);
    let read = opened.and_then(|file| {
        let mut value = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, MAX_VALUE as u64), &mut value).map(|_| value)
    });
    match read {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(&format!("open {}", path.display()), &e)),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn failed(what: &str, error: &io::Error) -> types::Error {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    types::Error { code: types::Code::Io, errno: errno.unsigned_abs(), what: what.to_owned(), msg: errno_text(errno) }
}

/// A value that was kept, or forgotten (then it is empty).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Kept {
    /// The plugin's type.
    plugin: String,
    value: Vec<u8>,
    /// What was there before.
    old: Option<Vec<u8>>,
}

impl Effect for Kept {
    const TAG: &'static str = "memo";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        false
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Detach
    }

    fn needs(&self, needs: &mut Needs) {
        needs.memos.insert(self.plugin.clone());
    }

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        let name = file_name(&scene.owner);
        if !is_name(&self.plugin) || name.contains('/') {
            return Ok(Undone::Another(format!("{:?} is no plugin type", self.plugin)));
        }
        let path = scene.context.under_root(MEMOS).join(&self.plugin).join(name);
        let found = read(&path).map_err(|e| e.msg)?;
        // What somebody else has written or removed since stays so.
        if found.as_deref().unwrap_or_default() != self.value {
            return Ok(Undone::All);
        }
        let done = match &self.old {
            Some(old) => replace(&path, old, false),
            None => remove(&path),
        };
        done.map(|()| Undone::All).map_err(|e| reason(&e))
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memo of plugin {:?}", self.plugin)
    }
}
