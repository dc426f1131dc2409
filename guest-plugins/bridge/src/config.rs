//! The configuration: validated by being parsed.

use cni_plugin::decode::{Document, Object};
use cni_plugin::masquerade::Masquerade;
use cni_plugin::{Dns, Failure, args, mac, result};

use crate::vlan::{Vlans, trunk};

/// A configuration that makes sense.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) bridge: String,
    pub(crate) is_gateway: bool,
    pub(crate) is_default_gateway: bool,
    /// Replace an address of the bridge that is in the way.
    pub(crate) force_address: bool,
    pub(crate) mtu: Option<u32>,
    pub(crate) hairpin: bool,
    pub(crate) promisc: bool,
    pub(crate) vlans: Vlans,
    pub(crate) isolated: bool,
    pub(crate) enable_dad: bool,
    pub(crate) disable_container_interface: bool,
    /// The container's MAC as text: whether it is one shows when it is used.
    mac: Option<String>,
    /// The IPAM plugin; none for a port on layer 2.
    pub(crate) ipam: Option<String>,
    pub(crate) dns: Dns,
    /// Drop frames of the container that have another source address than its own.
    pub(crate) spoof_check: bool,
    ip_masq: bool,
    ip_masq_backend: Option<String>,
}

impl Config {
    /// From the configuration's JSON and CNI_ARGS.
    pub(crate) fn parse(config: &str, cni_args: &str) -> Result<Self, Failure> {
        let failed = |text| format!("failed to load netconf: {text}");
        let document = Document::parse(config).map_err(failed)?;
        let conf = document.root("NetConf");
        let inherited = conf.embedded("NetConf");
        let ipam = inherited.object("ipam", "types.IPAM", "IPAM");
        let mac_of_args = mac_of_args(&conf);
        let mac_of_runtime =
            conf.object("runtimeConfig", RUNTIME_CONFIG_TYPE, "").and_then(|runtime| runtime.text("mac"));
        // Of no use here, but checked.
        inherited.text("name");
        inherited.text("type");
        inherited.object("capabilities", "map[string]bool", "");
        inherited.object("prevResult", "map[string]interface {}", "");
        inherited.list("cni.dev/valid-attachments", "[]types.GCAttachment");
        let vlan = conf.int("vlan").unwrap_or(0);
        let trunk_items = conf.list("vlanTrunk", "[]*main.VlanTrunk");
        let trunk = trunk_items.map(|items| trunk(&items));
        let is_default_gateway = conf.flag("isDefaultGateway");
        let mut config = Self {
            bridge: conf.text("bridge").unwrap_or_else(|| "cni0".to_owned()),
            is_gateway: conf.flag("isGateway") || is_default_gateway,
            is_default_gateway,
            force_address: conf.flag("forceAddress"),
            mtu: conf.int("mtu").filter(|mtu| *mtu > 0).map(|mtu| u32::try_from(mtu).unwrap_or(u32::MAX)),
            hairpin: conf.flag("hairpinMode"),
            promisc: conf.flag("promiscMode"),
            vlans: Vlans { keep_default: conf.flag("preserveDefaultVlan"), ..Vlans::default() },
            isolated: conf.flag("portIsolation"),
            enable_dad: conf.flag("enabledad"),
            disable_container_interface: conf.flag("disableContainerInterface"),
            mac: None,
            ipam: ipam.and_then(|ipam| ipam.text("type")).filter(|plugin| !plugin.is_empty()),
            dns: result::dns(&inherited),
            spoof_check: conf.flag("macspoofchk"),
            ip_masq: conf.flag("ipMasq"),
            ip_masq_backend: conf.text("ipMasqBackend"),
        };
        document.finish().map_err(failed)?;

        config.vlans.access = u16::try_from(vlan)
            .ok()
            .filter(|id| *id <= 4094)
            .ok_or_else(|| format!("invalid VLAN ID {vlan} (must be between 0 and 4094)"))?;
        config.vlans.trunk = trunk.transpose()?;
        let mut mac = String::new();
        args::parse(cni_args, |key, value| {
            if key == "MAC" {
                value.clone_into(&mut mac);
            }
            Ok(key == "MAC")
        })?;
        config.mac = last_given([Some(mac), mac_of_args, mac_of_runtime]);
        Ok(config)
    }

