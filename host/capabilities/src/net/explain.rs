//! What a refusal of the kernel means, where its number alone does not say: which file it was, and that IPv6 is off.

use std::net::IpAddr;

use nix::libc::ENOENT;
use wasm_cni_kernel::{self as kernel, LinkRef};

use super::routers::MIN_MTU;
use crate::{bindings::types, failure::kernel_error, space::Space};

/// The key that is there if the kernel has IPv6.
const OF_IPV6: &str = "net/ipv6/conf/all/disable_ipv6";

const NO_IPV6: &str = "IPv6 is switched off in this kernel (ipv6.disable=1)";

/// A failure to read or write a sysctl: with its file, as Go's errors have it.
pub(super) fn sysctl(space: &Space, error: &kernel::Error) -> types::Error {
    let told = kernel_error(error);
    let key = ["sysctl-set ", "sysctl-get "].iter().find_map(|verb| told.what.strip_prefix(verb));
    let Some(key) = key else { return told };
    let mut msg = format!("open /proc/sys/{key}: {}", told.msg);
    if key.starts_with("net/ipv6/") && error.errno() == ENOENT && value(space, OF_IPV6) == Some(None) {
        msg = format!("{msg}: {NO_IPV6}");
    }
    types::Error { msg, ..told }
}

/// A failure to add an address to a link.
pub(super) fn address(space: &Space, link: u32, ip: IpAddr, error: types::Error) -> types::Error {
    if ip.is_ipv4() || error.errno == 0 || matches!(error.code, types::Code::Exists) {
        return error;
    }
    let Ok(link) = space.netlink(|netlink| netlink.link_get(LinkRef::Index(link))) else { return error };
    let name = &link.name;
    let reason = match value(space, &format!("net/ipv6/conf/{name}/disable_ipv6")) {
        Some(Some(value)) if value != "0" => {
            format!("IPv6 is switched off on {name:?} (net.ipv6.conf.{name}.disable_ipv6={value})")
        }
        Some(None) if value(space, OF_IPV6) == Some(None) => NO_IPV6.to_owned(),
        Some(None) if link.mtu < MIN_MTU => {
            format!("with an MTU of {}, below {MIN_MTU}, {name:?} has no IPv6", link.mtu)
        }
        _ => return error,
    };
    types::Error { msg: format!("{}: {reason}", error.msg), ..error }
}

/// The value of a sysctl, if that can be told: some of them have none.
fn value(space: &Space, key: &str) -> Option<Option<String>> {
    space.sysctls_get(&[key]).ok()?.pop()
}
