//! What makes a veth pair a point-to-point link: the container reaches its own
//! network, and everything else, only by way of the host's end.
//!
//! The kernel's route to the network of an address is replaced by two: one to
//! the gateway, and one to the network by way of the gateway. The host's end has
//! the gateway's address alone, and a route to the container's.

use std::net::IpAddr;

use cni_plugin::bindings::interface::wasm_cni::net::net::sysctl_get;
use cni_plugin::{Batch, Failure, IpNet, LinkRef, Netns, Output, Route, Tolerance, go};

// linux/rtnetlink.h
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;
const PROTOCOL_KERNEL: u8 = 2;
const PROTOCOL_BOOT: u8 = 3;

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

/// In the container: everything by way of the gateway.
pub(crate) fn of_container(sandbox: &Netns, ifname: &str, ends: &[Ends]) -> Result<(), Failure> {
    let link = LinkRef::Name(ifname.to_owned());
    let mut batch = Batch::on(sandbox);
    for Ends { address, gateway } in ends {
        let v4 = address.addr().is_ipv4();
        let route = |dst: IpNet, via: Option<IpAddr>, scope: u8, protocol: u8| Route {
            link: link.clone(),
            dst: dst.into(),
            gateway: via.map(Into::into),
            src: Some(address.addr().into()),
            table: 0,
            metric: 0,
            scope,
            protocol,
        };
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
        batch
            .add_route(route(to_gateway, None, SCOPE_LINK, PROTOCOL_BOOT))
            .tolerate(Tolerance::OkIfExists)
            .context(words("add", to_gateway));
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

    pub(crate) fn end(self) -> Result<(), Failure> {
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
    fn an_address_needs_a_gateway_of_its_family() {
        assert_eq!(of("10.1.0.2/24", Some("10.1.0.1")).unwrap().len(), 1);
        let text = "failed to add IP addr (&net.IPNet{IP:net.IP(nil), Mask:net.IPMask{0xff, 0xff, 0xff, 0xff}}) \
                    to veth: numerical result out of range";
        assert_eq!(of("10.1.0.2/24", None).unwrap_err(), text);
        assert!(of("fd00::2/64", None).unwrap_err().contains("0xff, 0xff, 0xff, 0xff, 0xff"));
        assert!(of("fd00::2/64", Some("10.1.0.1")).unwrap_err().contains("differ in their family"));
    }
}
