//! The arguments of capabilities that container runtimes agree on: CONVENTIONS.md of the specification, "Dynamic Plugin
//! specific fields (Capabilities / Runtime Configuration)".

use std::{
    fmt::{self, Display},
    net::IpAddr,
};

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::attachment::Attachment;

/// A port of the host that leads to one of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortMapping {
    /// Port of the host.
    pub host_port: u16,
    /// Port of the container.
    pub container_port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Address of the host; none is every address.
    pub host_ip: Option<IpAddr>,
}

/// A transport protocol that ports belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// `tcp`
    Tcp,
    /// `udp`
    Udp,
    /// `sctp`
    Sctp,
}

impl Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl PortMapping {
    /// A mapping of every address of the host.
    #[must_use]
    pub fn new(host_port: u16, container_port: u16, protocol: Protocol) -> Self {
        Self { host_port, container_port, protocol, host_ip: None }
    }

    /// The same of one address of the host only.
    #[must_use]
    pub fn host_ip(mut self, address: IpAddr) -> Self {
        self.host_ip = Some(address);
        self
    }
}

/// Limits of an interface's traffic. 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// To the container, bits per second.
    pub ingress_rate: u64,
    /// To the container at once, bits.
    pub ingress_burst: u64,
    /// From the container, bits per second.
    pub egress_rate: u64,
    /// From the container at once, bits.
    pub egress_burst: u64,
}

/// Addresses that an IPAM plugin may assign.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IpRange {
    /// The subnet.
    pub subnet: IpNet,
    /// First address; none is the first of the subnet.
    pub start: Option<IpAddr>,
    /// Last address; none is the last of the subnet.
    pub end: Option<IpAddr>,
    /// Gateway; none is the first address of the subnet.
    pub gateway: Option<IpAddr>,
}

impl IpRange {
    /// All addresses of a subnet.
    #[must_use]
    pub fn of(subnet: IpNet) -> Self {
        Self { subnet, start: None, end: None, gateway: None }
    }

    /// Only these, from the first to the last.
    #[must_use]
    pub fn between(mut self, start: IpAddr, end: IpAddr) -> Self {
        (self.start, self.end) = (Some(start), Some(end));
        self
    }

    /// With this gateway.
    #[must_use]
    pub fn gateway(mut self, gateway: IpAddr) -> Self {
        self.gateway = Some(gateway);
        self
    }

    fn json(&self) -> Value {
        let members = [("rangeStart", self.start), ("rangeEnd", self.end), ("gateway", self.gateway)];
        let given = members.into_iter().filter_map(|(key, ip)| Some((key.to_owned(), ip?.to_string().into())));
        [("subnet".to_owned(), self.subnet.to_string().into())].into_iter().chain(given).collect::<Map<_, _>>().into()
    }
}

/// Name servers for the container. Not `dns` of a result, whose keys have other names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Addresses of name servers.
    pub servers: Vec<String>,
    /// Search domains.
    pub searches: Vec<String>,
    /// Options for the resolver.
    pub options: Vec<String>,
}

/// Arguments of capabilities.
impl Attachment {
    /// `portMappings`: ports of the host that lead to the container.
    #[must_use]
    pub fn port_mappings(self, mappings: &[PortMapping]) -> Self {
        let mapping = |mapping: &PortMapping| {
            let PortMapping { host_port, container_port, protocol, host_ip } = mapping;
            let mut json = json!({
                "hostPort": host_port, "containerPort": container_port, "protocol": protocol.to_string()
            });
            if let Some(ip) = host_ip {
                json["hostIP"] = ip.to_string().into();
            }
            json
        };
        self.with_capability("portMappings", mappings.iter().map(mapping).collect::<Value>())
    }

    /// `bandwidth`: limits of the interface's traffic.
    #[must_use]
    pub fn bandwidth(self, bandwidth: Bandwidth) -> Self {
        let Bandwidth { ingress_rate, ingress_burst, egress_rate, egress_burst } = bandwidth;
        let value = json!({ "ingressRate": ingress_rate, "ingressBurst": ingress_burst,
            "egressRate": egress_rate, "egressBurst": egress_burst });
        self.with_capability("bandwidth", value)
    }

    /// `ipRanges`: an address is assigned from each set of ranges.
    #[must_use]
    pub fn ip_ranges(self, sets: &[Vec<IpRange>]) -> Self {
        let set = |set: &Vec<IpRange>| set.iter().map(IpRange::json).collect::<Value>();
        self.with_capability("ipRanges", sets.iter().map(set).collect::<Value>())
    }

