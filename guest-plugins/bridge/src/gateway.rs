//! Which gateways a result has, and what they mean for the bridge's addresses.

use std::net::IpAddr;

use cni_plugin::{CniRoute, Failure, IpNet, Output, go, ip};

use crate::config::Config;

/// Completes what IPAM returned: every address is `interface`'s, a bridge that
/// is the gateway has an address, a default gateway has its route. Returns the
/// addresses that the bridge shall have, IPv4 before IPv6.
pub(crate) fn choose(output: &mut Output, config: &Config, interface: u32) -> Result<Vec<IpNet>, Failure> {
    let mut gateways = Vec::new();
    for config_of_ip in &mut output.ips {
        let address = IpNet::try_from(config_of_ip.address)?;
        config_of_ip.iface = Some(interface);
        if config_of_ip.gateway.is_none() && config.is_gateway {
            config_of_ip.gateway = Some(ip::first_of(&address).into());
        }
        let gateway = config_of_ip.gateway;
        if config.is_default_gateway {
            let default = ip::default_net(address.addr().is_ipv4()).into();
            // A route of IPAM's without a gateway will get this one all the same.
            if !output.routes.iter().any(|route| route.dst == default) {
                output.routes.push(CniRoute { dst: default, gw: gateway, ..CniRoute::default() });
            }
        }
        if let Some(gateway) = gateway.filter(|_| config.is_gateway) {
            let gateway = IpNet::new(IpAddr::from(gateway), address.prefix_len());
            gateways.push(gateway.map_err(|_| "gateway and address differ in their family")?);
        }
    }
    gateways.sort_by_key(|gateway| gateway.addr().is_ipv6());
    Ok(gateways)
}

/// The changes to a link's addresses.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Changes {
    pub(crate) delete: Vec<IpNet>,
    pub(crate) add: Vec<IpNet>,
}

/// What has to change for `link` to have the gateways' addresses, given those
/// that it has. IPv4 permits no other address beside a gateway's, IPv6 none of
/// an overlapping subnet: `force` removes them. The link-local network is every
/// link's own: there the kernel's address is beside a gateway's.
pub(crate) fn changes(link: &str, mut has: Vec<IpNet>, gateways: &[IpNet], force: bool) -> Result<Changes, String> {
    let mut changes = Changes::default();
    for gateway in gateways {
        if has.contains(gateway) {
            continue;
        }
        let (conflicts, kept): (Vec<_>, Vec<_>) = has.into_iter().partition(|address| conflict(address, gateway));
        if !conflicts.is_empty() && !force {
            return Err(format!("{} already has an IP address different from {gateway}", go::quoted(link)));
        }
        for address in conflicts {
            // One that is only going to be added is not there to be deleted.
            match changes.add.iter().position(|added| *added == address) {
                Some(at) => drop(changes.add.remove(at)),
                None => changes.delete.push(address),
            }
        }
        changes.add.push(*gateway);
        has = kept;
        has.push(*gateway);
    }
    Ok(changes)
}

