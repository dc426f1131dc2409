//! The keys of a configuration that grants go by.

use serde_json::{Map, Value};
use wasm_cni_spec::network::field;

/// The keys of a configuration that grants go by.
#[derive(Clone, Debug, Default)]
pub struct Requested {
    /// `ipam.type`
    pub(super) ipam: Option<String>,
    /// `ipam.dataDir`
    pub(super) data_dir: Option<String>,
    /// `ipam.resolvConf`
    pub(super) resolv_conf: Option<String>,
    /// `ipMasq`
    masquerade: bool,
    /// `ipMasqBackend`
    backend: Option<String>,
    /// `forceAddress`
    pub(super) force_address: bool,
}

impl Requested {
    /// Those of a plugin's configuration.
    #[must_use]
    pub fn of(config: &Map<String, Value>) -> Self {
        let ipam = field(config, "ipam").and_then(Value::as_object);
        let text = |key: &str| {
            let text = ipam.and_then(|ipam| field(ipam, key)).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Self {
            ipam: text("type"),
            data_dir: text("dataDir"),
            resolv_conf: text("resolvConf"),
            masquerade: field(config, "ipMasq") == Some(&Value::Bool(true)),
            backend: field(config, "ipMasqBackend").and_then(Value::as_str).map(str::to_owned),
            force_address: field(config, "forceAddress") == Some(&Value::Bool(true)),
        }
    }

    /// Whether it masquerades by iptables, where iptables is installed.
    #[must_use]
    pub fn masquerades_by_iptables(&self) -> bool {
        self.masquerade && self.backend.as_deref() != Some("nftables")
    }
}
