//! The configuration: validated by being parsed.

use cni_plugin::decode::Document;
use cni_plugin::masquerade::Masquerade;
use cni_plugin::{Dns, Failure, result};

/// A configuration that makes sense.
#[derive(Debug)]
pub(crate) struct Config {
    /// Of both ends.
    pub(crate) mtu: Option<u32>,
    /// The IPAM plugin; there has to be one.
    pub(crate) ipam: String,
    pub(crate) dns: Dns,
    ip_masq: bool,
    ip_masq_backend: Option<String>,
}

impl Config {
    /// From the configuration's JSON.
    pub(crate) fn parse(config: &str) -> Result<Self, Failure> {
        let failed = |text| format!("failed to load netconf: {text}");
        let document = Document::parse(config).map_err(failed)?;
        let conf = document.root("NetConf");
        let inherited = conf.embedded("NetConf");
        let ipam = inherited.object("ipam", "types.IPAM", "IPAM");
        // Of no use here, but checked.
        inherited.text("name");
        inherited.text("type");
        inherited.object("capabilities", "map[string]bool", "");
        inherited.object("prevResult", "map[string]interface {}", "");
        inherited.list("cni.dev/valid-attachments", "[]types.GCAttachment");
        let config = Self {
            mtu: conf.int("mtu").filter(|mtu| *mtu > 0).map(|mtu| u32::try_from(mtu).unwrap_or(u32::MAX)),
            ipam: ipam.and_then(|ipam| ipam.text("type")).unwrap_or_default(),
            dns: result::dns(&inherited),
            ip_masq: conf.flag("ipMasq"),
            ip_masq_backend: conf.text("ipMasqBackend"),
        };
        document.finish().map_err(failed)?;
        Ok(config)
    }

    /// Source NAT, if it is asked for.
    pub(crate) fn masquerade(&self) -> Result<Option<Masquerade>, Failure> {
        Masquerade::from_keys(self.ip_masq, self.ip_masq_backend.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_required_to_parse() {
        let config = Config::parse(r#"{"mtu":-1,"ipam":null}"#).unwrap();
        assert_eq!((config.mtu, config.ipam.as_str()), (None, ""));
        assert_eq!(config.masquerade(), Ok(None));
    }

    #[test]
    fn wrong_types_are_named_as_go_names_them() {
        for (config, text) in [
            (r#"{"mtu":"x"}"#, "string into Go struct field NetConf.mtu of type int"),
            (r#"{"ipMasq":3}"#, "number into Go struct field NetConf.ipMasq of type bool"),
            (r#"{"ipMasqBackend":3}"#, "number into Go struct field NetConf.ipMasqBackend of type string"),
            (r#"{"ipam":3}"#, "number into Go struct field NetConf.NetConf.ipam of type types.IPAM"),
        ] {
            let failure = Config::parse(config).unwrap_err();
            assert_eq!(failure.msg, format!("failed to load netconf: json: cannot unmarshal {text}"));
        }
    }
}
