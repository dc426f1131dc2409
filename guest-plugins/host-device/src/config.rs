//! The configuration. Must not know: which devices there are.

use cni_plugin::decode::{Document, Object};
use cni_plugin::devices::Bus;
use cni_plugin::netconf::{self, NetConf};
use cni_plugin::{Dns, Failure, Mistake, link, validate};

use crate::selector::{NO_DEVICE, NOT_FOUND, Selector, kernel_path, parse_mac};

/// What stands in front of faults of decoding.
const FAILED: &str = "failed to load netconf: ";

/// `runtimeConfig`'s type, as Go names it.
const RUNTIME_CONFIG: &str = r#"struct { DeviceID string "json:\"deviceID,omitempty\"" }"#;

/// A configuration. Of texts, empty is none.
#[derive(Debug)]
pub(crate) struct Config {
    /// `runtimeConfig.deviceID`: of either bus.
    pub(crate) device_id: String,
    /// `pciBusID`.
    pub(crate) pci_address: String,
    /// Given; a device of PCI shows it itself.
    pub(crate) dpdk: bool,
    /// The IPAM plugin; empty for none.
    pub(crate) ipam: String,
    pub(crate) dns: Dns,
    name: String,
    mac: String,
    kernel_path: String,
    /// The runtime is to say which device, at ADD.
    told_later: bool,
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
            let selection = config.require_selection().err().map(|failure| Mistake::new("device", failure.msg));
            let device = config.mistake_of_selector();
            let ipam = NetConf::mistake_of_ipam(&config.ipam, false);
            [selection, device, ipam].into_iter().flatten().collect()
        })
    }

    fn read(document: &Document) -> Self {
        let conf = document.root("NetConf");
        let NetConf { ipam, dns, .. } = NetConf::read(&conf.embedded("NetConf"));
        let runtime = netconf::runtime_config(&conf, RUNTIME_CONFIG);
        let capabilities = conf.embedded("NetConf").object("capabilities", "map[string]bool", "").map(Object::shared);
        let text = |key| conf.text(key).unwrap_or_default();
        Self {
            device_id: runtime.and_then(|runtime| runtime.text("deviceID")).unwrap_or_default(),
            pci_address: text("pciBusID"),
            dpdk: conf.flag("DPDKMode"),
            ipam,
            dns,
            name: text("device"),
            mac: text("hwaddr"),
            kernel_path: text("kernelpath"),
            told_later: capabilities.is_some_and(|capabilities| capabilities.flag("deviceID")),
        }
    }

    /// What ADD would say of the device that is selected, whatever devices there are.
    fn mistake_of_selector(&self) -> Option<Mistake> {
        let (key, why) = match self.selector(None).ok()? {
            Selector::Name(name) => ("device", link::check_name(&name).err().map(|_| NOT_FOUND.to_owned())),
            Selector::Mac(text) => ("hwaddr", parse_mac(&text).err().map(|failure| failure.msg)),
            Selector::KernelPath(path) => ("kernelpath", kernel_path(&path).err().map(|failure| failure.msg)),
            Selector::Hardware(..) => return None,
        };
        Some(Mistake::new(key, format!("{NO_DEVICE}: {}", why?)))
    }

    /// The first of what is given; `hardware` stands for `pciBusID` and
    /// `runtimeConfig.deviceID`.
    pub(crate) fn selector(&self, hardware: Option<(Bus, String)>) -> Result<Selector, Failure> {
        let given =
            |text: &String, selector: fn(String) -> Selector| (!text.is_empty()).then(|| selector(text.clone()));
        given(&self.name, Selector::Name)
            .or_else(|| given(&self.mac, Selector::Mac))
            .or_else(|| given(&self.kernel_path, Selector::KernelPath))
            .or_else(|| hardware.map(|(bus, name)| Selector::Hardware(bus, name)))
            .ok_or_else(|| r#"specify either "device", "hwaddr", "kernelpath" or "pciBusID""#.into())
    }

    /// Whether a device is selected, or will be at ADD.
    pub(crate) fn require_selection(&self) -> Result<(), Failure> {
        let by_hardware = self.told_later || !self.device_id.is_empty() || !self.pci_address.is_empty();
        self.selector(by_hardware.then(|| (Bus::Pci, String::new()))).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(config: &str) -> Config {
        Config::parse(config).unwrap()
    }

    #[test]
    fn the_first_selector_counts() {
        let pci = || Some((Bus::Pci, "0000:00:19.0".to_owned()));
        for (config, selector) in [
            (r#"{"device":"d0","hwaddr":"x","kernelpath":"y"}"#, Selector::Name("d0".into())),
            (r#"{"device":"","kernelpath":"y","HwAddr":"x"}"#, Selector::Mac("x".into())),
            (r#"{"kernelpath":"y"}"#, Selector::KernelPath("y".into())),
            (r#"{"pciBusID":"ignored here"}"#, Selector::Hardware(Bus::Pci, "0000:00:19.0".into())),
        ] {
            assert_eq!(parse(config).selector(pci()), Ok(selector));
        }
    }

    #[test]
    fn something_has_to_select_a_device() {
        let nothing = r#"specify either "device", "hwaddr", "kernelpath" or "pciBusID""#;
        for config in ["{}", r#"{"DPDKMode":true,"device":"","runtimeConfig":null}"#] {
            assert_eq!(parse(config).require_selection().unwrap_err().msg, nothing);
        }
        for config in [
            r#"{"device":"d0"}"#,
            r#"{"pciBusID":"0000:00:19.0"}"#,
            r#"{"runtimeConfig":{"deviceID":"mlx5_core.sf.2"}}"#,
            r#"{"capabilities":{"deviceID":true}}"#,
        ] {
            assert_eq!(parse(config).require_selection(), Ok(()), "{config}");
        }
        // What the runtime was to say is of no use at ADD, if it did not.
        assert!(parse(r#"{"capabilities":{"deviceID":true}}"#).selector(None).is_err());
    }

    #[test]
    fn wrong_types_are_named_as_go_names_them() {
        for (config, text) in [
            (r#"{"device":3}"#, "number into Go struct field NetConf.device of type string"),
            (r#"{"hwaddr":3}"#, "number into Go struct field NetConf.hwaddr of type string"),
            (r#"{"kernelpath":3}"#, "number into Go struct field NetConf.kernelpath of type string"),
            (r#"{"pciBusID":3}"#, "number into Go struct field NetConf.pciBusID of type string"),
            (r#"{"DPDKMode":1}"#, "number into Go struct field NetConf.DPDKMode of type bool"),
            (
                r#"{"runtimeConfig":{"deviceID":3}}"#,
                "number into Go struct field .runtimeConfig.deviceID of type string",
            ),
            (
                r#"{"runtimeConfig":3}"#,
                "number into Go struct field NetConf.runtimeConfig of type \
                 struct { DeviceID string \"json:\\\"deviceID,omitempty\\\"\" }",
            ),
        ] {
            let failure = Config::parse(config).unwrap_err();
            assert_eq!(failure.msg, format!("failed to load netconf: json: cannot unmarshal {text}"));
        }
    }

    #[test]
    fn every_mistake_is_found_at_once() {
        let found = |config| {
            let mistakes = Config::validate(config).into_iter();
            mistakes.map(|mistake| format!("{}: {}", mistake.key, mistake.msg)).collect::<Vec<_>>()
        };
        let failed = "failed to find host device:";
        for (config, expected) in [
            (r#"{"device":"sixteen-bytes-xx"}"#, format!("device: {failed} Link not found")),
            (
                r#"{"hwaddr":"zz"}"#,
                format!("hwaddr: {failed} failed to parse MAC address \"zz\": address zz: invalid MAC address"),
            ),
            (
                r#"{"kernelpath":"/foo"}"#,
                format!(
                    "kernelpath: {failed} kernel device path \"/foo\" must be absolute and begin with /sys/devices/"
                ),
            ),
            (r#"{"device":"d0","hwadr":"x"}"#, "hwadr: unknown key: did you mean hwaddr?".to_owned()),
        ] {
            assert_eq!(found(config), [expected], "{config}");
        }
        let many = found(r#"{"DPDKMode":1,"ipam":{"type":"../x"}}"#);
        assert_eq!(many.len(), 3, "{many:?}");
        // Only the first selector counts.
        assert!(found(r#"{"device":"d0","hwaddr":"zz","capabilities":{"deviceID":true,"mac":true}}"#).is_empty());
    }
}
