//! What a plugin may reach. Deny by default: a capability that is not named
//! here is not linked, a handle that is not named is not lent.

use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use crate::{
    config::field,
    directory::DATA_DIR,
    plugin::World,
    policy::{Filter, Namespace, Operation, PluginTable, Sysctl},
    protocol::is_name,
};

/// The grants of one call. The host checks them before every effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grants {
    /// The container's namespace.
    pub(crate) sandbox: bool,
    /// The namespace that the host's end of things is in.
    pub(crate) host: bool,
    /// Kinds of changes in either; none means all.
    pub(crate) operations: Option<Vec<Operation>>,
    /// Patterns of names of the host's bridges that may be made, and used if they
    /// are there.
    pub(crate) host_links: Vec<String>,
    /// Patterns of names of links that may go from one namespace to the other,
    /// and be renamed for it.
    pub(crate) move_links: Vec<String>,
    /// Sysctls to read and write in the container's namespace; `*` stands for
    /// one part of the key.
    pub(crate) sandbox_sysctls: Vec<Sysctl>,
    /// The same for the host's namespace, where `*` stands for a link that the
    /// attempt made.
    pub(crate) host_sysctls: Vec<Sysctl>,
    /// Source NAT for the attachment, in the host's namespace.
    pub(crate) masquerade: bool,
    /// A spoof check for the attachment, in the host's namespace.
    pub(crate) spoof_check: bool,
    /// sysfs: which network devices belong to which hardware.
    pub(crate) devices: bool,
    /// Plugins to delegate to.
    pub(crate) delegates: Vec<String>,
    /// The folder of an IPAM plugin's entries.
    pub(crate) store: Option<PathBuf>,
    /// The file behind `resolver.resolv-conf`.
    pub(crate) resolver: Option<PathBuf>,
    /// Addresses of a bridge that was there may be removed for those of gateways.
    pub(crate) force_address: bool,
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

const ANY: &str = "*";

/// The keys of a configuration that grants go by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// `ipam.type`
    ipam: Option<String>,
    /// `ipam.dataDir`
    data_dir: Option<String>,
    /// `ipam.resolvConf`
    resolv_conf: Option<String>,
    /// `ipMasq`
    masquerade: bool,
    /// `ipMasqBackend`
    backend: Option<String>,
    /// `forceAddress`
    force_address: bool,
}

