//! What the reference's plugins have in common: `types.NetConf`, which each of their
//! configurations embeds, and `runtimeConfig` and `args` beside it.

use crate::decode::Object;
use crate::{Dns, Mistake, result};

/// The members that any configuration may have, as far as a plugin can use them.
#[derive(Clone, Debug)]
pub struct NetConf {
    /// `ipam.type`; empty for none.
    pub ipam: String,
    /// `dns`.
    pub dns: Dns,
    /// Whether `dns` has a setting, be it an empty list.
    pub has_dns: bool,
}

impl NetConf {
    /// From a configuration's top level, as the struct that embeds this one sees it
    /// (`conf.embedded("NetConf")`). Members of no use have their types checked.
    pub fn read(conf: &Object<'_>) -> Self {
        let ipam = conf.object("ipam", "types.IPAM", "IPAM").map(Object::shared);
        conf.text("name");
        conf.text("type");
        conf.object("capabilities", "map[string]bool", "");
        conf.object("prevResult", "map[string]interface {}", "");
        conf.list("cni.dev/valid-attachments", "[]types.GCAttachment");
        let (dns, has_dns) = (result::dns(conf), result::has_dns(conf));
        Self { ipam: ipam.and_then(|ipam| ipam.text("type")).unwrap_or_default(), dns, has_dns }
    }

    /// Whether `ipam.type` can be the name of a plugin: what the host says otherwise. None
    /// is a mistake only where the plugin can't do without.
    pub fn mistake_of_ipam(ipam: &str, required: bool) -> Option<Mistake> {
        match ipam {
            "" => required.then(|| Mistake::new("ipam.type", "no plugin name provided")),
            "." | ".." => Some(Mistake::new("ipam.type", format!("invalid plugin name: {ipam}"))),
            _ if ipam.contains(['/', '\0']) => Some(Mistake::new("ipam.type", format!("invalid plugin name: {ipam}"))),
            _ => None,
        }
    }
}

/// `runtimeConfig`, whose Go type is `go_type`. Its keys are of capabilities that other
/// plugins may have.
pub fn runtime_config<'d>(conf: &Object<'d>, go_type: &str) -> Option<Object<'d>> {
    conf.object("runtimeConfig", go_type, "").map(Object::shared)
}

/// `args.cni`, whose Go type is `go_name` in the package `package`; `args` has the Go type
/// `go_type`. Its keys are for every plugin of a list.
pub fn args_of_cni<'d>(conf: &Object<'d>, go_type: &str, package: &str, go_name: &'static str) -> Option<Object<'d>> {
    let args = conf.object("args", go_type, "")?.shared();
    Some(args.object("cni", &format!("{package}.{go_name}"), go_name)?.shared())
}

/// `mtu` of a veth pair: none, and anything below 1, leaves it to the kernel.
pub fn mtu(conf: &Object<'_>) -> Option<u32> {
    conf.int("mtu").filter(|mtu| *mtu > 0).map(|mtu| u32::try_from(mtu).unwrap_or(u32::MAX))
}
