//! `devices`: which network devices belong to which hardware.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use nix::{errno::Errno, libc};
use wasm_cni_kernel::errno_text;

use wasmtime::component::HasSelf;

use crate::{
    bindings::{devices, types},
    capability::Capability,
    describe::{Describe, Scribe, case},
    failure::{Reply, refuse},
    state::State,
    world::World,
};

/// Most entries of a directory.
const MAX_ENTRIES: usize = 4096;

/// `wasm-cni:system/devices`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:system/devices@0.1.0",
    worlds: &[World::Interface],
    link: |linker| devices::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |table| table.devices == Some(true),
    abilities: |table, imported, abilities| {
        let what = "look up in sysfs which network devices belong to which hardware";
        abilities.say(imported && table.devices == Some(true), what);
    },
    needs: |grants, needs| needs.devices |= grants.devices,
};

impl devices::Host for State {
    fn exists(&mut self, bus: devices::Bus, name: String) -> Reply<bool> {
        self.look_up("devices.exists", &[("bus", &bus), ("name", &name)], || Ok(device(bus, &name)?.exists()))
    }

    fn driver(&mut self, bus: devices::Bus, name: String) -> Reply<String> {
        self.look_up("devices.driver", &[("bus", &bus), ("name", &name)], || {
            let device = device(bus, &name)?;
            // Named as the file that is missing, wherever the links lead.
            let real = device.canonicalize().map_err(|e| failed(&e, "lstat", &device))?;
            let link = real.join("driver");
            let driver = link.canonicalize().map_err(|e| failed(&e, "lstat", &link))?;
            Ok(driver.file_name().unwrap_or_default().to_string_lossy().into_owned())
        })
    }

    fn interfaces(&mut self, bus: devices::Bus, name: String) -> Reply<Vec<String>> {
        self.look_up("devices.interfaces", &[("bus", &bus), ("name", &name)], || {
            let device = device(bus, &name)?;
            let directory = device.join("net");
            if directory.symlink_metadata().is_ok() {
                return interfaces(&directory);
            }
            let virtio = match bus {
                devices::Bus::Pci => entries(&device)?.into_iter().filter(|name| name.starts_with("virtio")),
                devices::Bus::Auxiliary => return interfaces(&directory),
            };
            let mut directories = virtio.map(|name| device.join(name).join("net"));
            match directories.find(|directory| directory.exists()) {
                Some(directory) => interfaces(&directory),
                None => interfaces(&directory),
            }
        })
    }

    fn interfaces_at(&mut self, path: String) -> Reply<Vec<String>> {
        self.look_up("devices.interfaces-at", &[("path", &path)], || {
            let path = Path::new(&path);
            is_device_path(path)?;
            interfaces(&path.join("net"))
        })
    }
}

impl State {
    fn look_up<T: Describe>(
        &mut self,
        function: &'static str,
        arguments: &[(&str, &dyn Describe)],
        f: impl FnOnce() -> Result<T, types::Error>,
    ) -> Reply<T> {
        self.call(function, arguments, |state| {
            if !state.grants.devices {
                state.deny::<()>("devices", "to look hardware up: add `devices = true` to its table of the policy")?;
            }
            Ok(f()?)
        })
    }
}

impl Describe for devices::Bus {
    fn describe(&self, _: &mut Scribe<'_>) -> serde_json::Value {
        case(self)
    }
}

/// That it is a path of a device.
///
/// # Errors
///
/// If it is not below `/sys/devices`.
pub fn is_device_path(path: &Path) -> Result<(), types::Error> {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !plain || !path.starts_with("/sys/devices") || path.as_os_str().as_encoded_bytes().contains(&0) {
        let text = "a device's path is absolute, below /sys/devices and without \"..\"";
        return Err(refuse(types::Code::Invalid, path.display().to_string(), text));
    }
    Ok(())
}

/// The path of a device. A name is one component of it.
///
/// # Errors
///
/// If it is not.
pub fn device(bus: devices::Bus, name: &str) -> Result<PathBuf, types::Error> {
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

/// The network devices in a directory, in order; at least one. There is none if the
/// device's is in another namespace.
fn interfaces(directory: &Path) -> Result<Vec<String>, types::Error> {
    let names = entries(directory)?;
    if names.is_empty() {
        return Err(refuse(
            types::Code::NotFound,
            directory.display().to_string(),
            "no network device in this namespace",
        ));
    }
    Ok(names)
}

/// The names in a directory, in order.
fn entries(directory: &Path) -> Result<Vec<String>, types::Error> {
    let entries = fs::read_dir(directory).map_err(|e| failed(&e, "open", directory))?;
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
