//! What a plugin may reach. Deny by default: a capability that is not named
//! here is not linked, a handle that is not named is not lent.

use std::path::PathBuf;

/// The grants of one call. The host checks them before every effect.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grants {
    /// The container's namespace.
    pub sandbox: bool,
    /// The namespace that the host's end of things is in.
    pub host: bool,
    /// Sysctls to read and write in the container's namespace; `*` stands for
    /// one part of the key.
    pub sandbox_sysctls: &'static [&'static str],
    /// The same for the host's namespace.
    pub host_sysctls: &'static [&'static str],
    /// Source NAT for the attachment, in the host's namespace.
    pub masquerade: bool,
    /// A spoof check for the attachment, in the host's namespace.
    pub spoof_check: bool,
    /// Links may go from one namespace to the other, and links of the host that
    /// nobody here made may be changed.
    pub move_links: bool,
    /// sysfs: which network devices belong to which hardware.
    pub devices: bool,
    /// Plugins to delegate to.
    pub delegates: Vec<String>,
    /// The folder of an IPAM plugin's entries.
    pub store: Option<PathBuf>,
    /// The file behind `resolver.resolv-conf`.
    pub resolver: Option<PathBuf>,
}

const ADDRESSING: &[&str] = &[
    "net/ipv4/conf/*/arp_notify",
    "net/ipv6/conf/*/accept_dad",
    "net/ipv6/conf/*/enhanced_dad",
    "net/ipv6/conf/*/disable_ipv6",
    "net/ipv6/conf/*/keep_addr_on_down",
    "net/ipv6/conf/*/ndisc_notify",
];

const FORWARDING: &[&str] =
    &["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/*/accept_dad", "net/ipv6/conf/*/accept_ra"];

impl Grants {
    /// A plugin that works on both sides of the container's border.
    #[must_use]
    pub(crate) fn both_sides() -> Self {
        let (masquerade, spoof_check) = (true, true);
        Self { host: true, host_sysctls: FORWARDING, masquerade, spoof_check, ..Self::sandbox_only() }
    }

    /// A plugin that hands devices of the host to containers.
    #[must_use]
    pub(crate) fn devices() -> Self {
        Self { host: true, move_links: true, devices: true, ..Self::sandbox_only() }
    }

    /// A plugin that works inside the container.
    #[must_use]
    pub(crate) fn sandbox_only() -> Self {
        Self { sandbox: true, sandbox_sysctls: ADDRESSING, ..Self::default() }
    }
}

/// Does a pattern of [`Grants`] name this key?
#[must_use]
pub(crate) fn sysctl_matches(pattern: &str, key: &str) -> bool {
    let (mut pattern, mut key) = (pattern.split('/'), key.split('/'));
    loop {
        match (pattern.next(), key.next()) {
            (None, None) => return true,
            (Some("*"), Some(part)) if !part.is_empty() && part != "." && part != ".." => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_exactly_one_part() {
        let pattern = "net/ipv4/conf/*/arp_notify";
        assert!(sysctl_matches(pattern, "net/ipv4/conf/eth0.100/arp_notify"));
        assert!(!sysctl_matches(pattern, "net/ipv4/conf/arp_notify"));
        assert!(!sysctl_matches(pattern, "net/ipv4/conf/a/b/arp_notify"));
        assert!(!sysctl_matches(pattern, "net/ipv4/conf/../arp_notify"));
        assert!(!sysctl_matches(pattern, "net/ipv4/conf//arp_notify"));
        assert!(!sysctl_matches("net/ipv4/ip_forward", "kernel/core_pattern"));
    }
}
