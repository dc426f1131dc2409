//! Every mistake of a configuration, where ADD stops at the first: the checks are those of
//! ADD, asked of each address.

use cni_plugin::decode::Object;
use cni_plugin::{Mistake, validate};

use crate::config::{Given, NO_IPAM, Read, args, asked, entries, ipam, runtime, too_many};

/// Every mistake of a configuration.
pub(crate) fn mistakes(config: &str) -> Vec<Mistake> {
    validate::every(config, "", |document| {
        // The other members are the interface plugin's.
        let net = document.root("Net").shared();
        judge(&Read::of(&net), &net);
        Vec::new()
    })
}

/// What ADD would say of each address, and of all of them.
fn judge(read: &Read, net: &Object<'_>) {
    for conf in [args(net), runtime(net)].into_iter().flatten() {
        for item in conf.list("ips", "[]string").unwrap_or_default() {
            item.text().and_then(|text| asked(&[text]).err()).into_iter().for_each(|why| item.reject(why));
        }
    }
    let Some(ipam) = ipam(net) else {
        if net.is_absent("ipam") {
            net.reject("ipam", NO_IPAM);
        }
        return;
    };
    // Addresses that are replaced are not looked at.
    if read.by_args.is_empty() && read.by_runtime.is_empty() {
        let mut addresses = Vec::new();
        for members in entries(&ipam) {
            match Given::read(&members).address() {
                Ok(address) => addresses.push(address),
                Err(why) => members.reject("address", why),
            }
        }
        too_many(&addresses, &read.version).into_iter().for_each(|why| ipam.reject("addresses", why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_found_at_once() {
        let found = |members: &str| {
            let line =
                |Mistake { key, msg, harmless }| format!("{key}: {msg}{}", if harmless { " (harmless)" } else { "" });
            let mistakes = mistakes(&format!(r#"{{"type":"bridge","isGateway":true,{members}}}"#));
            mistakes.into_iter().map(line).collect::<Vec<_>>()
        };
        let members = r#""ipam":{"type":"static","addresses":[{"address":"10.0.0.5"},{"address":"10.0.0.6/24"},
            {"adress":"10.0.0.7/24","gateway":"10.0.0.300"},{"address":"10.0.0.8/24"}],"route":[]}"#;
        let cidr = "the 'address' field is expected to be in CIDR notation, got:";
        assert_eq!(
            found(members),
            [
                "ipam.addresses[2].gateway: invalid IP address: 10.0.0.300".to_owned(),
                format!("ipam.addresses[0].address: {cidr} '10.0.0.5'"),
                format!("ipam.addresses[2].address: {cidr} ''"),
                "ipam.addresses: CNI version  does not support more than 1 address per family".to_owned(),
                "ipam.addresses[2].adress: unknown key: did you mean address? (harmless)".to_owned(),
                "ipam.route: unknown key: did you mean routes? (harmless)".to_owned(),
            ]
        );
        let asked = r#""ipam":{"addresses":[{"address":"x"}]},"runtimeConfig":{"ips":["a","10.0.0.5/24"],"mac":"x"}"#;
        let entry = "an entry in the 'ips' field is NOT in CIDR notation, got: 'a'";
        assert_eq!(found(asked), [format!("runtimeConfig.ips[0]: {entry}")]);
        assert_eq!(found(r#""x":1"#), ["ipam: IPAM config missing 'ipam' key"]);
    }
}
