//! Check 49: `loopback`.

use serde_json::{Value, json};

use super::{Container, plugin, refused, with};
use crate::machine::{Machine, script};

fn loopback() -> Value {
    plugin("loopback", json!({}))
}

fn is_up(container: &Container<'_>) -> bool {
    container.ip("link show lo")[0]["flags"].as_array().unwrap().contains(&json!("UP"))
}

#[test]
fn check_49_lo_is_up_with_both_its_addresses() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let result = c1.add(&loopback()).unwrap();
    let lo = json!({ "name": "lo", "mac": "00:00:00:00:00:00", "sandbox": "/run/netns/c1" });
    let ips = json!([{ "address": "127.0.0.1/8", "interface": 0 }, { "address": "::1/128", "interface": 0 }]);
    assert_eq!(result, json!({ "cniVersion": "1.0.0", "interfaces": [lo], "ips": ips }));
    assert!(is_up(&c1));
    assert_eq!(c1.check(&loopback(), &result), Ok(Value::Null));
}

#[test]
fn check_49_without_ipv6_there_is_one_address() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    script(&machine, "ip netns exec c1 sysctl -qw net.ipv6.conf.lo.disable_ipv6=1");
    assert_eq!(c1.add(&loopback()).unwrap()["ips"], json!([{ "address": "127.0.0.1/8", "interface": 0 }]));
}

/// The reference prints results of 1.0.0 as they are for any version but none.
#[test]
fn check_49_results_are_of_the_version_asked_for() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let old = json!({ "ip4": { "ip": "127.0.0.1/8" }, "ip6": { "ip": "::1/128" }, "dns": {} });
    for (version, printed) in [(None, "0.1.0"), (Some("0.1.0"), "0.1.0"), (Some("0.2.0"), "0.2.0")] {
        let mut config = with(&loopback(), json!({ "cniVersion": version }));
        if version.is_none() {
            config.as_object_mut().unwrap().remove("cniVersion");
        }
        assert_eq!(c1.add(&config), Ok(with(&old, json!({ "cniVersion": printed }))));
    }
    for version in ["0.3.0", "0.3.1", "0.4.0"] {
        let result = c1.add(&with(&loopback(), json!({ "cniVersion": version }))).unwrap();
        assert_eq!((&result["cniVersion"], &result["dns"]), (&json!(version), &json!({})));
        assert_eq!(result["ips"][1], json!({ "version": "6", "address": "::1/128", "interface": 0 }));
    }
    assert_eq!(c1.add(&with(&loopback(), json!({ "cniVersion": "1.1.0" }))).unwrap()["cniVersion"], "1.1.0");
}

#[test]
fn check_49_a_previous_result_is_echoed() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let previous = json!({
        "cniVersion": "1.0.0",
        "interfaces": [{ "name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/c1" }],
        "ips": [{ "address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 0 }],
        "routes": [{ "dst": "0.0.0.0/0", "gw": "10.1.0.1" }],
        "dns": { "nameservers": ["10.1.0.1"] },
    });
    assert_eq!(c1.add(&with(&loopback(), json!({ "prevResult": previous }))), Ok(previous));
    assert!(is_up(&c1));
}

#[test]
fn check_49_another_address_is_refused() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    script(&machine, "ip -n c1 addr add 10.1.0.2/24 dev lo");
    let text = r#"loopback interface found with non-loopback address "10.1.0.2""#;
    assert_eq!(c1.add(&loopback()), refused(text));
    // The reference leaves it up.
    assert!(!is_up(&c1));
}

#[test]
fn check_49_del_takes_it_down_and_check_says_so() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let result = c1.add(&loopback()).unwrap();
    for _ in 0..2 {
        assert_eq!(c1.del(&loopback()), Ok(Value::Null));
        assert!(!is_up(&c1));
    }
    assert_eq!(c1.check(&loopback(), &result), refused("loopback interface is down"));
    for netns in ["", "/run/netns/gone"] {
        assert_eq!(c1.with("CNI_NETNS", netns).del(&loopback()), Ok(Value::Null));
    }
    let gone = refused(r#"failed to Statfs "/run/netns/gone": no such file or directory"#);
    assert_eq!(c1.with("CNI_NETNS", "/run/netns/gone").check(&loopback(), &result), gone);
}
