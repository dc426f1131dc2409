//! What makes a veth pair a point-to-point link: the container reaches its own
//! network, and everything else, only by way of the host's end.
//!
//! The kernel's route to the network of an address is replaced by two: one to
//! the gateway, and one to the network by way of the gateway. The host's end has
//! the gateway's address alone, and a route to the container's.

use std::net::IpAddr;

use cni_plugin::bindings::interface::wasm_cni::net::net::{sysctl_get, wait};
use cni_plugin::{Batch, Condition, Failure, IpNet, LinkRef, Netns, Output, Route, Tolerance, go};

// linux/rtnetlink.h
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;
const PROTOCOL_KERNEL: u8 = 2;
const PROTOCOL_BOOT: u8 = 3;

/// How long the addresses of the host's end may take: nothing, if they are not looked for on the link.
const SETTLE_MS: u32 = 5000;

/// An address of the container and the gateway's, which is the host's end's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) address: IpNet,
    pub(crate) gateway: IpAddr,
}

/// The addresses of a result. Each needs a gateway of its family.
pub(crate) fn ends(output: &Output) -> Result<Vec<Ends>, Failure> {
    let mut ends = Vec::new();
    for ip in &output.ips {
        let address = IpNet::try_from(ip.address)?;
        let Some(gateway) = ip.gateway.map(IpAddr::from) else {
            let mask = vec!["0xff"; usize::from(address.max_prefix_len() / 8)].join(", ");
            return Err(Failure::plain(format!(
                "failed to add IP addr (&net.IPNet{{IP:net.IP(nil), Mask:net.IPMask{{{mask}}}}}) to veth: \
                 numerical result out of range"
            )));
        };
        if gateway.is_ipv4() != address.addr().is_ipv4() {
            let text = format!("gateway {gateway} and address {address} differ in their family");
            return Err(Failure::plain(text));
        }
        ends.push(Ends { address, gateway });
    }
    Ok(ends)
}

impl Ends {
    /// A route of the container that keeps to this address.
    fn route(&self, ifname: &str, dst: IpNet, via: Option<IpAddr>, scope: u8, protocol: u8) -> Route {
        Route {
            link: LinkRef::Name(ifname.to_owned()),
            dst: dst.into(),
            gateway: via.map(Into::into),
            src: Some(self.address.addr().into()),
            table: 0,
            metric: 0,
            scope,
            protocol,
        }
    }

    fn to_gateway(self, ifname: &str) -> Route {
        self.route(ifname, self.gateway.into(), None, SCOPE_LINK, PROTOCOL_BOOT)
    }
}

/// The routes to gateways that are in none of the networks: IPAM's own routes, which go by
/// them, need those first.
pub(crate) fn to_far_gateways(ifname: &str, ends: &[Ends]) -> Vec<Route> {
    let is_near = |gateway: &IpAddr| ends.iter().any(|end| end.address.contains(gateway));
    ends.iter().filter(|end| !is_near(&end.gateway)).map(|end| end.to_gateway(ifname)).collect()
}

/// In the container: everything by way of the gateway.
pub(crate) fn of_container(sandbox: &Netns, ifname: &str, ends: &[Ends]) -> Result<(), Failure> {
    let mut batch = Batch::on(sandbox);
    for end in ends {
        let Ends { address, gateway } = end;
        let v4 = address.addr().is_ipv4();
        let route = |dst, via, scope, protocol| end.route(ifname, dst, via, scope, protocol);
        let network = address.trunc();
        let kernels = match v4 {
            true => route(network, None, SCOPE_LINK, PROTOCOL_KERNEL),
            // IPv6 keeps no source with it.
            false => Route { src: None, ..route(network, None, SCOPE_UNIVERSE, PROTOCOL_KERNEL) },
        };
        let words = |verb, dst: IpNet| move || format!("failed to {verb} route to {dst} of {}", go::quoted(ifname));
        // A lone address has none, nor has the second of a network.
        batch.delete_route(kernels).tolerate(Tolerance::OkIfMissing).context(words("delete", network));
        let to_gateway = IpNet::from(*gateway);
        batch.add_route(end.to_gateway(ifname)).tolerate(Tolerance::OkIfExists).context(words("add", to_gateway));
        batch
            .add_route(route(network, Some(*gateway), SCOPE_UNIVERSE, PROTOCOL_BOOT))
            .tolerate(Tolerance::OkIfExists)
            .context(words("add", network));
    }
    batch.commit()?;
    Ok(())
}

