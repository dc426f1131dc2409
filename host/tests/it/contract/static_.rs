//! Check 59: `static`.

use serde_json::{Value, json};

use super::{Container, fixed, plugin, refused, with};
use crate::machine::Machine;

/// 10.1.0.5/24 and its gateway, where nothing else is said.
fn config(members: Value) -> Value {
    with(&plugin("static", json!({ "ipam": fixed("10.1.0.5/24", Some("10.1.0.1")) })), members)
}

fn by_args(ips: &[&str]) -> Value {
    json!({ "args": { "cni": { "ips": ips } } })
}

fn by_runtime(ips: &[&str]) -> Value {
    json!({ "runtimeConfig": { "ips": ips } })
}

#[test]
fn check_59_precedence_of_addresses() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let c1 = c1.with("CNI_ARGS", "IP=10.2.0.7/16, fd00::7/64;GATEWAY=10.2.0.1,fd00::1");
    let own = json!({ "address": "10.1.0.5/24", "gateway": "10.1.0.1" });
    let asked = [
        json!({ "address": "10.2.0.7/16", "gateway": "10.2.0.1" }),
        json!({ "address": "fd00::7/64", "gateway": "fd00::1" }),
    ];
    let [asked_by_args, asked_by_runtime] = [by_args(&["10.3.0.7/16"]), by_runtime(&["10.4.0.7/16", "10.5.0.7/16"])];
    for (members, ips) in [
        (json!({}), json!([own, asked[0], asked[1]])),
        // What is empty replaces nothing.
        (by_args(&[]), json!([own, asked[0], asked[1]])),
        (asked_by_args.clone(), json!([{ "address": "10.3.0.7/16" }])),
        (asked_by_runtime.clone(), json!([{ "address": "10.4.0.7/16" }, { "address": "10.5.0.7/16" }])),
        (with(&asked_by_args, asked_by_runtime), json!([{ "address": "10.4.0.7/16" }, { "address": "10.5.0.7/16" }])),
    ] {
        let result = c1.add(&config(members)).unwrap();
        assert_eq!(result, json!({ "cniVersion": "1.0.0", "ips": ips }));
    }
    assert_eq!(machine.devices("-n c1 "), ["lo"]);
}

#[test]
fn check_59_gateway_is_of_the_addresses_that_come_with_it() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1").with("CNI_ARGS", "IP=10.1.0.7/24,10.2.0.7/24;GATEWAY=10.1.0.9");
    for (gateway, own) in [
        (None, json!({ "address": "10.1.0.5/24" })),
        (Some("10.1.0.1"), json!({ "address": "10.1.0.5/24", "gateway": "10.1.0.1" })),
    ] {
        let result = c1.add(&config(json!({ "ipam": fixed("10.1.0.5/24", gateway) }))).unwrap();
        let asked = json!({ "address": "10.1.0.7/24", "gateway": "10.1.0.9" });
        assert_eq!(result["ips"], json!([own, asked, { "address": "10.2.0.7/24" }]));
    }
}

#[test]
fn check_59_invalid_addresses_are_refused() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    for (args, text) in [
        ("IP=10.2.0.7", "the 'ip' field is expected to be in CIDR notation, got: '10.2.0.7'"),
        ("GATEWAY=foo", "invalid gateway address: foo"),
        ("MAC=02:00:00:00:00:01", r#"ARGS: unknown args ["MAC=02:00:00:00:00:01"]"#),
    ] {
        assert_eq!(c1.with("CNI_ARGS", args).add(&config(json!({}))), refused(text));
    }
    let not_cidr = "an entry in the 'ips' field is NOT in CIDR notation, got: '10.2.0.7'";
    for (members, text) in [
        (by_args(&["10.2.0.7"]), not_cidr),
        (by_runtime(&["10.2.0.7"]), not_cidr),
        (
            json!({ "ipam": fixed("10.1.0.5", None) }),
            "the 'address' field is expected to be in CIDR notation, got: '10.1.0.5'",
        ),
        (
            with(&json!({ "cniVersion": "0.2.0" }), by_runtime(&["10.1.0.5/24", "10.2.0.5/24"])),
            "CNI version 0.2.0 does not support more than 1 address per family",
        ),
        (json!({ "ipam": null }), "IPAM config missing 'ipam' key"),
    ] {
        assert_eq!(c1.add(&config(members)), refused(text));
    }
}

#[test]
fn check_59_an_address_is_taken_as_it_is() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    for (given, address) in [("10.1.2.3/8", "10.1.2.3/8"), ("::ffff:10.1.0.5/120", "10.1.0.5/24")] {
        let result = c1.add(&config(json!({ "ipam": fixed(given, None) }))).unwrap();
        assert_eq!(result["ips"], json!([{ "address": address }]));
    }
    let none = c1.add(&config(json!({ "ipam": { "type": "static" } })));
    assert_eq!(none, Ok(json!({ "cniVersion": "1.0.0" })));
}

#[test]
fn check_59_del_does_not_look_at_the_configuration() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    for ipam in [json!(3), Value::Null, fixed("zz", Some("zz"))] {
        for args in ["", "IP=zz", "A"] {
            let reply = c1.with("CNI_ARGS", args).del(&config(json!({ "ipam": ipam })));
            assert_eq!(reply, Ok(Value::Null), "{ipam} {args}");
        }
    }
}

#[test]
fn check_59_check_compares_gateways() {
    let machine = Machine::new();
    let c1 = Container::new(&machine, "c1");
    let config = config(json!({}));
    let had = |ips: Value| c1.check(&config, &json!({ "cniVersion": "1.0.0", "ips": ips }));
    assert_eq!(had(json!([{ "address": "10.1.0.5/24", "gateway": "10.1.0.1" }])), Ok(Value::Null));
    let other = refused("static: Failed to match addr 10.1.0.5 on interface eth0");
    assert_eq!(had(json!([{ "address": "10.1.0.5/24", "gateway": "10.1.0.2" }])), other);
    // One that is not there passes, whatever its gateway was.
    assert_eq!(had(json!([{ "address": "10.1.0.6/24", "gateway": "10.1.0.2" }])), Ok(Value::Null));
    assert_eq!(had(json!([])), Ok(Value::Null));
    assert_eq!(c1.call("CHECK", &config), refused("Required prevResult missing"));
}