impl Asked {
    pub(crate) fn of(config: &Map<String, Value>) -> Self {
        let ipam = field(config, "ipam").and_then(Value::as_object);
        let text = |key: &str| {
            let text = ipam.and_then(|ipam| field(ipam, key)).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Self {
            ipam: text("type"),
            data_dir: text("dataDir"),
            resolv_conf: text("resolvConf"),
            masquerade: field(config, "ipMasq") == Some(&Value::Bool(true)),
            backend: field(config, "ipMasqBackend").and_then(Value::as_str).map(str::to_owned),
            force_address: field(config, "forceAddress") == Some(&Value::Bool(true)),
        }
    }

    /// Would it, where iptables is installed?
    pub(crate) fn masquerades_by_iptables(&self) -> bool {
        self.masquerade && self.backend.as_deref() != Some("nftables")
    }
}

/// What a bundled plugin gets by itself: what its work needs, and nothing else.
pub(crate) fn bundled(kind: &str) -> PluginTable {
    let sandbox = PluginTable {
        namespaces: Some(vec![Namespace::Sandbox]),
        sandbox_sysctls: Some(sysctls(ADDRESSING)),
        delegates: Some(any()),
        ..PluginTable::default()
    };
    match kind {
        "bridge" => PluginTable { host_links: Some(any()), ..both_sides(sandbox) },
        "ptp" => PluginTable { filters: Some(vec![Filter::Masquerade]), ..both_sides(sandbox) },
        "host-device" => PluginTable {
            namespaces: Some(vec![Namespace::Sandbox, Namespace::Host]),
            operations: Some(vec![
                Operation::LinkSet,
                Operation::AddrAdd,
                Operation::RouteAdd,
                Operation::SysctlSet,
                Operation::Announce,
            ]),
            move_links: Some(any()),
            devices: Some(true),
            ..sandbox
        },
        "loopback" => PluginTable {
            namespaces: Some(vec![Namespace::Sandbox]),
            operations: Some(vec![Operation::LinkSet]),
            ..PluginTable::default()
        },
        "host-local" => PluginTable {
            data_dirs: Some(vec![PathBuf::from("/")]),
            resolv_conf: Some(any()),
            ..PluginTable::default()
        },
        _ => PluginTable::default(),
    }
}

/// What `--allow-host` gives a plugin from elsewhere.
pub(crate) fn allowed() -> PluginTable {
    PluginTable {
        host_links: Some(any()),
        data_dirs: Some(vec![PathBuf::from("/var/lib/cni")]),
        ..both_sides(PluginTable {
            sandbox_sysctls: Some(sysctls(ADDRESSING)),
            delegates: Some(any()),
            ..PluginTable::default()
        })
    }
}

fn both_sides(table: PluginTable) -> PluginTable {
    PluginTable {
        namespaces: Some(vec![Namespace::Sandbox, Namespace::Host]),
        host_sysctls: Some(sysctls(FORWARDING)),
        filters: Some(vec![Filter::Masquerade, Filter::SpoofCheck]),
        ..table
    }
}

fn any() -> Vec<String> {
    vec![ANY.to_owned()]
}

fn sysctls(keys: &[&'static str]) -> Vec<Sysctl> {
    keys.iter().map(|key| Sysctl((*key).into())).collect()
}

impl PluginTable {
    /// With what `policy` says in place of what this says.
    #[must_use]
    pub(crate) fn amended(self, policy: Option<&Self>) -> Self {
        let Some(policy) = policy.cloned() else { return self };
        Self {
            namespaces: policy.namespaces.or(self.namespaces),
            operations: policy.operations.or(self.operations),
            host_links: policy.host_links.or(self.host_links),
            move_links: policy.move_links.or(self.move_links),
            sandbox_sysctls: policy.sandbox_sysctls.or(self.sandbox_sysctls),
            host_sysctls: policy.host_sysctls.or(self.host_sysctls),
            filters: policy.filters.or(self.filters),
            devices: policy.devices.or(self.devices),
            delegates: policy.delegates.or(self.delegates),
            data_dirs: policy.data_dirs.or(self.data_dirs),
            resolv_conf: policy.resolv_conf.or(self.resolv_conf),
        }
    }

    /// What that comes to for a call with this configuration.
    pub(crate) fn grants(self, world: World, asked: &Asked, network: &str) -> Grants {
        let namespaces = self.namespaces.unwrap_or_default();
        let filters = self.filters.unwrap_or_default();
        let of_interface = world == World::Interface;
        let delegates = self.delegates.unwrap_or_default();
        let may_delegate = |kind: &String| matches_any(&delegates, kind);
        // The name has been checked for a slash, but not by every caller.
        let data_dir = PathBuf::from(asked.data_dir.as_deref().unwrap_or(DATA_DIR));
        let may_store = self.data_dirs.unwrap_or_default().iter().any(|folder| is_below(&data_dir, folder));
        let resolv_conf = self.resolv_conf.unwrap_or_default();
        Grants {
            sandbox: of_interface && namespaces.contains(&Namespace::Sandbox),
            host: of_interface && namespaces.contains(&Namespace::Host),
            operations: self.operations,
            host_links: self.host_links.unwrap_or_default(),
            move_links: self.move_links.unwrap_or_default(),
            sandbox_sysctls: self.sandbox_sysctls.unwrap_or_default(),
            host_sysctls: self.host_sysctls.unwrap_or_default(),
            masquerade: filters.contains(&Filter::Masquerade),
            spoof_check: filters.contains(&Filter::SpoofCheck),
            devices: self.devices.unwrap_or_default(),
            delegates: asked.ipam.iter().filter(|kind| of_interface && may_delegate(kind)).cloned().collect(),
            store: (!of_interface && may_store && is_name(network)).then(|| data_dir.join(network)),
            resolver: asked.resolv_conf.as_ref().filter(|path| matches_any(&resolv_conf, path)).map(Into::into),
            force_address: of_interface && asked.force_address,
        }
    }
}

/// A relative path, or one with `..`, is below nothing but everything.
fn is_below(path: &Path, folder: &Path) -> bool {
    let plain = path.is_absolute() && path.components().all(|part| part != Component::ParentDir);
    folder == Path::new("/") || (plain && path.starts_with(folder))
}

/// Does one of the patterns name this?
#[must_use]
pub(crate) fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

/// `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(name) = name.strip_prefix(start).and_then(|name| name.strip_suffix(end)) else { return false };
    let skip = |name: &mut &str, part: &str| {
        let found = name.find(part);
        *name = found.map_or("", |at| &name[at + part.len()..]);
        found.is_some()
    };
    let mut name = name;
    middle.split('*').all(|part| skip(&mut name, part))
}

/// Does a pattern of [`Grants`] name this key?
#[must_use]
pub(crate) fn sysctl_matches(pattern: &str, key: &str) -> bool {
    let mut texts = pattern.split('*');
    let mut rest = texts.next().and_then(|start| key.strip_prefix(start));
    for text in texts {
        rest = rest.and_then(|rest| {
            let (part, _) = rest.split_once('/').unwrap_or((rest, ""));
            rest[part.len()..].strip_prefix(text).filter(|_| !matches!(part, "" | "." | ".."))
        });
    }
    rest == Some("")
}

/// The parts of a key that it names, for which a pattern has a star.
pub(crate) fn sysctl_stars<'a>(pattern: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    pattern.split('/').zip(key.split('/')).filter(|(star, _)| *star == ANY).map(|(_, part)| part)
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
        assert!(sysctl_stars(pattern, "net/ipv4/conf/eth0.100/arp_notify").eq(["eth0.100"]));
        assert_eq!(sysctl_stars("net/ipv4/ip_forward", "net/ipv4/ip_forward").count(), 0);
    }

    #[test]
    fn patterns_of_names() {
        let one = |pattern: &str, name: &str| matches_any(&[pattern.to_owned()], name);
        assert!(one("*", "cni0") && one("cni*", "cni0") && one("c*0", "cni0") && one("cni0", "cni0"));
        assert!(one("a*b*c*d", "a1b2c3d") && one("**", "") && one("a**b", "ab") && !one("a*b*c", "acb"));
        assert!(!one("ab*ba", "aba") && !one(&"*a".repeat(40), &"a".repeat(39)));
        assert!(!one("cni", "cni0") && !one("cni0*1", "cni0") && !one("", "cni0") && !matches_any(&[], "cni0"));
    }

    fn grants(kind: &str, world: World, config: &str, policy: Option<PluginTable>) -> Grants {
        let asked = Asked::of(&serde_json::from_str(config).unwrap());
        bundled(kind).amended(policy.as_ref()).grants(world, &asked, "n1")
    }

    #[test]
    fn bundled_plugins_get_what_their_work_needs() {
        let config = r#"{"ipam":{"type":"host-local","dataDir":"/data","resolvConf":"/etc/resolv.conf"}}"#;
        let loopback = grants("loopback", World::Interface, config, None);
        assert!(loopback.sandbox && !loopback.host && loopback.delegates.is_empty());
        let bridge = grants("bridge", World::Interface, config, None);
        assert!(bridge.host && bridge.spoof_check && bridge.move_links.is_empty() && !bridge.devices);
        assert_eq!((bridge.delegates, bridge.store), (vec!["host-local".to_owned()], None));
        assert!(
            !bridge.force_address && grants("bridge", World::Interface, r#"{"forceAddress":true}"#, None).force_address
        );
        assert!(!grants("ptp", World::Interface, config, None).spoof_check);
        let host_local = grants("host-local", World::Ipam, config, None);
        assert_eq!(host_local.store, Some("/data/n1".into()));
        assert_eq!(host_local.resolver, Some("/etc/resolv.conf".into()));
        assert!(!host_local.sandbox && !host_local.host);
        assert_eq!(grants("static", World::Ipam, config, None), Grants::default());
    }

    #[test]
    fn others_get_nothing_but_what_the_policy_says() {
        let config = r#"{"ipam":{"type":"x","dataDir":"/data/../etc"}}"#;
        let policy = PluginTable { data_dirs: Some(vec!["/data".into()]), ..PluginTable::default() };
        assert_eq!(grants("other", World::Interface, config, None), Grants::default());
        assert_eq!(grants("other", World::Ipam, config, Some(policy.clone())), Grants::default());
        let config = r#"{"ipam":{"dataDir":"/data/a"}}"#;
        assert_eq!(grants("other", World::Ipam, config, Some(policy)).store, Some("/data/a/n1".into()));
        let narrow =
            PluginTable { filters: Some(vec![]), host_links: Some(vec!["cni*".into()]), ..PluginTable::default() };
        let bridge = grants("bridge", World::Interface, "{}", Some(narrow));
        assert!(bridge.host && !bridge.masquerade);
        assert_eq!(bridge.host_links, ["cni*"]);
    }
}