    /// `dns`: name servers for the container.
    #[must_use]
    pub fn dns(self, dns: Dns) -> Self {
        let Dns { servers, searches, options } = dns;
        self.with_capability("dns", json!({ "servers": servers, "searches": searches, "options": options }))
    }

    /// `aliases`: further names of the container on this network.
    #[must_use]
    pub fn aliases<T: Into<String>>(self, aliases: impl IntoIterator<Item = T>) -> Self {
        self.with_capability("aliases", aliases.into_iter().map(Into::into).collect::<Vec<String>>())
    }

    /// `mac`: the interface's address, `c2:11:22:33:44:55`.
    #[must_use]
    pub fn mac(self, mac: impl Into<String>) -> Self {
        self.with_capability("mac", mac.into())
    }

    /// `ips`: addresses for the interface, with or without a prefix length.
    #[must_use]
    pub fn ips<T: Display>(self, ips: impl IntoIterator<Item = T>) -> Self {
        self.with_capability("ips", ips.into_iter().map(|ip| ip.to_string()).collect::<Vec<_>>())
    }

    /// `deviceID`: a device that the runtime has assigned to the container, `0000:04:00.5` for a PCI address.
    #[must_use]
    pub fn device_id(self, id: impl Into<String>) -> Self {
        self.with_capability("deviceID", id.into())
    }

    /// `cgroupPath`: the container's control group.
    #[must_use]
    pub fn cgroup_path(self, path: impl Into<String>) -> Self {
        self.with_capability("cgroupPath", path.into())
    }

    /// `infinibandGUID`: of the interface, `c2:11:22:33:44:55:66:77`.
    #[must_use]
    pub fn infiniband_guid(self, guid: impl Into<String>) -> Self {
        self.with_capability("infinibandGUID", guid.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Attachment {
        Attachment::new("c1", "eth0", "/ns")
    }

    #[test]
    fn the_json_is_that_of_the_conventions() {
        let ports = [
            PortMapping::new(8080, 80, Protocol::Tcp),
            PortMapping::new(8000, 8001, Protocol::Udp).host_ip("10.0.0.1".parse().unwrap()),
        ];
        let subnet = "10.1.2.0/24".parse().unwrap();
        let range = IpRange::of(subnet).between("10.1.2.3".parse().unwrap(), "10.1.2.99".parse().unwrap());
        let range = range.gateway("10.1.2.254".parse().unwrap());
        let dns = Dns {
            servers: vec!["10.96.0.10".to_owned()],
            searches: vec!["svc.local".to_owned()],
            options: vec!["ndots:5".to_owned()],
        };
        let at = at()
            .port_mappings(&ports)
            .bandwidth(Bandwidth { ingress_rate: 1, ingress_burst: 2, egress_rate: 3, egress_burst: 4 })
            .ip_ranges(&[vec![range], vec![IpRange::of("2001:db8::/64".parse().unwrap())]])
            .dns(dns);
        let expected = json!({
            "portMappings": [
                { "hostPort": 8080, "containerPort": 80, "protocol": "tcp" },
                { "hostPort": 8000, "containerPort": 8001, "protocol": "udp", "hostIP": "10.0.0.1" },
            ],
            "bandwidth": { "ingressRate": 1, "ingressBurst": 2, "egressRate": 3, "egressBurst": 4 },
            "ipRanges": [
                [{ "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.3", "rangeEnd": "10.1.2.99", "gateway": "10.1.2.254" }],
                [{ "subnet": "2001:db8::/64" }],
            ],
            "dns": { "servers": ["10.96.0.10"], "searches": ["svc.local"], "options": ["ndots:5"] },
        });
        assert_eq!(Value::Object(at.capability_args), expected);
    }

    #[test]
    fn texts_and_lists_of_texts() {
        let address: IpAddr = "10.1.2.3".parse().unwrap();
        let at = at()
            .aliases(["db", "cache"])
            .mac("c2:11:22:33:44:55")
            .ips([address])
            .device_id("0000:04:00.5")
            .cgroup_path("/kubelet.slice/pod1")
            .infiniband_guid("c2:11:22:33:44:55:66:77");
        let expected = json!({
            "aliases": ["db", "cache"], "mac": "c2:11:22:33:44:55", "ips": ["10.1.2.3"], "deviceID": "0000:04:00.5",
            "cgroupPath": "/kubelet.slice/pod1", "infinibandGUID": "c2:11:22:33:44:55:66:77",
        });
        assert_eq!(Value::Object(at.capability_args), expected);
        let net: IpNet = "10.1.2.3/24".parse().unwrap();
        assert_eq!(Attachment::default().ips([net]).capability_args["ips"], json!(["10.1.2.3/24"]));
    }
}
