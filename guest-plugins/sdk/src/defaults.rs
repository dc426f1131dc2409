//! What an attachment, a result or a link is where nothing is given: a plugin, and even
//! more its tests, write down only what matters.

use crate::bindings::interface::wasm_cni::types::types;
use crate::{Attachment, Call, CniRoute, Dns, Iface, Link, Output, Snapshot};

/// No result: no interface, no address.
impl Default for Output {
    fn default() -> Self {
        Self { interfaces: Vec::new(), ips: Vec::new(), routes: Vec::new(), dns: Dns::default() }
    }
}

/// No settings.
impl Default for Dns {
    fn default() -> Self {
        Self { nameservers: Vec::new(), domain: String::new(), search: Vec::new(), options: Vec::new() }
    }
}

/// An entry without a name.
impl Default for Iface {
    fn default() -> Self {
        Self {
            name: String::new(),
            mac: String::new(),
            mtu: 0,
            sandbox: String::new(),
            socket_path: String::new(),
            pci_id: String::new(),
        }
    }
}

/// The default route of IPv4, without a gateway.
impl Default for CniRoute {
    fn default() -> Self {
        let dst = types::IpNet { addr: types::IpAddr::V4(0), prefix: 0 };
        Self { dst, gw: None, mtu: 0, advmss: 0, priority: 0, table: None, scope: None }
    }
}

/// A link without a name, an index or a kind, down.
impl Default for Link {
    fn default() -> Self {
        Self {
            index: 0,
            name: String::new(),
            kind: String::new(),
            mac: Vec::new(),
            mtu: 1500,
            flags: 0,
            operstate: 0,
            master: 0,
            parent: 0,
            promiscuity: 0,
            alias: String::new(),
        }
    }
}

/// A namespace with nothing in it.
impl Default for Snapshot {
    fn default() -> Self {
        Self { links: Vec::new(), addresses: Vec::new(), routes: Vec::new(), bridge_vlans: Vec::new() }
    }
}

/// The container `c1` and its interface `eth0`.
impl Default for Attachment {
    fn default() -> Self {
        Self { container_id: "c1".into(), ifname: "eth0".into() }
    }
}

/// A call for the default attachment in the network `n1`, with `{}` for a configuration
/// and no `prevResult`.
impl Default for Call {
    fn default() -> Self {
        Self {
            at: Attachment::default(),
            netns: String::new(),
            args: String::new(),
            network: "n1".into(),
            config: "{}".into(),
            prev: Ok(None),
        }
    }
}
