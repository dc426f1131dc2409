//! The host's end of a pair: the name that a configuration may give it; a pair without addresses; DNS.

use serde_json::{Value, json};

use super::{Container, bridge, gateway, host_local, msg, plugin, with};
use crate::machine::{Machine, script};

fn ptp(members: Value) -> Value {
    with(&plugin("ptp", json!({ "ipam": host_local(&["10.1.0.0/24"]) })), members)
}

#[test]
fn the_host_s_end_has_the_name_that_is_asked_for() {
    for config in [
        ptp(json!({ "hostInterfaceName": "web0" })),
        gateway(json!({ "hostInterfaceName": "web0" })),
        bridge(json!({ "hostInterfaceName": "web0" })),
    ] {
        let machine = Machine::new();
        let c1 = Container::new(&machine, "c1");
        let result = c1.add(&config).unwrap();
        let at = usize::from(config["type"] == "bridge");
        assert_eq!(result["interfaces"][at]["name"], "web0");
        assert_eq!(machine.ip("link show web0")[0]["linkinfo"]["info_kind"], "veth");
        // It is no other link's: not the next container's either.
        let c2 = Container::new(&machine, "c2");
        let text = "failed to make veth pair: hostInterfaceName \"web0\": the host has a link of this name";
        assert_eq!(msg(c2.add(&config)), text);
        assert_eq!(machine.devices("-n c2 "), ["lo"]);
        assert_eq!(machine.ip("link show web0")[0]["address"], result["interfaces"][at]["mac"]);
        c1.del(&config).unwrap();
        assert!(!machine.devices("").contains(&"web0".to_owned()));
        c2.add(&config).unwrap();
    }
}

#[test]
fn a_name_that_no_link_can_have_or_another_has_is_refused() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    script(&machine, "ip link add taken type bridge");
    for (name, why) in [
        ("taken", "hostInterfaceName \"taken\": the host has a link of this name"),
        ("a b", "an interface name holds no /, :, % or white space"),
        ("sixteen-bytes-xx", "an interface name has 1 to 15 bytes"),
        ("default", "an interface name is not all or default, which name sysctls of every interface"),
    ] {
        for config in [ptp(json!({ "hostInterfaceName": name })), bridge(json!({ "hostInterfaceName": name }))] {
            assert_eq!(msg(c1.add(&config)), format!("failed to make veth pair: {why}"), "{name}");
            assert_eq!((machine.devices("-n c1 "), machine.leases("n1")), (vec!["lo".into()], vec![]));
            assert_eq!(machine.devices(""), ["lo", "taken"]);
        }
    }
    assert_eq!(machine.ip("link show taken")[0]["linkinfo"]["info_kind"], "bridge");
}

#[test]
fn ptp_without_ipam_is_a_bare_pair() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    for members in [json!({ "ipam": null }), json!({ "ipam": {} }), json!({ "ipam": { "type": "" }, "ipMasq": true })] {
        let config = ptp(with(&members, json!({ "mtu": 1400, "dns": { "domain": "d" } })));
        let result = c1.add(&config).unwrap();
        let (port, eth0) = (&result["interfaces"][0], &c1.ip("link show eth0")[0]);
        assert_eq!((&eth0["mtu"], &eth0["operstate"]), (&json!(1400), &json!("UP")));
        assert_eq!((&result["ips"], &result["dns"]), (&Value::Null, &json!({ "domain": "d" })));
        assert_eq!(
            result["interfaces"][1],
            json!({ "name": "eth0", "mac": eth0["address"], "sandbox": "/run/netns/c1" })
        );
        assert_eq!(machine.ip(&format!("link show {}", port["name"].as_str().unwrap()))[0]["address"], port["mac"]);
        assert_eq!(c1.check(&config, &result), Ok(Value::Null));
        assert_eq!(c1.call("STATUS", &with(&config, json!({ "cniVersion": "1.1.0" }))), Ok(Value::Null));
        for _ in 0..2 {
            c1.del(&config).unwrap();
            c1.assert_clean();
        }
    }
}

#[test]
fn a_list_of_dns_that_is_empty_is_given_all_the_same() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let addresses = json!([{ "address": "10.1.0.5/24", "gateway": "10.1.0.1" }]);
    let ipam = json!({ "type": "static", "addresses": addresses, "dns": { "nameservers": ["10.0.0.53"] } });
    for (kind, dns, kept) in [
        ("bridge", json!({ "nameservers": [] }), false),
        ("ptp", json!({ "search": [] }), false),
        ("ptp", json!({ "options": [] }), false),
        ("bridge", json!({ "domain": "" }), true),
        ("ptp", json!({ "nameservers": null }), true),
        ("ptp", json!({}), true),
    ] {
        let config = plugin(kind, json!({ "bridge": "br0", "ipam": ipam, "dns": dns }));
        let result = c1.add(&config).unwrap();
        let expected = if kept { json!({ "nameservers": ["10.0.0.53"] }) } else { Value::Null };
        assert_eq!(result["dns"], expected, "{kind} {dns}");
        c1.del(&config).unwrap();
    }
}
