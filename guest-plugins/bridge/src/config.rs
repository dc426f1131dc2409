//! The configuration: validated by being parsed.

use cni_plugin::decode::Document;
use cni_plugin::masquerade::Masquerade;
use cni_plugin::netconf::{self, NetConf};
use cni_plugin::veth::{self, HOST_INTERFACE_NAME, MAKE_PAIR};
use cni_plugin::{Dns, Failure, Mistake, Output, args, go, link, mac, validate};

use crate::vlan::Vlans;

/// What stands in front of faults of decoding.
const FAILED: &str = "failed to load netconf: ";
/// What the reference says of a bridge without a name.
pub(crate) const NO_NAME: &str = "could not add \"\": LinkAttrs.Name cannot be empty";

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
    /// The key that it stands under.
    mac_key: &'static str,
    /// The IPAM plugin; none for a port on layer 2.
    pub(crate) ipam: Option<String>,
    /// In place of IPAM's, if it is given.
    pub(crate) dns: Option<Dns>,
    /// What the host's end is to be called; none leaves it to chance.
    pub(crate) host_interface: Option<String>,
    /// Drop frames of the container that have another source address than its own.
    pub(crate) spoof_check: bool,
    ip_masq: bool,
    ip_masq_backend: Option<String>,
}

impl Config {
    /// From the configuration's JSON and CNI_ARGS.
    pub(crate) fn parse(config: &str, cni_args: &str) -> Result<Self, Failure> {
        let mut config = Document::decode(config, FAILED, Self::read)?;
        let mut mac = String::new();
        args::parse(cni_args, |key, value| {
            if key == "MAC" {
                value.clone_into(&mut mac);
            }
            Ok(key == "MAC")
        })?;
        config.mac = config.mac.or_else(|| given(Some(mac)));
        Ok(config)
    }

    /// Every mistake of a configuration.
    pub(crate) fn validate(config: &str) -> Vec<Mistake> {
        validate::every(config, FAILED, |document| Self::read(document).mistakes().collect())
    }

    fn read(document: &Document) -> Self {
        let conf = document.root("NetConf");
        let NetConf { ipam, dns, has_dns } = NetConf::read(&conf.embedded("NetConf"));
        let mac_of_args = netconf::args_of_cni(&conf, ARGS_TYPE, "main", "BridgeArgs").and_then(|cni| cni.text("mac"));
        let mac_of_runtime =
            netconf::runtime_config(&conf, RUNTIME_CONFIG_TYPE).and_then(|runtime| given(runtime.text("mac")));
        let is_default_gateway = conf.flag("isDefaultGateway");
        Self {
            bridge: conf.text("bridge").unwrap_or_else(|| "cni0".to_owned()),
            is_gateway: conf.flag("isGateway") || is_default_gateway,
            is_default_gateway,
            force_address: conf.flag("forceAddress"),
            mtu: netconf::mtu(&conf),
            hairpin: conf.flag("hairpinMode"),
            promisc: conf.flag("promiscMode"),
            vlans: Vlans::read(&conf),
            isolated: conf.flag("portIsolation"),
            enable_dad: conf.flag("enabledad"),
            disable_container_interface: conf.flag("disableContainerInterface"),
            mac_key: if mac_of_runtime.is_some() { "runtimeConfig.mac" } else { "args.cni.mac" },
            mac: mac_of_runtime.or_else(|| given(mac_of_args)),
            ipam: given(Some(ipam)),
            dns: has_dns.then_some(dns),
            host_interface: given(conf.text(HOST_INTERFACE_NAME)),
            spoof_check: conf.flag("macspoofchk"),
            ip_masq: conf.flag("ipMasq"),
            ip_masq_backend: conf.text("ipMasqBackend"),
        }
    }

    /// Whether an ADD makes sense: what DEL and CHECK do not ask.
    pub(crate) fn permits_add(&self) -> Result<(), Failure> {
        validate::first(self.contradictions())
    }

    fn contradictions(&self) -> impl Iterator<Item = Mistake> {
        let ipam = (self.ipam.is_some() && self.disable_container_interface).then(|| {
            Mistake::new("disableContainerInterface", "cannot use IPAM when DisableContainerInterface flag is set")
        });
        let modes = (self.hairpin && self.promisc)
            .then(|| Mistake::new("hairpinMode", "cannot set hairpin mode and promiscuous mode at the same time"));
        let backend = self.masquerade().err().map(|failure| Mistake::new("ipMasqBackend", failure.msg));
        [ipam, modes, backend].into_iter().flatten()
    }

    /// Those too that ADD only meets on its way.
    fn mistakes(&self) -> impl Iterator<Item = Mistake> {
        let at = format!("failed to create bridge {}", go::quoted(&self.bridge));
        let name = match link::check_name(&self.bridge) {
            Err(_) if self.bridge.is_empty() => Some(format!("{at}: {NO_NAME}")),
            name => name.err().map(|why| format!("{at}: {why}")),
        };
        let has_interface = self.is_gateway && self.ipam.is_some() && self.vlans.access != 0 && name.is_none();
        let vlan = has_interface.then(|| self.vlan_interface()).and_then(|name| {
            let why = link::check_name(&name).err()?;
            let name = go::quoted(&name);
            Some(Mistake::new(
                "vlan",
                format!("failed to create vlan interface: failed to find interface {name}: {why}"),
            ))
        });
        // That of CNI_ARGS is in no configuration.
        let mac = self.mac().err().map(|why| Mistake::new(self.mac_key, format!("{MAKE_PAIR}: {why}")));
        let masquerades = self.ip_masq && self.ipam.is_some();
        let idle = Masquerade::mistake(masquerades, self.ip_masq_backend.as_deref()).filter(|mistake| mistake.harmless);
        let ipam = NetConf::mistake_of_ipam(self.ipam.as_deref().unwrap_or_default(), false);
        let name = name.map(|text| Mistake::new("bridge", text));
        let host_end = veth::mistake_of_name(self.host_interface.as_deref());
        self.contradictions().chain([name, vlan, mac, host_end, idle, ipam].into_iter().flatten())
    }

