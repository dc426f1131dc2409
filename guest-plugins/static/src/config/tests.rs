//! What a configuration comes to, and what is said of one that makes no sense.

use super::*;

const TEN: &str = r#""ipam":{"addresses":[{"address":"10.0.0.5/24","gateway":"10.0.0.1"}]}"#;

fn parse(members: &str, cni_args: &str) -> Result<Config, Failure> {
    Config::parse(&format!(r#"{{"cniVersion":"1.0.0","name":"n1",{members}}}"#), cni_args)
}

fn refusal(members: &str, cni_args: &str) -> String {
    parse(members, cni_args).unwrap_err().msg
}

/// An address, or `ADDRESS via GATEWAY`.
fn addresses(members: &str, cni_args: &str) -> Vec<String> {
    let addresses = parse(members, cni_args).unwrap().addresses;
    let text =
        |Address { net, gateway, .. }| gateway.map_or(format!("{net}"), |gateway| format!("{net} via {gateway}"));
    addresses.into_iter().map(text).collect()
}

#[test]
fn wrong_types_are_named_as_go_names_them() {
    const INTO: &str = "json: cannot unmarshal number into Go struct field ";
    for (members, text) in [
        (r#""ipam":3"#, "Net.ipam of type main.IPAMConfig"),
        (r#""ipam":{"name":3}"#, "IPAMConfig.ipam.Name of type string"),
        (r#""ipam":{"type":3}"#, "IPAMConfig.ipam.type of type string"),
        (r#""ipam":{"routes":3}"#, "IPAMConfig.ipam.routes of type []*types.Route"),
        (r#""ipam":{"dns":3}"#, "IPAMConfig.ipam.dns of type types.DNS"),
        (r#""ipam":{"dns":{"search":[3]}}"#, "DNS.ipam.dns.search of type string"),
        (r#""ipam":{"addresses":3}"#, "IPAMConfig.ipam.addresses of type []main.Address"),
        (r#""ipam":{"addresses":[3]}"#, "IPAMConfig.ipam.addresses of type main.Address"),
        (r#""ipam":{"addresses":[{"address":3}]}"#, "Address.ipam.addresses.address of type string"),
        (r#""ipam":{"addresses":[{"gateway":3}]}"#, "Address.ipam.addresses.gateway of type net.IP"),
        (r#""ipam":{"addresses":[{"version":3}]}"#, "Address.ipam.addresses.Version of type string"),
        (r#""args":3"#, "Net.args of type struct { A *main.IPAMArgs \"json:\\\"cni\\\"\" }"),
        (r#""args":{"cni":3}"#, ".args.cni of type main.IPAMArgs"),
        (r#""args":{"cni":{"ips":3}}"#, "IPAMArgs.args.cni.ips of type []string"),
        (r#""args":{"cni":{"ips":[3]}}"#, "IPAMArgs.args.cni.ips of type string"),
        (r#""runtimeConfig":3"#, "Net.runtimeConfig of type struct { IPs []string \"json:\\\"ips,omitempty\\\"\" }"),
        (r#""runtimeConfig":{"ips":3}"#, ".runtimeConfig.ips of type []string"),
        (r#""runtimeConfig":{"ips":[3]}"#, ".runtimeConfig.ips of type string"),
    ] {
        assert_eq!(refusal(members, ""), format!("{INTO}{text}"), "{members}");
    }
}

#[test]
fn bad_values_have_the_reference_s_texts() {
    const ADDRESS: &str = "the 'address' field is expected to be in CIDR notation, got: ";
    const ENTRY: &str = "an entry in the 'ips' field is NOT in CIDR notation, got: ";
    for (members, text) in [
        (r#""x":1"#, "IPAM config missing 'ipam' key".to_owned()),
        (r#""ipam":null"#, "IPAM config missing 'ipam' key".to_owned()),
        (r#""ipam":{"addresses":[{"address":"10.0.0.5"}]}"#, format!("{ADDRESS}'10.0.0.5'")),
        (r#""ipam":{"addresses":[{"address":" 10.0.0.5/24"}]}"#, format!("{ADDRESS}' 10.0.0.5/24'")),
        (r#""ipam":{"addresses":[{}]}"#, format!("{ADDRESS}''")),
        (r#""ipam":{"addresses":[null]}"#, format!("{ADDRESS}''")),
        (r#""ipam":{"addresses":[{"address":"x","gateway":"10.0.0"}]}"#, "invalid IP address: 10.0.0".to_owned()),
        (r#""ipam":{},"args":{"cni":{"ips":["10.0.0.5"]}}"#, format!("{ENTRY}'10.0.0.5'")),
        (r#""ipam":{},"runtimeConfig":{"ips":[null]}"#, format!("{ENTRY}''")),
        (r#""ipam":{},"args":{"cni":{"ips":["a"]}},"runtimeConfig":{"ips":["b"]}"#, format!("{ENTRY}'a'")),
    ] {
        assert_eq!(refusal(members, ""), text, "{members}");
    }
}

#[test]
fn bad_cni_args_have_the_reference_s_texts() {
    const IP: &str = "the 'ip' field is expected to be in CIDR notation, got: ";
    for (cni_args, text) in [
        ("IP=10.0.0.6", format!("{IP}'10.0.0.6'")),
        ("IP=10.0.0.6/24, x ", format!("{IP}'x'")),
        ("IP=10.0.0.6/24,", format!("{IP}''")),
        ("GATEWAY=10.0.0.1, x ", "invalid gateway address:  x ".into()),
        ("GATEWAY=10.0.0.1,", "invalid gateway address: ".into()),
        ("IP=x;GATEWAY=y", format!("{IP}'x'")),
        ("ip=10.0.0.6/24", r#"ARGS: unknown args ["ip=10.0.0.6/24"]"#.into()),
        ("IP", r#"ARGS: invalid pair "IP""#.into()),
    ] {
        assert_eq!(refusal(TEN, cni_args), text, "{cni_args}");
        // Also of addresses that are replaced.
        assert_eq!(refusal(&format!(r#"{TEN},"runtimeConfig":{{"ips":["10.3.0.5/16"]}}"#), cni_args), text);
    }
}

#[test]
fn cni_args_add_and_the_lists_replace() {
    let args = r#""args":{"cni":{"ips":["10.2.0.5/16","fd02::5/64"]}}"#;
    let runtime = r#""runtimeConfig":{"ips":["10.3.0.5/16"]}"#;
    let added = "IgnoreUnknown=1;K8S=x;IP=10.1.0.5/16";
    assert_eq!(addresses(TEN, ""), ["10.0.0.5/24 via 10.0.0.1"]);
    assert_eq!(addresses(TEN, added), ["10.0.0.5/24 via 10.0.0.1", "10.1.0.5/16"]);
    assert_eq!(addresses(&format!("{TEN},{args}"), added), ["10.2.0.5/16", "fd02::5/64"]);
    assert_eq!(addresses(&format!("{TEN},{args},{runtime}"), added), ["10.3.0.5/16"]);
}

#[test]
fn an_address_that_is_asked_for_has_the_gateway_of_its_subnet() {
    let asked = |ips: &str, cni_args: &str| {
        let conf = r#""ipam":{"addresses":[{"address":"x","gateway":"10.9.0.1"},
            {"address":"10.0.0.5/24","gateway":"10.0.0.1"},{"address":"10.7.0.5/24"},
            {"address":"fd00::5/64","gateway":"fe80::1"}]}"#;
        addresses(&format!(r#"{conf},"runtimeConfig":{{"ips":[{ips}]}}"#), cni_args)
    };
    assert_eq!(
        asked(r#""10.0.0.50/24","10.0.0.51/16","10.1.0.50/24","10.7.0.50/24","fd00::50/64""#, ""),
        [
            "10.0.0.50/24 via 10.0.0.1",
            "10.0.0.51/16 via 10.0.0.1",
            "10.1.0.50/24",
            "10.7.0.50/24",
            "fd00::50/64 via fe80::1",
        ]
    );
    let of_args = "IP=10.1.0.9/24;GATEWAY=10.1.0.1";
    assert_eq!(asked(r#""10.1.0.50/24""#, of_args), ["10.1.0.50/24 via 10.1.0.1"]);
}

#[test]
fn an_address_as_the_go_type_writes_itself_is_taken() {
    let marshalled = r#""ipam":{"addresses":[{"address":"10.0.0.5/24","gateway":"10.0.0.1",
        "Address":{"IP":"10.0.0.5","Mask":"////AA=="},"Version":"4"}]}"#;
    assert_eq!(addresses(marshalled, ""), ["10.0.0.5/24 via 10.0.0.1"]);
    assert_eq!(addresses(r#""ipam":{"addresses":[{"ADDRESS":"10.0.0.5/24"}]}"#, ""), ["10.0.0.5/24"]);
    // It alone is not enough, and it has a type.
    let cidr = "the 'address' field is expected to be in CIDR notation, got: ''";
    assert_eq!(refusal(r#""ipam":{"addresses":[{"Address":{"IP":"10.0.0.5","Mask":"////AA=="}}]}"#, ""), cidr);
    let into = "json: cannot unmarshal string into Go struct field Address.ipam.addresses.Address of type net.IPNet";
    assert_eq!(refusal(r#""ipam":{"addresses":[{"Address":"10.0.0.5/24"}]}"#, ""), into);
}

#[test]
fn an_empty_list_replaces_nothing_and_no_address_is_needed() {
    let empty = r#""args":{"cni":{"ips":[]}},"runtimeConfig":{"ips":null}"#;
    assert_eq!(addresses(&format!("{TEN},{empty}"), "IP=;GATEWAY="), ["10.0.0.5/24 via 10.0.0.1"]);
    assert!(addresses(r#""ipam":{}"#, "").is_empty());
}

#[test]
fn what_is_replaced_need_not_be_an_address() {
    let bad = r#""ipam":{"addresses":[{"address":"x"}]},"args":{"cni":{"ips":["10.2.0.5/16"]}}"#;
    assert_eq!(addresses(bad, ""), ["10.2.0.5/16"]);
}

#[test]
fn gateways_of_cni_args_are_for_addresses_of_cni_args() {
    let added = "IP= 10.0.0.6/24 ,10.0.0.7/16,fd00::6/64;GATEWAY= 10.0.0.2,10.0.9.1 , fd00::1";
    assert_eq!(
        addresses(TEN, added),
        ["10.0.0.5/24 via 10.0.0.1", "10.0.0.6/24 via 10.0.0.2", "10.0.0.7/16 via 10.0.9.1", "fd00::6/64 via fd00::1"]
    );
}

#[test]
fn mapped_addresses_are_the_addresses() {
    let mapped = r#""ipam":{"addresses":[{"address":"::ffff:10.0.0.5/120","gateway":"::ffff:10.0.0.1"}]}"#;
    let added = "IP=::ffff:10.0.0.6/120;GATEWAY=10.0.0.2";
    assert_eq!(addresses(mapped, added), ["10.0.0.5/24 via 10.0.0.1", "10.0.0.6/24 via 10.0.0.2"]);
}

#[test]
fn before_0_3_0_a_family_has_one_address() {
    let parse = |version, cni_args| {
        let config = format!(r#"{{"cniVersion":"{version}",{TEN}}}"#);
        Config::parse(&config, cni_args).map(|config| config.addresses.len()).map_err(|failure| failure.msg)
    };
    for version in ["", "0.1.0", "0.2.0"] {
        let text = format!("CNI version {version} does not support more than 1 address per family");
        assert_eq!(parse(version, "IP=::ffff:10.0.0.6/120"), Err(text));
        assert_eq!(parse(version, "IP=fd00::6/64"), Ok(2));
    }
    assert_eq!(parse("0.3.0", "IP=10.0.0.6/24"), Ok(2));
}

#[test]
fn check_wants_the_common_keys_to_have_their_types() {
    for (members, text) in [
        (r#""type":3"#, "type of type string"),
        (r#""capabilities":3"#, "capabilities of type map[string]bool"),
        (r#""dns":3"#, "dns of type types.DNS"),
        (r#""prevResult":3"#, "prevResult of type map[string]interface {}"),
        (r#""cni.dev/valid-attachments":3"#, "cni.dev/valid-attachments of type []types.GCAttachment"),
    ] {
        let failure = validate_common(&format!("{{{members}}}")).unwrap_err();
        let into = "failed to load netconf: json: cannot unmarshal number into Go struct field PluginConf.";
        assert_eq!(failure.msg, format!("{into}{text}"));
    }
}
