//! The host as the containers' gateway: its addresses on the bridge or on an interface of the VLAN, and forwarding.

use cni_plugin::bindings::interface::wasm_cni::net::net::wait;
use cni_plugin::{
    Batch, Code, Condition, Context, Failure, Iface, IpNet, Link, LinkAttr, LinkRef, Netns, Tables, Tolerance,
    forwarding, go, link, result,
};

use crate::bridge::{HostBridge, nets};
use crate::config::Config;
use crate::gateway::{self, Changes};
use crate::port::Pair;
use crate::vlan::Vlans;

/// How long new addresses of IPv6 may take on a link that others are on, too.
const SETTLE_MS: u32 = 3000;

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
        set_addresses(host, config, bridge, gateways).context(|| "failed to set bridge addr".to_owned())?;
        None
    } else {
        let vlan = vlan_interface(host, config, bridge).context(|| "failed to create vlan interface".to_owned())?;
        set_addresses(host, config, &vlan, gateways)
            .context(|| "failed to set vlan interface for bridge with addr".to_owned())?;
        Some(result::interface(&vlan.link, ""))
    };
    let has = |v4| gateways.iter().any(|gateway| gateway.addr().is_ipv4() == v4);
    let mut batch = Batch::on(host);
    forwarding::enable(&mut batch, host, has(true), has(false), "failed to enable forwarding")?;
    batch.commit()?;
    Ok(interface)
}

/// The host's own way into the VLAN: a veth pair with one end in the
/// bridge, for the VLAN's containers to reach their gateway by. As the bridge,
/// it is everybody's and stays; an operator's own link of this name is used as it is.
fn vlan_interface(host: &Netns, config: &Config, bridge: &HostBridge) -> Result<HostBridge, Failure> {
    let name = config.vlan_interface();
    let words = || format!("failed to find interface {}", go::quoted(&name));
    if let Some(existing) = HostBridge::find(host, &name).context(words)? {
        return Ok(existing);
    }
    let made = make_vlan_interface(host, config, bridge, &name);
    let found = HostBridge::find(host, &name).context(words)?;
    match (made, found) {
        (Ok(()), Some(interface)) => Ok(HostBridge { is_new: true, ..interface }),
        // Two ADDs may race to make it; whoever loses uses the winner's.
        (Err(Lost::Race(_)), Some(winners)) => Ok(winners),
        (Err(Lost::Race(failure) | Lost::Other(failure)), _) => Err(failure),
        (Ok(()), None) => Err(format!("failed to lookup {}: Link not found", go::quoted(&name)).into()),
    }
}

/// Why there is no interface of one's own in the VLAN.
enum Lost {
    /// Perhaps somebody else was faster.
    Race(Failure),
    Other(Failure),
}

fn make_vlan_interface(host: &Netns, config: &Config, bridge: &HostBridge, name: &str) -> Result<(), Lost> {
    let pair = Pair {
        name: None,
        peer_name: name,
        peer_namespace: host,
        peer_mac: None,
        mtu: Some(bridge.link.mtu),
        hairpin: false,
        isolated: false,
    };
    let words = || format!("faild to create vlan gateway {}", go::quoted(name));
    let port = pair.make(host, config, bridge).context(words).map_err(Lost::Race)?;
    let access = Vlans { trunk: None, ..config.vlans.clone() };
    access.set_up(host, port.index, &port.name).context(words).map_err(Lost::Other)?;
    let mut batch = Batch::on(host);
    batch
        .set_link(LinkRef::Name(name.to_owned()), [LinkAttr::Up(true)])
        .context(|| format!("failed to up {}", go::quoted(name)));
    batch.commit().map(drop).map_err(|failed| Lost::Other(failed.into()))
}

/// Gives `at`, which is as it was before the port, the gateways' addresses.
///
/// Of several ADDs that do so at the same time, who comes too late leaves the MAC
/// to the first: containers may know the gateway by it already.
fn set_addresses(host: &Netns, config: &Config, at: &HostBridge, gateways: &[IpNet]) -> Result<(), Failure> {
    let link = &at.link;
    let changes = gateway::changes(&link.name, at.addresses.clone(), gateways, config.force_address)?;
    if changes.add.is_empty() {
        return Ok(());
    }
    let mut batch = Batch::on(host);
    addresses(&mut batch, at, &changes, Tolerance::Strict);
    // Otherwise it would change with the ports, under the containers' ARP entries. That of a link which this ADD has made the
    // host has chosen, and so it stays.
    if !at.is_new {
        batch
            .set_link(LinkRef::Index(link.index), [LinkAttr::Mac(pinned_mac(host, link)?)])
            .context(|| "could not set bridge's mac".to_owned());
    }
    match batch.commit() {
        Ok(_) => return settle(host, at, &changes),
        Err(failed) if failed.cause.code != Code::Exists => return Err(failed.into()),
        Err(_) => {}
    }
    let Some((_, now)) = link::find(host, LinkRef::Index(link.index), Tables::ADDRESSES)? else {
        return Err(format!("could not lookup {}: Link not found", go::quoted(&link.name)).into());
    };
    let changes = gateway::changes(&link.name, nets(&now.addresses), gateways, config.force_address)?;
    let mut batch = Batch::on(host);
    addresses(&mut batch, at, &changes, Tolerance::OkIfExists);
    batch.commit()?;
    settle(host, at, &changes)
}

/// Waits until the gateways answer, where others may be on the link that have the same
/// addresses: IPv6 asks them first.
fn settle(host: &Netns, at: &HostBridge, changes: &Changes) -> Result<(), Failure> {
    if !at.is_new && changes.add.iter().any(|address| address.addr().is_ipv6()) {
        wait(host, &LinkRef::Index(at.link.index), Condition::AddressesSettled, SETTLE_MS)?;
    }
    Ok(())
}

fn addresses<'a>(batch: &mut Batch<'a>, at: &'a HostBridge, changes: &Changes, tolerance: Tolerance) {
    let name = &at.link.name;
    let index = LinkRef::Index(at.link.index);
    for &address in &changes.delete {
        batch
            .delete_address(index.clone(), address)
            .context(|| format!("could not remove IP address from {}", go::quoted(name)));
    }
    for &address in &changes.add {
        let change = match at.is_new && address.addr().is_ipv6() {
            true => batch.add_address_at_once(index.clone(), address),
            false => batch.add_address(index.clone(), address),
        };
        change
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