    /// Whether an ADD makes sense: what DEL and CHECK do not ask.
    pub(crate) fn permits_add(&self) -> Result<(), Failure> {
        if self.ipam.is_some() && self.disable_container_interface {
            return Err("cannot use IPAM when DisableContainerInterface flag is set".into());
        }
        if self.hairpin && self.promisc {
            return Err("cannot set hairpin mode and promiscuous mode at the same time".into());
        }
        self.masquerade().map(drop)
    }

    /// Is this the name of the bridge, or of its interface in a VLAN?
    pub(crate) fn is_shared(&self, interface: &str) -> bool {
        let rest = interface.strip_prefix(self.bridge.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Source NAT, if it is asked for; for an attachment with addresses.
    pub(crate) fn masquerade(&self) -> Result<Option<Masquerade>, Failure> {
        Masquerade::from_keys(self.ip_masq && self.ipam.is_some(), self.ip_masq_backend.as_deref())
    }

    /// The MAC that the container's interface shall have.
    pub(crate) fn mac(&self) -> Result<Option<Vec<u8>>, String> {
        self.mac.as_deref().map(mac::parse).transpose()
    }
}

const ARGS_TYPE: &str = "struct { Cni main.BridgeArgs \"json:\\\"cni,omitempty\\\"\" }";
const RUNTIME_CONFIG_TYPE: &str = "struct { Mac string \"json:\\\"mac,omitempty\\\"\" }";

fn mac_of_args(conf: &Object<'_>) -> Option<String> {
    let args = conf.object("args", ARGS_TYPE, "")?;
    let cni = args.object("cni", "main.BridgeArgs", "BridgeArgs")?;
    cni.text("mac")
}

fn last_given<const N: usize>(macs: [Option<String>; N]) -> Option<String> {
    macs.into_iter().flatten().rfind(|mac| !mac.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(members: &str) -> Result<Config, Failure> {
        Config::parse(&format!(r#"{{"name":"n1",{members}}}"#), "")
    }

    fn refusal(members: &str) -> String {
        parse(members).unwrap_err().msg
    }

    fn refused_add(members: &str) -> Failure {
        parse(members).unwrap().permits_add().unwrap_err()
    }

    #[test]
    fn nothing_given_is_a_port_of_cni0() {
        let config = parse(r#""bridge":null,"mtu":-5"#).unwrap();
        assert_eq!(config.bridge, "cni0");
        assert_eq!((config.mtu, config.ipam.as_deref()), (None, None));
        assert!(config.permits_add().is_ok());
    }

    #[test]
    fn wrong_types_are_named_as_go_names_them() {
        const CANNOT: &str = "failed to load netconf: json: cannot unmarshal ";
        const INTO: &str = " into Go struct field ";
        for (members, kind, field) in [
            (r#""mtu":"x""#, "string", "NetConf.mtu of type int"),
            (r#""mtu":1.5"#, "number 1.5", "NetConf.mtu of type int"),
            (r#""bridge":3"#, "number", "NetConf.bridge of type string"),
            (r#""bridge":[1]"#, "array", "NetConf.bridge of type string"),
            (r#""isGateway":"x""#, "string", "NetConf.isGateway of type bool"),
            (r#""macspoofchk":3"#, "number", "NetConf.macspoofchk of type bool"),
            (r#""ipMasqBackend":3"#, "number", "NetConf.ipMasqBackend of type string"),
            (r#""vlan":"x""#, "string", "NetConf.vlan of type int"),
            (r#""vlanTrunk":{}"#, "object", "NetConf.vlanTrunk of type []*main.VlanTrunk"),
            (r#""vlanTrunk":[3]"#, "number", "NetConf.vlanTrunk of type main.VlanTrunk"),
            (r#""vlanTrunk":[{"id":"a"}]"#, "string", "VlanTrunk.vlanTrunk.id of type int"),
            (r#""type":3"#, "number", "NetConf.NetConf.type of type string"),
            (r#""capabilities":3"#, "number", "NetConf.NetConf.capabilities of type map[string]bool"),
            (r#""prevResult":[]"#, "array", "NetConf.NetConf.prevResult of type map[string]interface {}"),
            (r#""ipam":"x""#, "string", "NetConf.NetConf.ipam of type types.IPAM"),
            (r#""ipam":{"type":3}"#, "number", "IPAM.NetConf.ipam.type of type string"),
            (r#""dns":{"nameservers":"x"}"#, "string", "DNS.NetConf.dns.nameservers of type []string"),
            (r#""args":{"cni":{"mac":3}}"#, "number", "BridgeArgs.args.cni.mac of type string"),
            (r#""args":{"cni":3}"#, "number", ".args.cni of type main.BridgeArgs"),
            (
                r#""args":3"#,
                "number",
                "NetConf.args of type \
                 struct { Cni main.BridgeArgs \"json:\\\"cni,omitempty\\\"\" }",
            ),
            (r#""runtimeConfig":{"mac":3}"#, "number", ".runtimeConfig.mac of type string"),
            (
                r#""runtimeConfig":3"#,
                "number",
                "NetConf.runtimeConfig of type \
                 struct { Mac string \"json:\\\"mac,omitempty\\\"\" }",
            ),
        ] {
            let text = format!("{CANNOT}{kind}{INTO}{field}");
            assert_eq!(refusal(members), text, "{members}");
        }
    }

    #[test]
    fn bad_vlans_have_the_reference_s_texts() {
        for (members, text) in [
            (r#""vlan":4095"#, "invalid VLAN ID 4095 (must be between 0 and 4094)"),
            (r#""vlan":-1"#, "invalid VLAN ID -1 (must be between 0 and 4094)"),
            (r#""vlanTrunk":[{"minID":5}]"#, "minID and maxID should be configured simultaneously, maxID is missing"),
        ] {
            assert_eq!(refusal(members), text);
        }
    }

    #[test]
    fn an_add_refuses_what_contradicts_itself() {
        assert_eq!(
            refused_add(r#""hairpinMode":true,"promiscMode":true"#).msg,
            "cannot set hairpin mode and promiscuous mode at the same time"
        );
        assert_eq!(
            refused_add(r#""disableContainerInterface":true,"ipam":{"type":"x"}"#).msg,
            "cannot use IPAM when DisableContainerInterface flag is set"
        );
    }

    #[test]
    fn masquerade_needs_addresses_and_a_known_backend() {
        let ipam = r#""ipam":{"type":"static"}"#;
        let unknown = format!(r#""ipMasq":true,"ipMasqBackend":"foo",{ipam}"#);
        assert_eq!(refused_add(&unknown).msg, r#"unknown ipmasq backend "foo""#);
        for members in [r#""ipMasqBackend":"foo""#, r#""ipMasq":true,"ipMasqBackend":"foo""#] {
            let config = parse(members).unwrap();
            assert!(config.permits_add().is_ok());
            assert_eq!(config.masquerade(), Ok(None));
        }
        let config = parse(&format!(r#""ipMasq":true,"ipMasqBackend":null,{ipam}"#)).unwrap();
        assert!(config.masquerade().unwrap().is_some());
    }

    #[test]
    fn the_runtime_s_mac_beats_the_network_s_beats_cni_args() {
        let mac = |config: &str, args: &str| Config::parse(config, args).unwrap().mac;
        let args = r#""args":{"cni":{"mac":"b"}}"#;
        let both = format!(r#"{{{args},"runtimeConfig":{{"mac":"c"}}}}"#);
        assert_eq!(mac(&both, "MAC=a").as_deref(), Some("c"));
        assert_eq!(mac(&format!("{{{args}}}"), "MAC=a").as_deref(), Some("b"));
        assert_eq!(mac("{}", "MAC=a").as_deref(), Some("a"));
        assert_eq!(mac(r#"{"runtimeConfig":{"mac":""}}"#, "MAC="), None);
    }

    #[test]
    fn cni_args_know_only_mac() {
        for (args, text) in [
            ("mac=zz", r#"ARGS: unknown args ["mac=zz"]"#),
            ("IP=10.0.0.1", r#"ARGS: unknown args ["IP=10.0.0.1"]"#),
            ("MAC", r#"ARGS: invalid pair "MAC""#),
        ] {
            assert_eq!(Config::parse("{}", args).unwrap_err().msg, text);
        }
        let config = Config::parse("{}", "MAC=zz").unwrap();
        assert_eq!(config.mac(), Err("address zz: invalid MAC address".into()));
    }

    #[test]
    fn a_default_gateway_is_a_gateway() {
        assert!(parse(r#""ISDEFAULTGATEWAY":true"#).unwrap().is_gateway);
    }
}