/// On the host: the gateways' addresses, and the way to the container.
pub(crate) fn of_host(host: &Netns, index: u32, ends: &[Ends]) -> Result<(), Failure> {
    let link = LinkRef::Index(index);
    let mut batch = Batch::on(host);
    for Ends { address, gateway } in ends {
        let gateway = IpNet::from(*gateway);
        batch
            .add_address(link.clone(), gateway)
            .tolerate(Tolerance::OkIfExists)
            .context(move || format!("failed to add IP addr {gateway} to veth"));
        let route = Route {
            link: link.clone(),
            dst: IpNet::from(address.addr()).into(),
            gateway: None,
            src: None,
            table: 0,
            metric: 0,
            scope: SCOPE_HOST,
            protocol: PROTOCOL_BOOT,
        };
        batch.add_route(route).tolerate(Tolerance::OkIfExists).context(|| "failed to add route on host".to_owned());
    }
    batch.commit()?;
    Ok(())
}

/// No duplicate address detection while it lasts: the two ends are alone on
/// their link, so that waiting would only cost seconds.
#[derive(Debug)]
pub(crate) struct Quiet<'n> {
    old: Vec<(&'n Netns, String, String)>,
}

impl<'n> Quiet<'n> {
    pub(crate) fn begin(links: &[(&'n Netns, &str)]) -> Result<Self, Failure> {
        let mut old = Vec::new();
        for (namespace, name) in links {
            let key = format!("net/ipv6/conf/{name}/accept_dad");
            let values = sysctl_get(namespace, std::slice::from_ref(&key))?;
            let Some(value) = values.into_iter().flatten().next().filter(|value| value != "0") else { continue };
            set(namespace, &key, "0")?;
            old.push((*namespace, key, value));
        }
        Ok(Self { old })
    }

    /// `host_end` is the index of the host's end. That its addresses are not looked for on the
    /// link has to have been seen by the kernel, which is not at once.
    pub(crate) fn end(self, host: &Netns, host_end: u32) -> Result<(), Failure> {
        wait(host, &LinkRef::Index(host_end), Condition::AddressesSettled, SETTLE_MS)?;
        self.old.into_iter().try_for_each(|(namespace, key, value)| set(namespace, &key, &value))
    }
}

fn set(namespace: &Netns, key: &str, value: &str) -> Result<(), Failure> {
    let mut batch = Batch::on(namespace);
    batch.sysctl(key, value).tolerate(Tolerance::BestEffort);
    batch.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use cni_plugin::IpConfig;

    use super::*;

    fn of(address: &str, gateway: Option<&str>) -> Result<Vec<Ends>, String> {
        let gateway = gateway.map(|gateway| gateway.parse::<IpAddr>().unwrap().into());
        let address = address.parse::<IpNet>().unwrap().into();
        let ips = vec![IpConfig { address, gateway, iface: None }];
        ends(&Output { ips, ..Output::default() }).map_err(|failure| failure.msg)
    }

    #[test]
    fn a_gateway_outside_of_the_network_has_a_route_first() {
        let gateways = |address, gateway| {
            let near = to_far_gateways("eth0", &of(address, Some(gateway)).unwrap());
            near.into_iter().map(|route| IpNet::try_from(route.dst).unwrap().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(gateways("10.66.0.2/24", "169.254.1.1"), ["169.254.1.1/32"]);
        assert_eq!(gateways("2001:db8:5:334::2/64", "2001:db8:5::1"), ["2001:db8:5::1/128"]);
        assert!(gateways("10.66.0.2/24", "10.66.0.1").is_empty());
    }

    #[test]
    fn an_address_needs_a_gateway_of_its_family() {
        assert_eq!(of("10.1.0.2/24", Some("10.1.0.1")).unwrap().len(), 1);
        let text = "failed to add IP addr (&net.IPNet{IP:net.IP(nil), Mask:net.IPMask{0xff, 0xff, 0xff, 0xff}}) \
                    to veth: numerical result out of range";
        assert_eq!(of("10.1.0.2/24", None).unwrap_err(), text);
        assert!(of("fd00::2/64", None).unwrap_err().contains("0xff, 0xff, 0xff, 0xff, 0xff"));
        assert!(of("fd00::2/64", Some("10.1.0.1")).unwrap_err().contains("differ in their family"));
    }
}
