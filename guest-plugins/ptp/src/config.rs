//! The configuration: validated by being parsed.

use cni_plugin::decode::Document;
use cni_plugin::masquerade::Masquerade;
use cni_plugin::netconf::{self, NetConf};
use cni_plugin::{Dns, Failure, Mistake, validate};

/// What stands in front of faults of decoding.
const FAILED: &str = "failed to load netconf: ";

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
        Document::decode(config, FAILED, Self::read)
    }

    /// Every mistake of a configuration.
    pub(crate) fn validate(config: &str) -> Vec<Mistake> {
        validate::every(config, FAILED, |document| {
            let config = Self::read(document);
            let backend = Masquerade::mistake(config.ip_masq, config.ip_masq_backend.as_deref());
            backend.into_iter().chain(NetConf::mistake_of_ipam(&config.ipam, true)).collect()
        })
    }

    fn read(document: &Document) -> Self {
        let conf = document.root("NetConf");
        let NetConf { ipam, dns } = NetConf::read(&conf.embedded("NetConf"));
        Self {
            mtu: netconf::mtu(&conf),
            ipam,
            dns,
            ip_masq: conf.flag("ipMasq"),
            ip_masq_backend: conf.text("ipMasqBackend"),
        }
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

    #[test]
    fn every_mistake_is_found_at_once() {
        let found = |config| {
            let mistakes = Config::validate(config).into_iter();
            mistakes.map(|mistake| (mistake.key, mistake.msg, mistake.harmless)).collect::<Vec<_>>()
        };
        let mistake = |key: &str, msg: &str, harmless| (key.to_owned(), msg.to_owned(), harmless);
        let mtu = "failed to load netconf: json: cannot unmarshal string into Go struct field NetConf.mtu of type int";
        assert_eq!(
            found(r#"{"mtu":"x","ipMasq":true,"ipMasqBackend":"x","ipMask":true}"#),
            [
                mistake("mtu", mtu, false),
                mistake("ipMasqBackend", "unknown ipmasq backend \"x\"", false),
                mistake("ipam.type", "no plugin name provided", false),
                mistake("ipMask", "unknown key: did you mean ipMasq?", true),
            ]
        );
        assert_eq!(found(r#"{"ipam":{"type":"host-local","subnet":"10.0.0.0/24"},"mtu":1400}"#), []);
    }
}
