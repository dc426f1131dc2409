//! Finding the device that a configuration selects.

use cni_plugin::devices::{self, Bus};
use cni_plugin::{Code, Context, Error, Failure, Link, Netns, Tables, go, link, mac};

use crate::config::{Config, Selector};

/// Drivers that leave a device to a program (DPDK): it has no link.
const USERSPACE_DRIVERS: [&str; 3] = ["vfio-pci", "uio_pci_generic", "igb_uio"];

/// Where kernel paths begin.
const DEVICES: &str = "/sys/devices/";

/// What stands in front of why there is no device.
pub(crate) const NO_DEVICE: &str = "failed to find host device";
/// What the reference says of a name that no link has.
pub(crate) const NOT_FOUND: &str = "Link not found";

/// What a configuration selects.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) selector: Selector,
    /// There is no link to move.
    pub(crate) dpdk: bool,
}

impl Device {
    /// The selected device; it need not be there.
    pub(crate) fn of(config: &Config) -> Result<Self, Failure> {
        let hardware = hardware(config)?;
        let address = match &hardware {
            Some((Bus::Pci, address)) => Some(address.clone()),
            _ => None,
        };
        let selector = config.selector(hardware)?;
        let dpdk = match address {
            Some(address) => {
                let driver = devices::driver(Bus::Pci, &address);
                let driver = driver.map_err(|error| format!("error with host device: {}", error.full_message()))?;
                USERSPACE_DRIVERS.contains(&driver.as_str())
            }
            None => config.dpdk,
        };
        Ok(Self { selector, dpdk })
    }

    /// Its link on the host.
    pub(crate) fn find(&self, host: &Netns) -> Result<Link, Failure> {
        match &self.selector {
            Selector::Name(name) => by_name(host, name),
            Selector::Mac(text) => {
                let mac = parse_mac(text)?;
                let links = link::all(host, Tables::LINKS)?.links;
                let found = links.into_iter().find(|link| link.mac == mac && !mac_of(link).is_empty());
                found.ok_or_else(|| "failed to find physical interface".into())
            }
            Selector::KernelPath(path) => {
                let path = kernel_path(path)?;
                by_first_name(host, devices::interfaces_at(&path))
            }
            Selector::Hardware(bus, name) => match devices::interfaces(*bus, name) {
                Err(error) if *bus == Bus::Pci && error.code == Code::NotFound && error.errno != 0 => {
                    Err(format!("no net directory under pci device {name}").into())
                }
                names => by_first_name(host, names),
            },
        }
    }
}

/// A link's MAC as text. All zeros, as of `lo`, is none.
pub(crate) fn mac_of(link: &Link) -> String {
    if link.mac.iter().all(|octet| *octet == 0) { String::new() } else { mac::format(&link.mac) }
}

/// The device on its bus, if it is selected that way. What the runtime says
/// outdoes `pciBusID`.
fn hardware(config: &Config) -> Result<Option<(Bus, String)>, Failure> {
    let id = &config.device_id;
    if id.is_empty() {
        return Ok(Some(&config.pci_address).filter(|address| !address.is_empty()).map(|a| (Bus::Pci, a.clone())));
    }
    for bus in [Bus::Pci, Bus::Auxiliary] {
        match devices::exists(bus, id) {
            Ok(true) => return Ok(Some((bus, id.clone()))),
            Ok(false) => {}
            // It can't be a device's name.
            Err(error) if error.code == Code::Invalid => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(format!("runtime config DeviceID {id} not found or unsupported").into())
}

fn by_name(host: &Netns, name: &str) -> Result<Link, Failure> {
    let found = match link::by_name(host, name) {
        // It can't be a link's name.
        Err(error) if error.code == Code::Invalid => None,
        found => found?,
    };
    found.ok_or_else(|| NOT_FOUND.into())
}

fn by_first_name(host: &Netns, names: Result<Vec<String>, Error>) -> Result<Link, Failure> {
    let names = names.map_err(|error| no_names(&error))?;
    by_name(host, names.first().map_or("", String::as_str))
}

/// Why a directory of sysfs has no names.
fn no_names(error: &Error) -> String {
    match error.what.strip_prefix("open ") {
        Some(folder) => format!("failed to read directory {folder}: {}", go::quoted(&error.full_message())),
        None if error.code == Code::NotFound => format!("failed to find network device in path {}", error.what),
        None => error.full_message(),
    }
}

/// `hwaddr`.
pub(crate) fn parse_mac(text: &str) -> Result<Vec<u8>, Failure> {
    mac::parse(text).context(|| format!("failed to parse MAC address {}", go::quoted(text)))
}

/// `kernelpath`, cleaned.
pub(crate) fn kernel_path(path: &str) -> Result<String, Failure> {
    clean(path).ok_or_else(|| {
        let path = go::quoted(path);
        format!("kernel device path {path} must be absolute and begin with {DEVICES}").into()
    })
}

/// A kernel path without `.`, `..` and slashes to spare; none if it leads elsewhere.
fn clean(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.strip_prefix(DEVICES).map(|_| path)?.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    (parts.get(..2)? == ["sys", "devices"]).then(|| format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_paths_stay_below_sys_devices() {
        for (path, expected) in [
            ("/sys/devices/pci0000:00/0000:00:19.0", Some("/sys/devices/pci0000:00/0000:00:19.0")),
            ("/sys/devices//x/./y/..//", Some("/sys/devices/x")),
            ("/sys/devices/../devices/x", Some("/sys/devices/x")),
            ("/sys/devices/", Some("/sys/devices")),
            ("/sys/devices/../../etc", None),
            ("/sys/devices/../../../..", None),
            ("/sys/devices/../class/net", None),
            ("/sys/devices", None),
            ("sys/devices/x", None),
            ("/foo", None),
        ] {
            assert_eq!(clean(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_folder_without_names_is_named() {
        let error =
            |errno, what: &str, msg: &str| Error { code: Code::NotFound, errno, what: what.into(), msg: msg.into() };
        assert_eq!(
            no_names(&error(2, "open /sys/devices/x/net", "no such file or directory")),
            "failed to read directory /sys/devices/x/net: \"open /sys/devices/x/net: no such file or directory\""
        );
        assert_eq!(
            no_names(&error(0, "/sys/devices/x/net", "no network device")),
            "failed to find network device in path /sys/devices/x/net"
        );
    }
}
