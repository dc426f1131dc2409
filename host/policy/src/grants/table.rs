//! What a table of a policy may say of a plugin.

use std::{borrow::Cow, path::PathBuf};

use serde::Deserialize;

use super::pattern::{ANY, star_of};

/// `[plugins.TYPE]`: each key takes the place of what the plugin has by itself. A key that neither has grants nothing.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginTable {
    /// Namespaces that it is lent.
    pub namespaces: Option<Vec<Namespace>>,
    /// Kinds of changes that it may make in them.
    pub operations: Option<Vec<Operation>>,
    /// Patterns of names of the host's bridges that it may use, and of bridges to
    /// make.
    pub host_links: Option<Vec<String>>,
    /// Kinds of links with an interface of their own, `dummy` or `macvlan`, that it may make.
    pub links: Option<Vec<String>>,
    /// Patterns of names of the host's links that may be the parent of such a link.
    pub parent_links: Option<Vec<String>>,
    /// Patterns of names of links that may go from one namespace to the other.
    pub move_links: Option<Vec<String>>,
    /// In the container's namespace; `*` stands for a link.
    pub sandbox_sysctls: Option<Vec<Sysctl>>,
    /// In the host's namespace, where `*` stands for a link that the plugin made.
    pub host_sysctls: Option<Vec<Sysctl>>,
    /// What it may have packet filters do for its attachment.
    pub filters: Option<Vec<Filter>>,
    /// sysfs: which network devices belong to which hardware.
    pub devices: Option<bool>,
    /// A value that it keeps for its attachment.
    pub memo: Option<bool>,
    /// Plugins that it may delegate to; `*` is whichever its configuration names.
    pub delegates: Option<Vec<String>>,
    /// Directories below which `dataDir` may lie.
    pub data_dirs: Option<Vec<PathBuf>>,
    /// Files that `resolvConf` may name; `*` is any.
    pub resolv_conf: Option<Vec<String>>,
}

/// A namespace that a plugin may be lent.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    /// The container's.
    Sandbox,
    /// The one that the host's end of things is in.
    Host,
}

impl Namespace {
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "sandbox" => Some(Self::Sandbox),
            "host" => Some(Self::Host),
            _ => None,
        }
    }
}

/// A kind of change.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Links are made.
    LinkAdd,
    /// Attributes of links are set, links are moved.
    LinkSet,
    /// Links are deleted.
    LinkDel,
    /// Addresses are added.
    AddrAdd,
    /// Addresses are removed.
    AddrDel,
    /// Routes are added.
    RouteAdd,
    /// Routes take the place of others.
    RouteSet,
    /// Routes are removed.
    RouteDel,
    /// Routing rules are added.
    RuleAdd,
    /// Routing rules are removed.
    RuleDel,
    /// Neighbours are set.
    NeighbourAdd,
    /// Neighbours are removed.
    NeighbourDel,
    /// Bridge ports get VLANs.
    VlanAdd,
    /// Bridge ports lose VLANs.
    VlanDel,
    /// Sysctls are written.
    SysctlSet,
    /// Neighbours are told of addresses.
    Announce,
}

impl Operation {
    /// Every kind.
    const ALL: [Self; 16] = [
        Self::LinkAdd,
        Self::LinkSet,
        Self::LinkDel,
        Self::AddrAdd,
        Self::AddrDel,
        Self::RouteAdd,
        Self::RouteSet,
        Self::RouteDel,
        Self::RuleAdd,
        Self::RuleDel,
        Self::NeighbourAdd,
        Self::NeighbourDel,
        Self::VlanAdd,
        Self::VlanDel,
        Self::SysctlSet,
        Self::Announce,
    ];

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// As a policy names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LinkAdd => "link-add",
            Self::LinkSet => "link-set",
            Self::LinkDel => "link-del",
            Self::AddrAdd => "addr-add",
            Self::AddrDel => "addr-del",
            Self::RouteAdd => "route-add",
            Self::RouteSet => "route-set",
            Self::RouteDel => "route-del",
            Self::RuleAdd => "rule-add",
            Self::RuleDel => "rule-del",
            Self::NeighbourAdd => "neighbour-add",
            Self::NeighbourDel => "neighbour-del",
            Self::VlanAdd => "vlan-add",
            Self::VlanDel => "vlan-del",
            Self::SysctlSet => "sysctl-set",
            Self::Announce => "announce",
        }
    }
}

/// What packet filters are for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Source NAT.
    Masquerade,
    /// Frames that enter a bridge are who they say they are.
    SpoofCheck,
}

impl Filter {
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "masquerade" => Some(Self::Masquerade),
            "spoof-check" => Some(Self::SpoofCheck),
            _ => None,
        }
    }
}

/// A key below /proc/sys/net, with `*` for a link in the four directories that have one for each.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Sysctl(pub Cow<'static, str>);

impl TryFrom<String> for Sysctl {
    type Error = String;

    fn try_from(key: String) -> Result<Self, String> {
        let bad = |part: &str| matches!(part, "" | "." | "..") || (part.contains(ANY) && part != ANY);
        if !key.starts_with("net/") || key.split('/').any(bad) {
            return Err(format!("{key:?} is not a valid sysctl pattern, e.g. `net/ipv4/conf/*/arp_notify`"));
        }
        if key.contains(ANY) && star_of(&key).is_none() {
            let text = "is not a valid sysctl pattern: a `*` stands for a link, directly below net/ipv4/conf, \
                        net/ipv6/conf, net/ipv4/neigh or net/ipv6/neigh";
            return Err(format!("{key:?} {text}"));
        }
        Ok(Self(key.into()))
    }
}

impl PluginTable {
    /// Whether the plugin may make links of this kind.
    #[must_use]
    pub fn makes_links(&self, kind: &str) -> bool {
        self.links.as_ref().is_some_and(|links| links.iter().any(|link| link == kind))
    }

    /// Whether the plugin may make one of these changes in the container's namespace.
    #[must_use]
    pub fn changes_inside(&self, operations: &[Operation]) -> bool {
        let inside = self.namespaces.as_ref().is_some_and(|namespaces| namespaces.contains(&Namespace::Sandbox));
        inside && self.operations.iter().flatten().any(|operation| operations.contains(operation))
    }

    /// Whether the plugin is lent the host's namespace.
    #[must_use]
    pub fn has_host(&self) -> bool {
        self.namespaces.as_ref().is_some_and(|namespaces| namespaces.contains(&Namespace::Host))
    }

    /// With what `policy` says in place of what this says.
    #[must_use]
    pub fn amended(self, policy: Option<&Self>) -> Self {
        let Some(policy) = policy.cloned() else { return self };
        Self {
            namespaces: policy.namespaces.or(self.namespaces),
            operations: policy.operations.or(self.operations),
            host_links: policy.host_links.or(self.host_links),
            links: policy.links.or(self.links),
            parent_links: policy.parent_links.or(self.parent_links),
            move_links: policy.move_links.or(self.move_links),
            sandbox_sysctls: policy.sandbox_sysctls.or(self.sandbox_sysctls),
            host_sysctls: policy.host_sysctls.or(self.host_sysctls),
            filters: policy.filters.or(self.filters),
            devices: policy.devices.or(self.devices),
            memo: policy.memo.or(self.memo),
            delegates: policy.delegates.or(self.delegates),
            data_dirs: policy.data_dirs.or(self.data_dirs),
            resolv_conf: policy.resolv_conf.or(self.resolv_conf),
        }
    }
}
