//! The configuration: validated by being parsed.

use cni_plugin::decode::Document;
use cni_plugin::masquerade::Masquerade;
use cni_plugin::netconf::{self, NetConf};
use cni_plugin::{Dns, Failure, Mistake, validate, veth};

/// What stands in front of faults of decoding.
const FAILED: &str = "failed to load netconf: ";

/// A configuration that makes sense.
#[derive(Debug)]
pub(crate) struct Config {
    /// Of both ends.
    pub(crate) mtu: Option<u32>,
    /// The IPAM plugin; none for a bare pair.
    pub(crate) ipam: Option<String>,
    /// In place of IPAM's, if it is given.
    pub(crate) dns: Option<Dns>,
    /// What the host's end is to be called; none leaves it to chance.
    pub(crate) host_interface: Option<String>,
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
            let backend = Masquerade::mistake(config.masquerades(), config.ip_masq_backend.as_deref());
            let ipam = NetConf::mistake_of_ipam(config.ipam.as_deref().unwrap_or_default(), false);
            let name = veth::mistake_of_name(config.host_interface.as_deref());
            [backend, ipam, name].into_iter().flatten().collect()
        })
    }

    fn read(document: &Document) -> Self {
        let conf = document.root("NetConf");
        let NetConf { ipam, dns, has_dns } = NetConf::read(&conf.embedded("NetConf"));
        Self {
            mtu: netconf::mtu(&conf),
            ipam: Some(ipam).filter(|ipam| !ipam.is_empty()),
            dns: has_dns.then_some(dns),
            host_interface: conf.text(veth::HOST_INTERFACE_NAME).filter(|name| !name.is_empty()),
            ip_masq: conf.flag("ipMasq"),
            ip_masq_backend: conf.text("ipMasqBackend"),
        }
    }

    /// Source NAT, if it is asked for; for an attachment with addresses.
    pub(crate) fn masquerade(&self) -> Result<Option<Masquerade>, Failure> {
        Masquerade::from_keys(self.masquerades(), self.ip_masq_backend.as_deref())
    }

    fn masquerades(&self) -> bool {
        self.ip_masq && self.ipam.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_required_to_parse() {
        let config = Config::parse(r#"{"mtu":-1,"ipam":null}"#).unwrap();
        assert_eq!((config.mtu, config.ipam.as_deref(), config.dns.is_some()), (None, None, false));
        assert_eq!((config.masquerade(), config.host_interface), (Ok(None), None));
    }

    #[test]
    fn an_empty_list_of_dns_and_a_name_of_the_host_s_end_are_given() {
        let config = Config::parse(r#"{"dns":{"search":[]},"hostInterfaceName":"web0","ipMasq":true}"#).unwrap();
        assert_eq!((config.dns.is_some(), config.host_interface.as_deref()), (true, Some("web0")));
        // Without addresses there is nothing to masquerade.
        assert_eq!(config.masquerade(), Ok(None));
    }

    #[test]
    fn wrong_types_are_named_as_go_names_them() {
        for (config, text) in [
            (r#"{"mtu":"x"}"#, "string into Go struct field NetConf.mtu of type int"),
            (r#"{"ipMasq":3}"#, "number into Go struct field NetConf.ipMasq of type bool"),
            (r#"{"hostInterfaceName":3}"#, "number into Go struct field NetConf.hostInterfaceName of type string"),
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
            found(
                r#"{"mtu":"x","ipMasq":true,"ipMasqBackend":"x","ipMask":true,"ipam":{"type":"a/b"},"hostInterfaceName":"a b"}"#
            ),
            [
                mistake("mtu", mtu, false),
                mistake("ipMasqBackend", "unknown ipmasq backend \"x\"", false),
                mistake("ipam.type", "invalid plugin name: a/b", false),
                mistake(
                    "hostInterfaceName",
                    "failed to make veth pair: an interface name holds no /, :, % or white space",
                    false,
                ),
                mistake("ipMask", "unknown key: did you mean ipMasq?", true),
            ]
        );
        assert_eq!(found(r#"{"ipam":{"type":"host-local","subnet":"10.0.0.0/24"},"mtu":1400}"#), []);
    }
}
