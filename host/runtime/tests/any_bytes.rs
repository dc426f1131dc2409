//! Any bytes give a value or an error, never a panic; and what is printed can
//! be read again.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};
use wasm_cni::{
    Attachment, Network, Runtime,
    config::PluginConfig,
    exec::{Exec, ExecCall, ExecOutput},
    protocol::{Reply, answer},
    result::{Success, parse as parse_result, render as render_result},
};

/// JSON of some depth, with the keys that mean something.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,12}",
        Just("10.0.0.5/24".to_owned()),
        Just("fd00::5/64".to_owned()),
        Just("10.0.0.1".to_owned()),
        Just("1.1.0".to_owned()),
        Just("0.2.0".to_owned()),
        Just("bridge".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let key = prop_oneof![
            "[a-zA-Z.]{0,8}",
            Just("name".to_owned()),
            Just("type".to_owned()),
            Just("cniVersion".to_owned()),
            Just("cniVersions".to_owned()),
            Just("plugins".to_owned()),
            Just("interfaces".to_owned()),
            Just("ips".to_owned()),
            Just("address".to_owned()),
            Just("routes".to_owned()),
            Just("dst".to_owned()),
            Just("ip4".to_owned()),
            Just("ip".to_owned()),
            Just("dns".to_owned()),
            Just("prevResult".to_owned()),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn success() -> impl Strategy<Value = Value> {
    let ip = (any::<u32>(), 0..=32_u8, any::<bool>(), prop::option::of(0..3_u32)).prop_map(
        |(ip, prefix, gateway, interface)| {
            let address = std::net::Ipv4Addr::from_bits(ip);
            let mut json = json!({ "address": format!("{address}/{prefix}") });
            if gateway {
                json["gateway"] = address.to_string().into();
            }
            if let Some(interface) = interface {
                json["interface"] = interface.into();
            }
            json
        },
    );
    let ip6 = (any::<u128>(), 0..=128_u8)
        .prop_map(|(ip, prefix)| json!({ "address": format!("{}/{prefix}", std::net::Ipv6Addr::from_bits(ip)) }));
    let route =
        (any::<u32>(), 0..=32_u8, any::<u32>(), prop::option::of(any::<u8>())).prop_map(|(ip, prefix, mtu, scope)| {
            let mut json = json!({ "dst": format!("{}/{prefix}", std::net::Ipv4Addr::from_bits(ip)), "mtu": mtu });
            if let Some(scope) = scope {
                json["scope"] = scope.into();
            }
            json
        });
    let interface = ("[a-z]{1,8}", any::<u32>()).prop_map(|(name, mtu)| json!({ "name": name, "mtu": mtu }));
    (
        prop::collection::vec(interface, 0..3),
        prop::collection::vec(prop_oneof![ip, ip6], 1..4),
        prop::collection::vec(route, 0..3),
    )
        .prop_map(|(interfaces, ips, routes)| {
            json!({ "cniVersion": "1.1.0", "interfaces": interfaces, "ips": ips, "routes": routes })
        })
}

fn any_output() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 0..100), value().prop_map(|json| json.to_string().into_bytes())]
}

/// Executables that all say the same.
struct Said(ExecOutput);

impl Exec for Said {
    fn find(&self, kind: &str, folders: &[PathBuf]) -> Option<PathBuf> {
        Some(folders[0].join(kind))
    }

    fn run(&self, _: &ExecCall) -> std::io::Result<ExecOutput> {
        Ok(self.0.clone())
    }
}

fn read(json: &Value) -> Success {
    parse_result(json, "").unwrap()
}

proptest! {
    #[test]
    fn configurations(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Network::parse_list(&bytes);
        let _ = Network::parse_single(&bytes);
        let _ = PluginConfig::parse(&bytes);
    }

    #[test]
    fn configurations_that_are_json(json in value()) {
        let text = json.to_string();
        let _ = Network::parse_list(text.as_bytes());
        if let Ok(network) = Network::parse_single(text.as_bytes()) {
            let _ = network.plugins[0].derive(&network, &serde_json::Map::new());
        }
    }

    #[test]
    fn results(json in value(), version in prop_oneof!["[0-9.]{0,6}", Just("1.0.0".to_owned())]) {
        if let Ok(success) = parse_result(&json, &version) {
            for version in wasm_cni::result::SUPPORTED_VERSIONS {
                let _ = render_result(&success, version);
            }
            let _ = render_result(&success, &version);
        }
    }

    #[test]
    fn what_a_plugin_is_called_with(stdin in prop::collection::vec(any::<u8>(), 0..200), values in prop::collection::vec("[ -~]{0,20}", 5)) {
        let names = ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"];
        let env = |name: &str| names.iter().position(|n| *n == name).map(|i| values[i].clone()).unwrap_or_default();
        let runtime = || Err(wasm_cni::CniError::internal("not in this test"));
        let mut stdout = Vec::new();
        let mut write = |text: &[u8]| {
            stdout.extend_from_slice(text);
            Ok(())
        };
        let Reply { status, .. } = answer("bridge", &env, &mut stdin.as_slice(), &mut write, &runtime);
        prop_assert!(status == 0 || serde_json::from_slice::<wasm_cni::CniError>(&stdout).is_ok());
    }

    #[test]
    fn what_an_executable_prints(stdout in any_output(), stderr in any_output(), ok in any::<bool>(), command in 0..3_u8) {
        let folder = tempfile::tempdir().unwrap();
        let status = if ok { Ok(()) } else { Err("exit status 1".to_owned()) };
        let said = Said(ExecOutput { status, stdout, stderr });
        let runtime = Runtime::builder().bundled(wasm_cni_bundled::PLUGINS).root(folder.path()).plugin_dirs(["/p".into()]).exec(said).build().unwrap();
        let list = br#"{"name":"n","cniVersion":"1.1.0","plugins":[{"type":"p"}]}"#;
        let network = Network::parse_list(list).unwrap();
        let at = Attachment::new("c", "e", "");
        let ended = match command {
            0 => runtime.add(&network, &at).map(drop),
            1 => runtime.del(&network, &at),
            _ => runtime.versions("p").map(drop),
        };
        prop_assert!(ended.is_err() || ok);
    }

    /// Current to current is the identity; through the older schema everything
    /// survives that it can say.
    #[test]
    fn round_trips(json in success()) {
        let success = read(&json);
        for version in ["1.0.0", "1.1.0"] {
            prop_assert_eq!(&read(&render_result(&success, version).unwrap()), &success);
        }
        for version in ["0.3.0", "0.3.1", "0.4.0"] {
            let mut expected = success.clone();
            for interface in &mut expected.interfaces {
                interface.mtu = 0;
            }
            prop_assert_eq!(&read(&render_result(&success, version).unwrap()), &expected);
        }
        for version in ["0.1.0", "0.2.0"] {
            let legacy = render_result(&success, version).unwrap();
            // Once more changes nothing.
            prop_assert_eq!(render_result(&read(&legacy), version).unwrap(), legacy);
        }
    }
}
