//! `devices`: which network devices belong to which hardware.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use nix::{errno::Errno, libc};
use wasm_cni_kernel::errno_text;

use super::{State, refuse};
use crate::bindings::{devices, types};

/// Most entries of a folder.
const MAX_ENTRIES: usize = 4096;

type Reply<T> = wasmtime::Result<Result<T, types::Error>>;

impl devices::Host for State {
    fn exists(&mut self, bus: devices::Bus, name: String) -> Reply<bool> {
        self.look_up(|| Ok(device(bus, &name)?.exists()))
    }

    fn driver(&mut self, bus: devices::Bus, name: String) -> Reply<String> {
        self.look_up(|| {
            let device = device(bus, &name)?;
            // Named as the file that is missing, wherever the links lead.
            let real = device.canonicalize().map_err(|e| failed(&e, "lstat", &device))?;
            let link = real.join("driver");
            let driver = link.canonicalize().map_err(|e| failed(&e, "lstat", &link))?;
            Ok(driver.file_name().unwrap_or_default().to_string_lossy().into_owned())
        })
    }

    fn interfaces(&mut self, bus: devices::Bus, name: String) -> Reply<Vec<String>> {
        self.look_up(|| {
            let device = device(bus, &name)?;
            let folder = device.join("net");
            if folder.symlink_metadata().is_ok() {
                return interfaces(&folder);
            }
            let virtio = match bus {
                devices::Bus::Pci => entries(&device)?.into_iter().filter(|name| name.starts_with("virtio")),
                devices::Bus::Auxiliary => return interfaces(&folder),
            };
            match virtio.map(|name| device.join(name).join("net")).find(|folder| folder.exists()) {
                Some(folder) => interfaces(&folder),
                None => interfaces(&folder),
            }
        })
    }

    fn interfaces_at(&mut self, path: String) -> Reply<Vec<String>> {
        self.look_up(|| {
            let path = Path::new(&path);
            is_device_path(path)?;
            interfaces(&path.join("net"))
        })
    }
}

impl State {
    fn look_up<T>(&mut self, f: impl FnOnce() -> Result<T, types::Error>) -> Reply<T> {
        self.enter()?;
        if !self.grants.devices {
            let text = format!("plugin {:?} has no grant to look hardware up", self.plugin);
            return Ok(Err(self.failed(refuse(types::Code::Denied, "devices", text))));
        }
        Ok(f().map_err(|e| self.failed(e)))
    }
}

pub(super) fn is_device_path(path: &Path) -> Result<(), types::Error> {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !plain || !path.starts_with("/sys/devices") || path.as_os_str().as_encoded_bytes().contains(&0) {
        let text = "a device's path is absolute, below /sys/devices and without \"..\"";
        return Err(refuse(types::Code::Invalid, path.display().to_string(), text));
    }
    Ok(())
}

/// A name is one component of a path.
pub(super) fn device(bus: devices::Bus, name: &str) -> Result<PathBuf, types::Error> {
    let bus = match bus {
        devices::Bus::Pci => "/sys/bus/pci/devices",
        devices::Bus::Auxiliary => "/sys/bus/auxiliary/devices",
    };
    if matches!(name, "" | "." | "..") || name.len() > 255 || name.contains(['/', '\0']) {
        let text = "the name of a device is one part of a path";
        return Err(refuse(types::Code::Invalid, format!("device {name:?}"), text));
    }
    Ok(Path::new(bus).join(name))
}

/// The network devices in a folder, in order; at least one. There is none if the
/// device's is in another namespace.
fn interfaces(folder: &Path) -> Result<Vec<String>, types::Error> {
    let names = entries(folder)?;
    if names.is_empty() {
        return Err(refuse(types::Code::NotFound, folder.display().to_string(), "no network device in this namespace"));
    }
    Ok(names)
}

/// The names in a folder, in order.
fn entries(folder: &Path) -> Result<Vec<String>, types::Error> {
    let entries = fs::read_dir(folder).map_err(|e| failed(&e, "open", folder))?;
    let names = entries.take(MAX_ENTRIES).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    Ok(names)
}

fn failed(error: &io::Error, verb: &str, path: &Path) -> types::Error {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    let code = match Errno::from_raw(errno) {
        Errno::ENOENT | Errno::ENOTDIR => types::Code::NotFound,
        _ => types::Code::Io,
    };
    let what = format!("{verb} {}", path.display());
    types::Error { code, errno: errno.unsigned_abs(), what, msg: errno_text(errno) }
}
