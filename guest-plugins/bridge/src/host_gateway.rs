//! The host as the containers' gateway: its addresses on the bridge or on an interface of the VLAN, and forwarding.

use cni_plugin::{
    Batch, Code, Context, Failure, Iface, IpNet, Link, LinkAttr, LinkRef, Netns, Tables, Tolerance, forwarding, go,
    link, result,
};

use crate::bridge::{HostBridge, nets};
use crate::config::Config;
use crate::gateway::{self, Changes};
use crate::port::Pair;
use crate::vlan::Vlans;

/// Gives the addresses of the gateways to the bridge or, in a VLAN, to an
/// interface of that VLAN, which is returned; and has the host forward.
pub(crate) fn set_up(
    host: &Netns,
    config: &Config,
    bridge: &HostBridge,
    gateways: &[IpNet],
) -> Result<Option<Iface>, Failure> {
    if gateways.is_empty() {
        return Ok(None);
    }
    let interface = if config.vlans.access == 0 {
        set_addresses(host, config, &bridge.link, &bridge.addresses, gateways)
            .context(|| "failed to set bridge addr".to_owned())?;
        None
    } else {
        let vlan = vlan_interface(host, config, bridge).context(|| "failed to create vlan interface".to_owned())?;
        set_addresses(host, config, &vlan.link, &vlan.addresses, gateways)
            .context(|| "failed to set vlan interface for bridge with addr".to_owned())?;
        Some(result::interface(&vlan.link, ""))
    };
    let has = |v4| gateways.iter().any(|gateway| gateway.addr().is_ipv4() == v4);
    let mut batch = Batch::on(host);
    forwarding::enable(&mut batch, host, has(true), has(false)).context(|| "failed to enable forwarding".to_owned())?;
    batch.commit()?;
    Ok(interface)
}

/// The host's own way into the VLAN: a veth pair with one end in the
/// bridge, for the VLAN's containers to reach their gateway by.
fn vlan_interface(host: &Netns, config: &Config, bridge: &HostBridge) -> Result<HostBridge, Failure> {
    let name = config.vlan_interface();
    let words = || format!("failed to find interface {}", go::quoted(&name));
    if let Some(existing) = HostBridge::find(host, &name).context(words)? {
        return Ok(existing);
    }
    let pair = Pair {
        peer_name: &name,
        peer_namespace: host,
        peer_mac: None,
        mtu: Some(bridge.link.mtu),
        hairpin: false,
        isolated: false,
    };
    let access = Vlans { trunk: None, ..config.vlans.clone() };
    pair.make(host, config, bridge)
        .and_then(|port| access.set_up(host, port.index, &port.name))
        .context(|| format!("faild to create vlan gateway {}", go::quoted(&name)))?;
    let mut batch = Batch::on(host);
    batch
        .set_link(LinkRef::Name(name.clone()), [LinkAttr::Up(true)])
        .context(|| format!("failed to up {}", go::quoted(&name)));
    batch.commit()?;
    HostBridge::find(host, &name)
        .context(words)?
        .ok_or_else(|| format!("failed to lookup {}: Link not found", go::quoted(&name)).into())
}

/// Gives `link`, which had `has` and its MAC before, the gateways' addresses.
///
/// Of several ADDs that do so at the same time, who comes too late leaves the MAC
/// to the first: containers may know the gateway by it already.
fn set_addresses(host: &Netns, config: &Config, link: &Link, has: &[IpNet], gateways: &[IpNet]) -> Result<(), Failure> {
    let changes = gateway::changes(&link.name, has.to_vec(), gateways, config.force_address)?;
    if changes.add.is_empty() {
        return Ok(());
    }
    let mut batch = Batch::on(host);
    addresses(&mut batch, link, changes, Tolerance::Strict);
    // Otherwise it would change with the ports, under the containers' ARP entries.
    batch
        .set_link(LinkRef::Index(link.index), [LinkAttr::Mac(pinned_mac(host, link)?)])
        .context(|| "could not set bridge's mac".to_owned());
    match batch.commit() {
        Ok(_) => return Ok(()),
        Err(failed) if failed.cause.code != Code::Exists => return Err(failed.into()),
        Err(_) => {}
    }
    let Some((_, now)) = link::find(host, LinkRef::Index(link.index), Tables::ADDRESSES)? else {
        return Err(format!("could not lookup {}: Link not found", go::quoted(&link.name)).into());
    };
    let changes = gateway::changes(&link.name, nets(&now.addresses), gateways, config.force_address)?;
    let mut batch = Batch::on(host);
    addresses(&mut batch, link, changes, Tolerance::OkIfExists);
    batch.commit()?;
    Ok(())
}

fn addresses<'a>(batch: &mut Batch<'a>, link: &'a Link, changes: Changes, tolerance: Tolerance) {
    let name = &link.name;
    let index = LinkRef::Index(link.index);
    for address in changes.delete {
        batch
            .delete_address(index.clone(), address)
            .context(|| format!("could not remove IP address from {}", go::quoted(name)));
    }
    for address in changes.add {
        batch
            .add_address(index.clone(), address)
            .tolerate(tolerance)
            .context(move || format!("could not add IP address {address} to {}", go::quoted(name)));
    }
}

/// The MAC from before the port, or, where there was none, the one of now.
fn pinned_mac(host: &Netns, link: &Link) -> Result<Vec<u8>, Failure> {
    if link.mac.iter().any(|byte| *byte != 0) {
        return Ok(link.mac.clone());
    }
    let now = link::by_name(host, &link.name)?;
    Ok(now.map_or_else(|| link.mac.clone(), |now| now.mac))
}
