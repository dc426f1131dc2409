//! Half an attachment, and results that are none.

use cni_plugin::bindings::interface::wasm_cni::filter::masquerade::{self, Backend};
use cni_plugin::{
    Batch, Bridge, Failure, IpConfig, IpNet, LinkAttr, LinkKind, LinkRef, Output, Veth, ip, ipam, result, spoof_check,
    veth,
};

use crate::Scene;

/// A bridge, a veth pair into the sandbox and, if the configuration has an IPAM
/// plugin, an address of it, with the gateway's for the bridge.
pub(crate) fn half(scene: &Scene<'_>) -> Result<(), Failure> {
    let (host, sandbox) = (scene.host()?, scene.sandbox()?);
    let mut batch = Batch::on(host);
    let kind = LinkKind::Bridge(Bridge { vlan_filtering: false });
    let bridge = batch.add_link(&scene.bridge, kind, [LinkAttr::Up(true)]).made();
    let pair = LinkKind::Veth(Veth {
        peer_name: scene.call.at.ifname.clone(),
        peer_ns: batch.add_namespace(sandbox),
        peer_mac: None,
        peer_mtu: None,
    });
    let name = veth::random_name();
    batch.add_link(&name, pair, [LinkAttr::Master(bridge), LinkAttr::Up(true)]);
    batch.commit()?;
    let given = scene.ipam.as_deref().map(ipam::add).transpose()?.map(|given| given.ips).unwrap_or_default();
    let mut batch = Batch::on(host);
    for ip in &given {
        let address = IpNet::try_from(ip.address)?;
        let gateway = ip.gateway.map_or_else(|| ip::first_of(&address), Into::into);
        batch.add_address(LinkRef::Name(scene.bridge.clone()), IpNet::new_assert(gateway, address.prefix_len()));
    }
    batch.commit()?;
    if scene.filters {
        spoof_check::add(host, &name, &[2, 0, 0, 0, 0, 1])?;
        let addresses: Vec<_> = given.iter().map(|ip| ip.address).collect();
        masquerade::add(host, &addresses, Some(Backend::Nftables))?;
    }
    Ok(())
}

/// A result that is valid, of an interface that does not exist.
pub(crate) fn one_interface(scene: &Scene<'_>) -> Output {
    Output { interfaces: vec![result::named(&scene.call.at.ifname, &scene.call.netns)], ..Output::default() }
}

/// A result that no one should believe.
pub(crate) fn nonsense() -> Output {
    let address = |i: u32| IpConfig {
        address: cni_plugin::bindings::interface::wasm_cni::types::types::IpNet {
            addr: std::net::IpAddr::from([10, 0, (i >> 8) as u8, i as u8]).into(),
            prefix: 200,
        },
        gateway: None,
        iface: Some(u32::MAX - i),
    };
    let names = ["", "eth0\n{\"cniVersion\":\"1.0.0\"}", "\u{1b}[2J", "../../etc/passwd"];
    Output {
        interfaces: names.map(|name| result::named(name, "\n")).into(),
        ips: (0..50_000).map(address).collect(),
        ..Output::default()
    }
}
