//! `static`: the addresses that the configuration or the caller names. Nothing
//! is remembered: two containers may have the same.

mod config;
mod judge;

use std::net::IpAddr;

use cni_plugin::{Call, Failure, IpConfig, IpamPlugin, Mistake, Output};

use crate::config::{Address, Config, validate_common};

/// The plugin.
#[derive(Debug)]
pub struct Static;

impl IpamPlugin for Static {
    fn add(call: &Call) -> Result<Output, Failure> {
        let Config { addresses, routes, dns } = Config::parse(&call.config, &call.args)?;
        let ips = addresses.into_iter().map(IpConfig::from).collect();
        Ok(Output { ips, routes, dns, ..Output::default() })
    }

    fn del(_: &Call) -> Result<(), Failure> {
        Ok(())
    }

    fn check(call: &Call) -> Result<(), Failure> {
        let config = Config::parse(&call.config, &call.args)?;
        validate_common(&call.config)?;
        gateways(&config.addresses, &call.required_prev_result()?.ips, &call.at.ifname)
    }

    fn validate(config: &str) -> Vec<Mistake> {
        judge::mistakes(config)
    }
}

/// Whether the addresses have the gateways that they had. One that is not in
/// the result passes, and so does one without a gateway.
fn gateways(wanted: &[Address], previous: &[IpConfig], ifname: &str) -> Result<(), Failure> {
    for Address { net, gateway, is_lent } in wanted {
        let had = previous.iter().find(|ip| canonical(ip.address.addr) == net.addr());
        let has_another = |had: &IpConfig| match had.gateway.map(canonical) {
            // The reference, whose ADD it may have been, lends none.
            None if *is_lent => false,
            had => had != *gateway,
        };
        if gateway.is_some() && had.is_some_and(has_another) {
            let addr = net.addr();
            return Err(Failure::plain(format!("static: Failed to match addr {addr} on interface {ifname}")));
        }
    }
    Ok(())
}

/// A result may hold IPv4 addresses as mapped ones.
fn canonical(ip: impl Into<IpAddr>) -> IpAddr {
    ip.into().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cni_plugin::IpNet;

    fn call(config: &str, prev: Result<Option<Output>, String>) -> Call {
        Call { config: config.into(), prev, ..Call::default() }
    }

    fn ip(address: &str, gateway: Option<&str>) -> IpConfig {
        IpConfig {
            address: address.parse::<IpNet>().unwrap().into(),
            gateway: gateway.map(|gateway| gateway.parse::<IpAddr>().unwrap().into()),
            iface: None,
        }
    }

    fn checked(addresses: &str, previous: Vec<IpConfig>) -> Result<(), String> {
        let config = format!(r#"{{"cniVersion":"1.0.0","ipam":{{"addresses":[{addresses}]}}}}"#);
        let previous = Output { ips: previous, ..Output::default() };
        Static::check(&call(&config, Ok(Some(previous)))).map_err(|failure| failure.msg)
    }

    #[test]
    fn add_says_what_the_configuration_says() {
        let config = r#"{"ipam":{"addresses":[{"address":"10.0.0.5/24","gateway":"10.0.0.1"}],
            "routes":[{"dst":"::/0"}],"dns":{"domain":"d"}},"dns":{"domain":"of the network"}}"#;
        let output = Static::add(&call(config, Ok(None))).unwrap();
        assert!(output.interfaces.is_empty());
        assert_eq!(output.ips, [ip("10.0.0.5/24", Some("10.0.0.1"))]);
        assert_eq!((output.routes.len(), output.dns.domain.as_str()), (1, "d"));
    }

    #[test]
    fn an_address_must_have_kept_its_gateway() {
        let wanted = r#"{"address":"10.0.0.5/24","gateway":"10.0.0.1"}"#;
        let refused = Err("static: Failed to match addr 10.0.0.5 on interface eth0".to_owned());
        assert_eq!(checked(wanted, vec![ip("10.0.0.5/8", Some("10.0.0.1"))]), Ok(()));
        assert_eq!(checked(wanted, vec![ip("10.0.0.5/24", Some("10.0.0.2"))]), refused);
        assert_eq!(checked(wanted, vec![ip("10.0.0.5/24", None)]), refused);
        assert_eq!(checked(wanted, vec![ip("::ffff:10.0.0.5/120", Some("::ffff:10.0.0.1"))]), Ok(()));
        assert_eq!(checked(wanted, vec![ip("::ffff:10.0.0.5/120", Some("::ffff:10.0.0.2"))]), refused);
        // The first of two decides.
        assert_eq!(checked(wanted, vec![ip("10.0.0.5/24", Some("10.0.0.1")), ip("10.0.0.5/24", None)]), Ok(()));
    }

    #[test]
    fn an_address_that_is_gone_or_has_no_gateway_passes() {
        let wanted = r#"{"address":"10.0.0.5/24","gateway":"10.0.0.1"}"#;
        assert_eq!(checked(wanted, vec![ip("10.0.0.6/24", None)]), Ok(()));
        assert_eq!(checked(r#"{"address":"10.0.0.5/24"}"#, vec![ip("10.0.0.5/24", Some("10.0.0.2"))]), Ok(()));
    }

    #[test]
    fn an_address_that_was_asked_for_may_have_no_gateway_of_then() {
        let check = |previous| {
            let addresses = r#"[{"address":"10.0.0.5/24","gateway":"10.0.0.1"}]"#;
            let asked = r#""runtimeConfig":{"ips":["10.0.0.50/24"]}"#;
            let config = format!(r#"{{"cniVersion":"1.0.0","ipam":{{"addresses":{addresses}}},{asked}}}"#);
            let previous = Output { ips: vec![ip("10.0.0.50/24", previous)], ..Output::default() };
            Static::check(&call(&config, Ok(Some(previous)))).is_ok()
        };
        assert!(check(None) && check(Some("10.0.0.1")) && !check(Some("10.0.0.2")));
    }

    #[test]
    fn check_needs_a_result_to_check() {
        let refusal = |config, prev| Static::check(&call(config, prev)).unwrap_err().msg;
        assert_eq!(refusal(r#"{"ipam":{}}"#, Ok(None)), "Required prevResult missing");
        let unreadable = || Err("could not parse prevResult: x".to_owned());
        assert_eq!(refusal(r#"{"ipam":{}}"#, unreadable()), "could not parse prevResult: x");
        assert_eq!(refusal(r#"{"x":1}"#, unreadable()), "IPAM config missing 'ipam' key");
    }

    #[test]
    fn del_and_status_have_nothing_to_say() {
        for config in [r#"{"ipam":3}"#, "{}"] {
            assert_eq!(Static::del(&call(config, Err("unreadable".into()))), Ok(()));
            assert_eq!(Static::status(config), Ok(()));
        }
    }
}
