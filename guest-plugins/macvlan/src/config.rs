//! The configuration. Must not know: which links there are.

use cni_plugin::decode::Document;
use cni_plugin::macvlan::Mode;
use cni_plugin::netconf::{self, NetConf};
use cni_plugin::{Dns, Failure, Mistake, args, go, link, mac, validate};

/// What stands in front of faults of decoding; DEL spells it in its own way.
const FAILED: &str = "failed to load netconf: ";
const DEL_FAILED: &str = "failed to load netConf: ";
/// `runtimeConfig`'s type, as Go names it.
const RUNTIME_CONFIG: &str = r#"struct { Mac string "json:\"mac,omitempty\"" }"#;
/// What the reference says of a name that no link has.
pub(crate) const NOT_FOUND: &str = "Link not found";

/// A configuration. Of texts, empty is none.
#[derive(Debug)]
pub(crate) struct Config {
    /// The parent; none for the device of the default route.
    pub(crate) master: String,
    /// The parent is in the container.
    pub(crate) link_in_container: bool,
    pub(crate) bc_queue_len: Option<u32>,
    /// The IPAM plugin; empty for an interface without addresses.
    pub(crate) ipam: String,
    pub(crate) dns: Dns,
    mode: String,
    mtu: i64,
    mac: String,
    mac_of_runtime: String,
}

impl Config {
    /// From the configuration's JSON. CNI_ARGS are read when the parent has been found:
    /// see [`read_args`](Self::read_args).
    pub(crate) fn parse(config: &str) -> Result<Self, Failure> {
        Document::decode(config, FAILED, Self::read)
    }

    /// The same for a DEL.
    pub(crate) fn parse_for_del(config: &str) -> Result<Self, Failure> {
        Document::decode(config, DEL_FAILED, Self::read)
    }

    /// Every mistake of a configuration.
    pub(crate) fn validate(config: &str) -> Vec<Mistake> {
        validate::every(config, FAILED, |document| Self::read(document).mistakes().collect())
    }

    fn read(document: &Document) -> Self {
        let conf = document.root("NetConf");
        let NetConf { ipam, dns, .. } = NetConf::read(&conf.embedded("NetConf"));
        let runtime = netconf::runtime_config(&conf, RUNTIME_CONFIG);
        let text = |key| conf.text(key).unwrap_or_default();
        Self {
            master: text("master"),
            link_in_container: conf.flag("linkInContainer"),
            bc_queue_len: conf.uint32("bcqueuelen").filter(|length| *length > 0),
            ipam,
            dns,
            mode: text("mode"),
            mtu: conf.int("mtu").unwrap_or(0),
            mac: text("mac"),
            mac_of_runtime: runtime.and_then(|runtime| runtime.text("mac")).unwrap_or_default(),
        }
    }

    /// What ADD would say of each key, whatever links there are.
    fn mistakes(&self) -> impl Iterator<Item = Mistake> {
        let master = !self.master.is_empty() && link::check_name(&self.master).is_err();
        let mac_key = if self.mac_of_runtime.is_empty() { "mac" } else { "runtimeConfig.mac" };
        let mistakes = [
            master.then(|| Mistake::new("master", NOT_FOUND)),
            // The parent's is not known here.
            (self.mtu < 0).then(|| Mistake::new("mtu", format!("invalid MTU {}, must be [0, master MTU]", self.mtu))),
            self.mode().err().map(|text| Mistake::new("mode", text)),
            self.mac().err().map(|text| Mistake::new(mac_key, text)),
            NetConf::mistake_of_ipam(&self.ipam, false),
        ];
        mistakes.into_iter().flatten()
    }

    /// CNI_ARGS: a MAC there takes precedence over the configuration's.
    pub(crate) fn read_args(&mut self, cni_args: &str) -> Result<(), String> {
        args::parse(cni_args, |key, value| {
            if key == "MAC" && !value.is_empty() {
                value.clone_into(&mut self.mac);
            }
            Ok(key == "MAC")
        })
    }

    /// The MTU of the interface, on a parent with this one; none to inherit it.
    pub(crate) fn mtu(&self, of_master: u32) -> Result<Option<u32>, String> {
        let mtu = u32::try_from(self.mtu).ok().filter(|mtu| *mtu <= of_master);
        let mtu = mtu.ok_or_else(|| format!("invalid MTU {}, must be [0, master MTU({of_master})]", self.mtu))?;
        Ok(Some(mtu).filter(|mtu| *mtu > 0))
    }

    /// Who may talk to whom.
    pub(crate) fn mode(&self) -> Result<Mode, String> {
        match self.mode.as_str() {
            "" | "bridge" => Ok(Mode::Bridge),
            "private" => Ok(Mode::Private),
            "vepa" => Ok(Mode::Vepa),
            "passthru" => Ok(Mode::Passthru),
            other => Err(format!("unknown macvlan mode: {}", go::quoted(other))),
        }
    }

