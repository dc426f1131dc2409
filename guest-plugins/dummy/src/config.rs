//! The configuration: an IPAM plugin, and nothing more.

use cni_plugin::decode::Document;
use cni_plugin::netconf::NetConf;
use cni_plugin::{Failure, Mistake, validate};

/// What stands in front of faults of decoding.
const FAILED: &str = "failed to parse network config: ";
/// What the reference says where there is no IPAM plugin.
const NO_IPAM: &str = "dummy interface requires an IPAM configuration";

/// The IPAM plugin; empty for none.
pub(crate) fn ipam(config: &str) -> Result<String, Failure> {
    Document::decode(config, FAILED, |document| NetConf::read(&document.root("NetConf")).ipam)
}

/// The IPAM plugin, for an ADD or CHECK.
pub(crate) fn required_ipam(config: &str) -> Result<String, Failure> {
    let ipam = ipam(config)?;
    if ipam.is_empty() { Err(NO_IPAM.into()) } else { Ok(ipam) }
}

/// Every mistake of a configuration.
pub(crate) fn validate(config: &str) -> Vec<Mistake> {
    validate::every(config, FAILED, |document| {
        let NetConf { ipam, .. } = NetConf::read(&document.root("NetConf"));
        let missing = ipam.is_empty().then(|| Mistake::new("ipam.type", NO_IPAM));
        missing.or_else(|| NetConf::mistake_of_ipam(&ipam, false)).into_iter().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipam_plugin_is_required_but_for_del() {
        for config in ["{}", r#"{"ipam":{}}"#, r#"{"ipam":null}"#] {
            assert_eq!(ipam(config).unwrap(), "");
            assert_eq!(required_ipam(config).unwrap_err().msg, "dummy interface requires an IPAM configuration");
        }
        assert_eq!(required_ipam(r#"{"IPAM":{"type":"static"}}"#).unwrap(), "static");
    }

    #[test]
    fn wrong_types_are_named_as_go_names_them() {
        let failed = "failed to parse network config: json: cannot unmarshal number into Go struct field";
        for (config, field) in [
            (r#"{"ipam":3}"#, "NetConf.ipam of type types.IPAM"),
            (r#"{"ipam":{"type":3}}"#, "IPAM.ipam.type of type string"),
            (r#"{"dns":{"domain":3}}"#, "DNS.dns.domain of type string"),
        ] {
            assert_eq!(ipam(config).unwrap_err().msg, format!("{failed} {field}"));
        }
    }

    #[test]
    fn every_mistake_is_found_at_once() {
        let found = |config| {
            let mistakes = validate(config).into_iter();
            mistakes.map(|mistake| (mistake.key, mistake.harmless)).collect::<Vec<_>>()
        };
        let many = found(r#"{"type":"dummy","dns":3,"ipam":{"typ":"static"},"mtu":1400}"#);
        assert_eq!(many, [("dns", false), ("ipam.type", false), ("mtu", true)].map(|(key, h)| (key.to_owned(), h)));
        assert!(found(r#"{"type":"dummy","ipam":{"type":"static","addresses":[]}}"#).is_empty());
    }
}