fn conflict(address: &IpNet, gateway: &IpNet) -> bool {
    match (address, gateway) {
        (IpNet::V4(_), IpNet::V4(_)) => true,
        (IpNet::V6(there), IpNet::V6(_)) if there.addr().is_unicast_link_local() => false,
        (IpNet::V6(_), IpNet::V6(_)) => address.contains(&gateway.addr()) || gateway.contains(&address.addr()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cni_plugin::IpConfig;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> cni_plugin::IpConfig {
        IpConfig { address: net(text).into(), gateway: None, iface: None }
    }

    fn route(dst: &str, gw: Option<&str>) -> CniRoute {
        CniRoute { dst: net(dst).into(), gw: gw.map(|gw| gw.parse::<IpAddr>().unwrap().into()), ..CniRoute::default() }
    }

    fn chosen(config: &str, ips: &[&str], routes: &[CniRoute]) -> (Output, Vec<IpNet>) {
        let config = Config::parse(config, "").unwrap();
        let mut output =
            Output { ips: ips.iter().map(|text| ip(text)).collect(), routes: routes.to_vec(), ..Output::default() };
        let gateways = choose(&mut output, &config, 2).unwrap();
        (output, gateways)
    }

    fn planned(has: &[&str], gateways: &[&str], force: bool) -> Result<Changes, String> {
        let nets = |texts: &[&str]| texts.iter().map(|text| net(text)).collect::<Vec<_>>();
        changes("br0", nets(has), &nets(gateways), force)
    }

    #[test]
    fn a_gateway_is_the_first_address_of_the_network_unless_ipam_says_otherwise() {
        let (output, gateways) = chosen(r#"{"isGateway":true}"#, &["10.1.0.7/24"], &[]);
        assert_eq!(gateways, [net("10.1.0.1/24")]);
        assert_eq!(output.ips[0].gateway.map(IpAddr::from), "10.1.0.1".parse().ok());
        assert_eq!(output.ips[0].iface, Some(2));
        assert!(output.routes.is_empty());
    }

    #[test]
    fn without_is_gateway_the_bridge_gets_nothing() {
        let (output, gateways) = chosen("{}", &["10.1.0.7/24"], &[]);
        assert!(gateways.is_empty());
        assert_eq!(output.ips[0].gateway, None);
    }

    #[test]
    fn a_default_gateway_has_one_route_for_each_family() {
        let ips = ["fd00::2/64", "10.1.0.7/24", "10.2.0.7/24"];
        let (output, gateways) = chosen(r#"{"isDefaultGateway":true}"#, &ips, &[]);
        let v6 = route("::/0", Some("fd00::1"));
        assert_eq!(output.routes, [v6, route("0.0.0.0/0", Some("10.1.0.1"))]);
        assert_eq!(gateways, [net("10.1.0.1/24"), net("10.2.0.1/24"), net("fd00::1/64")]);
    }

    #[test]
    fn a_default_route_of_ipam_is_enough_with_or_without_a_gateway() {
        for gw in [Some("10.1.0.254"), None] {
            let given = [route("0.0.0.0/0", gw)];
            let (output, _) = chosen(r#"{"isDefaultGateway":true}"#, &["10.1.0.7/24"], &given);
            assert_eq!(output.routes, given);
        }
    }

    #[test]
    fn an_address_that_is_there_needs_nothing() {
        let has = ["10.1.0.1/24", "fe80::1/64"];
        assert_eq!(planned(&has, &["10.1.0.1/24"], false), Ok(Changes::default()));
    }

    #[test]
    fn ipv4_tolerates_no_other_address() {
        assert_eq!(
            planned(&["10.1.0.1/24"], &["10.2.0.1/24"], false).unwrap_err(),
            "\"br0\" already has an IP address different from 10.2.0.1/24"
        );
        let forced = planned(&["10.1.0.1/24"], &["10.2.0.1/24"], true).unwrap();
        assert_eq!(forced.delete, [net("10.1.0.1/24")]);
        assert_eq!(forced.add, [net("10.2.0.1/24")]);
        assert!(planned(&[], &["10.1.0.1/24", "10.2.0.1/24"], false).is_err());
    }

    #[test]
    fn ipv6_tolerates_disjoint_subnets() {
        let has = ["fd00:1::1/64", "fe80::1/64"];
        assert_eq!(planned(&has, &["fd00:2::1/64"], false).unwrap().add.len(), 1);
        assert!(planned(&has, &["fd00:1::1/48"], false).is_err());
    }

    #[test]
    fn a_link_local_gateway_is_beside_the_kernel_s_address() {
        for force in [false, true] {
            let changes = planned(&["fe80::5:1/64", "fd00:1::1/64"], &["fe80::1/64"], force).unwrap();
            assert_eq!(changes, Changes { delete: vec![], add: vec![net("fe80::1/64")] });
        }
        assert_eq!(planned(&["fe80::1/64"], &["fe80::1/64"], false), Ok(Changes::default()));
        assert_eq!(planned(&["fe80::1/64"], &["fd00::1/64"], false).unwrap().add.len(), 1);
    }

    #[test]
    fn of_two_forced_gateways_the_last_stays() {
        let forced = planned(&["10.0.0.1/8"], &["10.1.0.1/24", "10.2.0.1/24"], true).unwrap();
        assert_eq!(forced.delete, [net("10.0.0.1/8")]);
        assert_eq!(forced.add, [net("10.2.0.1/24")]);
    }
}