    /// The MAC that the interface shall have; the runtime's takes precedence.
    pub(crate) fn mac(&self) -> Result<Option<Vec<u8>>, String> {
        let text = if self.mac_of_runtime.is_empty() { &self.mac } else { &self.mac_of_runtime };
        if text.is_empty() {
            return Ok(None);
        }
        mac::parse(text).map(Some).map_err(|why| format!("invalid args {text} for MAC addr: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(config: &str) -> Config {
        Config::parse(config).unwrap()
    }

    #[test]
    fn nothing_is_required() {
        let config = parse("{}");
        assert_eq!((config.mode(), config.mac(), config.mtu(1500)), (Ok(Mode::Bridge), Ok(None), Ok(None)));
        assert_eq!((config.master.as_str(), config.bc_queue_len, config.link_in_container), ("", None, false));
    }

    #[test]
    fn modes_have_the_reference_s_names() {
        for (name, mode) in [("private", Mode::Private), ("vepa", Mode::Vepa), ("passthru", Mode::Passthru)] {
            assert_eq!(parse(&format!(r#"{{"mode":"{name}"}}"#)).mode(), Ok(mode));
        }
        let text = "unknown macvlan mode: \"Bridge\"".to_owned();
        assert_eq!(parse(r#"{"mode":"Bridge"}"#).mode(), Err(text));
    }

    #[test]
    fn an_mtu_is_at_most_the_parent_s() {
        let mtu = |mtu: &str| parse(&format!(r#"{{"mtu":{mtu}}}"#)).mtu(1480);
        assert_eq!(mtu("1480"), Ok(Some(1480)));
        assert_eq!(mtu("0"), Ok(None));
        assert_eq!(mtu("1500"), Err("invalid MTU 1500, must be [0, master MTU(1480)]".into()));
        assert_eq!(mtu("-1"), Err("invalid MTU -1, must be [0, master MTU(1480)]".into()));
    }

    #[test]
    fn the_runtime_s_mac_beats_cni_args_beat_the_network_s() {
        let mac = |config: &str, args: &str| {
            let mut config = parse(config);
            config.read_args(args).unwrap();
            config.mac().unwrap().map(|mac| mac[5])
        };
        let [a, b, c] = [1, 2, 3].map(|n| format!("02:00:00:00:00:0{n}"));
        let network = format!(r#""mac":"{a}""#);
        let runtime = format!(r#""runtimeConfig":{{"mac":"{c}"}}"#);
        assert_eq!(mac(&format!("{{{network},{runtime}}}"), &format!("MAC={b}")), Some(3));
        assert_eq!(mac(&format!("{{{network}}}"), &format!("MAC={b}")), Some(2));
        assert_eq!(mac(&format!("{{{network}}}"), "MAC="), Some(1));
        let text = "invalid args zz for MAC addr: address zz: invalid MAC address".to_owned();
        assert_eq!(parse(r#"{"mac":"zz"}"#).mac(), Err(text));
        assert_eq!(parse("{}").read_args("IP=1"), Err(r#"ARGS: unknown args ["IP=1"]"#.into()));
    }

    #[test]
    fn wrong_types_are_named_as_go_names_them() {
        for (config, field) in [
            (r#"{"master":3}"#, "number into Go struct field NetConf.master of type string"),
            (r#"{"mode":3}"#, "number into Go struct field NetConf.mode of type string"),
            (r#"{"mtu":"x"}"#, "string into Go struct field NetConf.mtu of type int"),
            (r#"{"mac":3}"#, "number into Go struct field NetConf.mac of type string"),
            (r#"{"linkInContainer":3}"#, "number into Go struct field NetConf.linkInContainer of type bool"),
            (r#"{"bcqueuelen":-1}"#, "number -1 into Go struct field NetConf.bcqueuelen of type uint32"),
            (r#"{"runtimeConfig":{"mac":3}}"#, "number into Go struct field .runtimeConfig.mac of type string"),
            (r#"{"ipam":3}"#, "number into Go struct field NetConf.NetConf.ipam of type types.IPAM"),
        ] {
            let text = format!("json: cannot unmarshal {field}");
            assert_eq!(Config::parse(config).unwrap_err().msg, format!("{FAILED}{text}"));
            assert_eq!(Config::parse_for_del(config).unwrap_err().msg, format!("failed to load netConf: {text}"));
        }
    }

    #[test]
    fn every_mistake_is_found_at_once() {
        let config = r#"{"type":"macvlan","master":"sixteen-bytes-xx","mode":"foo","mtu":-1,"mac":"zz","mastr":"x",
            "bcqueuelen":"x","ipam":{"type":"a/b","subnet":3}}"#;
        let found: Vec<_> =
            Config::validate(config).into_iter().map(|mistake| (mistake.key, mistake.harmless)).collect();
        let keys = ["bcqueuelen", "master", "mtu", "mode", "mac", "ipam.type", "mastr"];
        assert_eq!(found, keys.map(|key| (key.to_owned(), key == "mastr")));
        assert!(Config::validate(r#"{"type":"macvlan","runtimeConfig":{"mac":"","ips":[]}}"#).is_empty());
    }
}
