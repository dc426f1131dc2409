//! How a configuration names its device, and whether it is a name. Must not know: which devices there are.

use cni_plugin::devices::Bus;
use cni_plugin::{Context, Failure, go, mac};

/// Where kernel paths begin.
const DEVICES: &str = "/sys/devices/";

/// What stands in front of why there is no device.
pub(crate) const NO_DEVICE: &str = "failed to find host device";
/// What the reference says of a name that no link has.
pub(crate) const NOT_FOUND: &str = "Link not found";

/// How a configuration names its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    Name(String),
    Mac(String),
    /// Below `/sys/devices`.
    KernelPath(String),
    Hardware(Bus, String),
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
}
