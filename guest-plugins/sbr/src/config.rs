//! The configuration. Must not know: which links and routes there are.

use std::net::IpAddr;

use cni_plugin::decode::Document;
use cni_plugin::netconf::NetConf;
use cni_plugin::{Failure, Mistake, ip, validate};

/// What stands in front of faults of decoding.
const FAILED: &str = "failed to parse network configuration: ";

/// A configuration.
#[derive(Debug)]
pub(crate) struct Config {
    /// The table that somebody else fills; none for tables of its own.
    pub(crate) table: Option<i64>,
    /// Routes to the networks of the addresses stay in the main table, with the address as their source.
    pub(crate) add_source_hints: bool,
    gateways: Vec<String>,
}

/// Gateways that take the place of the addresses'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gateways {
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
}

impl Gateways {
    pub(crate) fn of(&self, address: IpAddr) -> Option<IpAddr> {
        if address.is_ipv4() { self.v4 } else { self.v6 }
    }
}

impl Config {
    pub(crate) fn parse(config: &str) -> Result<Self, Failure> {
        Document::decode(config, FAILED, Self::read)
    }

    /// Every mistake of a configuration.
    pub(crate) fn validate(config: &str) -> Vec<Mistake> {
        validate::every(config, FAILED, |document| {
            let config = Self::read(document);
            let table = config.table().err().map(|text| Mistake::new("table", text));
            let gateways = config.gateways().err().map(|text| Mistake::new("gateways", text));
            table.into_iter().chain(gateways).collect()
        })
    }

    fn read(document: &Document) -> Self {
        let conf = document.root("PluginConf");
        NetConf::read(&conf.embedded("NetConf"));
        Self {
            table: conf.int("table"),
            add_source_hints: conf.flag("addSourceHints"),
            gateways: conf.texts("gateways"),
        }
    }

    /// The number of the table. The reference takes any, and the kernel makes another of it.
    pub(crate) fn table(&self) -> Result<Option<u32>, String> {
        let Some(number) = self.table else { return Ok(None) };
        let table = u32::try_from(number).ok().filter(|table| *table > 0);
        table.map(Some).ok_or_else(|| format!("invalid table {number} (must be between 1 and {})", u32::MAX))
    }

    /// At most one of a family.
    pub(crate) fn gateways(&self) -> Result<Gateways, String> {
        if self.gateways.len() > 2 {
            return Err("gateways list cannot contain more than 2 entries (one IPv4, one IPv6)".into());
        }
        let mut gateways = Gateways::default();
        for text in &self.gateways {
            let address = ip::parse(text).ok_or_else(|| format!("invalid static gateway IP address: {text}"))?;
            let (family, of) = match address.is_ipv4() {
                true => ("IPv4", &mut gateways.v4),
                false => ("IPv6", &mut gateways.v6),
            };
            if let Some(first) = of {
                return Err(format!("gateways list contains multiple {family} addresses: {first} and {text}"));
            }
            *of = Some(address);
        }
        Ok(gateways)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateways(list: &str) -> Result<Gateways, String> {
        Config::parse(&format!(r#"{{"gateways":{list}}}"#)).unwrap().gateways()
    }

    #[test]
    fn there_is_one_gateway_of_a_family() {
        let both = gateways(r#"["fd00::1","10.1.0.1"]"#).unwrap();
        assert_eq!(both.of("10.9.0.9".parse().unwrap()), "10.1.0.1".parse().ok());
        assert_eq!(both.of("fd09::9".parse().unwrap()), "fd00::1".parse().ok());
        assert_eq!(gateways("[]"), Ok(Gateways::default()));
        for (list, text) in [
            (r#"["1.1.1.1","::1","2.2.2.2"]"#, "gateways list cannot contain more than 2 entries (one IPv4, one IPv6)"),
            (r#"["1.1.1.1","2.2.2.2"]"#, "gateways list contains multiple IPv4 addresses: 1.1.1.1 and 2.2.2.2"),
            (r#"["fd00::1","fd00::2"]"#, "gateways list contains multiple IPv6 addresses: fd00::1 and fd00::2"),
            (r#"["x"]"#, "invalid static gateway IP address: x"),
        ] {
            assert_eq!(gateways(list), Err(text.to_owned()), "{list}");
        }
    }

    #[test]
    fn a_table_has_a_number_that_the_kernel_keeps() {
        let table = |number: &str| Config::parse(&format!(r#"{{"table":{number}}}"#)).unwrap().table();
        assert_eq!((table("4294967295"), table("null")), (Ok(Some(u32::MAX)), Ok(None)));
        for number in ["0", "-1", "4294967296"] {
            let text = format!("invalid table {number} (must be between 1 and 4294967295)");
            assert_eq!(table(number), Err(text));
        }
    }

    #[test]
    fn wrong_types_are_named_as_go_names_them() {
        for (config, field) in [
            (r#"{"table":"x"}"#, "string into Go struct field PluginConf.table of type int"),
            (r#"{"gateways":"x"}"#, "string into Go struct field PluginConf.gateways of type []string"),
            (r#"{"addSourceHints":1}"#, "number into Go struct field PluginConf.addSourceHints of type bool"),
        ] {
            let text = format!("{FAILED}json: cannot unmarshal {field}");
            assert_eq!(Config::parse(config).unwrap_err().msg, text);
        }
    }

    #[test]
    fn every_mistake_is_found_at_once() {
        let config = r#"{"type":"sbr","table":0,"gateways":["x"],"gateway":"10.1.0.1","addSourceHints":3}"#;
        let found: Vec<_> =
            Config::validate(config).into_iter().map(|mistake| (mistake.key, mistake.harmless)).collect();
        let keys = ["addSourceHints", "table", "gateways", "gateway"];
        assert_eq!(found, keys.map(|key| (key.to_owned(), key == "gateway")));
        assert!(Config::validate(r#"{"type":"sbr","gateways":["10.1.0.1"]}"#).is_empty());
    }
}