    /// The name of the bridge's interface in the VLAN of its containers.
    pub(crate) fn vlan_interface(&self) -> String {
        format!("{}.{}", self.bridge, self.vlans.access)
    }

    /// Is this the name of the bridge, or of its interface in a VLAN? Of the bridge of now, or of
    /// the one that the ADD's `result` begins with.
    pub(crate) fn is_shared(&self, interface: &str, result: Option<&Output>) -> bool {
        let then = result.and_then(|result| result.interfaces.first()).map(|first| first.name.as_str());
        [Some(self.bridge.as_str()), then].into_iter().flatten().any(|bridge| {
            let rest = interface.strip_prefix(bridge);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
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

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
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
            (r#""hostInterfaceName":3"#, "number", "NetConf.hostInterfaceName of type string"),
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
    fn every_mistake_is_found_at_once() {
        let config = r#"{"type":"bridge","bridge":"a-name-of-21-bytes-xx","isGatway":true,"isGateway":"yes","vlan":5000,
            "vlanTrunk":[{"minID":0,"maxID":9,"tag":1},{"id":4095}],"hairpinMode":true,"promiscMode":true,"ipMasq":true,
            "ipMasqBackend":"nft","runtimeConfig":{"mac":"zz","portMappings":[]},"dns":{"nameserver":"x"},
            "ipam":{"type":"a/b","subnet":"10.0.0.0/33"}}"#;
        let lines: Vec<_> = Config::validate(config)
            .into_iter()
            .map(|Mistake { key, msg, harmless }| format!("{key}: {msg}{}", if harmless { " (harmless)" } else { "" }))
            .collect();
        assert_eq!(
            lines,
            [
                "isGateway: failed to load netconf: json: cannot unmarshal string into Go struct field \
                 NetConf.isGateway of type bool",
                "vlan: invalid VLAN ID 5000 (must be between 0 and 4094)",
                "vlanTrunk[0].minID: incorrect trunk minID parameter",
                "vlanTrunk[1].id: incorrect trunk id parameter",
                "hairpinMode: cannot set hairpin mode and promiscuous mode at the same time",
                "ipMasqBackend: unknown ipmasq backend \"nft\"",
                "bridge: failed to create bridge \"a-name-of-21-bytes-xx\": an interface name has 1 to 15 bytes",
                "runtimeConfig.mac: failed to make veth pair: address zz: invalid MAC address",
                "ipam.type: invalid plugin name: a/b",
                "isGatway: unknown key: did you mean isGateway? (harmless)",
                "vlanTrunk[0].tag: unknown key (harmless)",
                "dns.nameserver: unknown key: did you mean nameservers? (harmless)",
            ]
        );
        assert_eq!(Config::validate(r#"{"type":"bridge","args":{"cni":{"x":1}},"capabilities":{"x":true}}"#), []);
        let idle = Config::validate(r#"{"ipMasqBackend":"nft"}"#);
        assert_eq!((idle.len(), idle[0].harmless), (1, true));
    }

    #[test]
    fn the_interface_in_a_vlan_has_a_name_that_fits() {
        let config = r#"{"bridge":"eleven-long","vlan":4000,"isGateway":true,"ipam":{"type":"x"}}"#;
        let text = "failed to create vlan interface: failed to find interface \"eleven-long.4000\": \
                    an interface name has 1 to 15 bytes";
        assert_eq!(Config::validate(config)[0].msg, text);
    }

    #[test]
    fn an_empty_list_of_dns_and_a_name_of_the_host_s_end_are_given() {
        let config = parse(r#""dns":{"nameservers":[]},"hostInterfaceName":"web0""#).unwrap();
        assert_eq!((config.dns.is_some(), config.host_interface.as_deref()), (true, Some("web0")));
        let config = parse(r#""dns":{"nameservers":null},"hostInterfaceName":"""#).unwrap();
        assert_eq!((config.dns, config.host_interface), (None, None));
        let mistakes = Config::validate(r#"{"hostInterfaceName":"all"}"#);
        assert_eq!((mistakes.len(), mistakes[0].key.as_str()), (1, "hostInterfaceName"));
    }

    #[test]
    fn the_bridge_of_then_is_shared_as_the_bridge_of_now() {
        let config = parse(r#""bridge":"br1""#).unwrap();
        let names = ["br0", "veth0", "eth0", "br0.100"];
        let interfaces = names.map(|name| cni_plugin::result::named(name, "")).into();
        let result = Output { interfaces, ..Output::default() };
        let shared = names.into_iter().filter(|name| config.is_shared(name, Some(&result)));
        assert!(shared.eq(["br0", "br0.100"]));
        assert!(
            config.is_shared("br1.7", None) && !config.is_shared("br0.100", None) && !config.is_shared("br10", None)
        );
    }

    #[test]
    fn a_default_gateway_is_a_gateway() {
        assert!(parse(r#""ISDEFAULTGATEWAY":true"#).unwrap().is_gateway);
    }
}
