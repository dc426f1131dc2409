//! Finding the device that a configuration selects.

use cni_plugin::devices::{self, Bus};
use cni_plugin::{Code, Error, Failure, Link, Netns, Tables, go, link, mac};

use crate::config::Config;
use crate::selector::{NOT_FOUND, Selector, kernel_path, parse_mac};

/// Drivers that leave a device to a program (DPDK): it has no link.
const USERSPACE_DRIVERS: [&str; 3] = ["vfio-pci", "uio_pci_generic", "igb_uio"];

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

#[cfg(test)]
mod tests {
    use super::*;

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
