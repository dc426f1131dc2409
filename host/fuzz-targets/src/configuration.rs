//! Network configurations: files of a directory, and what a runtime passes on standard input.

use serde_json::{Map, Value, json};
use wasm_cni_spec::network::Network;

/// A configuration is refused, or the plugins get JSON with the network's name and version from it; and what the result
/// cache keeps of it can be read again.
pub fn configuration(bytes: &[u8]) {
    for network in [Network::parse_list(bytes), Network::parse_single(bytes)].into_iter().flatten() {
        let capabilities = Map::from_iter([("mac".to_owned(), json!("02:00:00:00:00:01"))]);
        for plugin in &network.plugins {
            assert!(!plugin.kind.is_empty());
            let text = plugin.text(&network, &capabilities);
            let value: Value = serde_json::from_str(&text).expect("plugins get JSON");
            assert_eq!((&value["name"], &value["cniVersion"]), (&json!(network.name), &json!(network.cni_version)));
        }
        let again = Network::parse_list(&network.source).expect("the cache keeps what can be read");
        assert_eq!((&again.name, &again.cni_version), (&network.name, &network.cni_version));
        let kinds = |network: &Network| network.plugins.iter().map(|plugin| plugin.kind.clone()).collect::<Vec<_>>();
        assert_eq!(kinds(&again), kinds(&network));
    }
}
