//! The bridge itself, on the host: there for all containers, and never removed.

use cni_plugin::{
    Address, Batch, Bridge, Code, Context, Failure, Iface, IpNet, Link, LinkAttr, LinkKind, LinkRef, Netns, Tables,
    Tolerance, forwarding, go, link, result,
};

use crate::config::{Config, NO_NAME};
use crate::gateway::{self, Changes};
use crate::port::Pair;

/// The bridge as it was before this ADD gave it a port.
#[derive(Debug)]
pub(crate) struct HostBridge {
    /// Its MAC is still its own: once it has ports it is the lowest of theirs.
    pub(crate) link: Link,
    addresses: Vec<IpNet>,
    is_new: bool,
}

impl HostBridge {
    /// Finds the bridge, or makes it. An existing one costs a read: what it
    /// lacks goes along with the port ([`freshen`](Self::freshen)).
    pub(crate) fn ensure(host: &Netns, config: &Config) -> Result<Self, Failure> {
        let name = &config.bridge;
        let words = || format!("failed to create bridge {}", go::quoted(name));
        if name.is_empty() {
            return Err(NO_NAME.to_owned()).context(words);
        }
        if let Some(existing) = Self::find(host, name).context(words)? {
            if existing.link.kind != "bridge" {
                let text = format!("{} already exists but is not a bridge", go::quoted(name));
                return Err(text).context(words);
            }
            return Ok(existing);
        }
        make(host, config).context(words)?;
        let Some(bridge) = Self::find(host, name).context(words)? else {
            let text = format!("could not lookup {}: Link not found", go::quoted(name));
            return Err(text).context(words);
        };
        Ok(Self { is_new: true, ..bridge })
    }

    /// Lists what an existing bridge lacks.
    pub(crate) fn freshen<'a>(&'a self, batch: &mut Batch<'a>, config: &Config) {
        if !self.is_new {
            let lacks = |flag, wanted| wanted && self.link.flags & flag == 0;
            let promisc = lacks(link::IFF_PROMISC, config.promisc);
            let up = lacks(link::IFF_UP, true);
            shape(batch, &LinkRef::Index(self.link.index), &self.link.name, promisc, up);
        }
    }

    /// Gives the bridge the addresses of the gateways, or, in a VLAN, an
    /// interface of that VLAN, which is returned; and has the host forward.
    pub(crate) fn set_gateways(
        &self,
        host: &Netns,
        config: &Config,
        gateways: &[IpNet],
    ) -> Result<Option<Iface>, Failure> {
        if gateways.is_empty() {
            return Ok(None);
        }
        let interface = if config.vlans.access == 0 {
            set_addresses(host, config, &self.link, &self.addresses, gateways)
                .context(|| "failed to set bridge addr".to_owned())?;
            None
        } else {
            let vlan = self.vlan_interface(host, config).context(|| "failed to create vlan interface".to_owned())?;
            set_addresses(host, config, &vlan.link, &vlan.addresses, gateways)
                .context(|| "failed to set vlan interface for bridge with addr".to_owned())?;
            Some(result::interface(&vlan.link, ""))
        };
        let has = |v4| gateways.iter().any(|gateway| gateway.addr().is_ipv4() == v4);
        let mut batch = Batch::on(host);
        forwarding::enable(&mut batch, host, has(true), has(false))
            .context(|| "failed to enable forwarding".to_owned())?;
        batch.commit()?;
        Ok(interface)
    }

    /// The host's own way into the VLAN: a veth pair with one end in the
    /// bridge, for the VLAN's containers to reach their gateway by.
    fn vlan_interface(&self, host: &Netns, config: &Config) -> Result<Self, Failure> {
        let name = config.vlan_interface();
        let words = || format!("failed to find interface {}", go::quoted(&name));
        if let Some(existing) = Self::find(host, &name).context(words)? {
            return Ok(existing);
        }
        let pair = Pair {
            peer_name: &name,
            peer_namespace: host,
            peer_mac: None,
            mtu: Some(self.link.mtu),
            hairpin: false,
            isolated: false,
        };
        let access = crate::vlan::Vlans { trunk: None, ..config.vlans.clone() };
        pair.make(host, config, self)
            .and_then(|port| access.set_up(host, port.index, &port.name))
            .context(|| format!("faild to create vlan gateway {}", go::quoted(&name)))?;
        let mut batch = Batch::on(host);
        batch
            .set_link(LinkRef::Name(name.clone()), [LinkAttr::Up(true)])
            .context(|| format!("failed to up {}", go::quoted(&name)));
        batch.commit()?;
        Self::find(host, &name)
            .context(words)?
            .ok_or_else(|| format!("failed to lookup {}: Link not found", go::quoted(&name)).into())
    }

    fn find(host: &Netns, name: &str) -> Result<Option<Self>, cni_plugin::Error> {
        let found = link::find(host, LinkRef::Name(name.to_owned()), Tables::ADDRESSES)?;
        Ok(found.map(|(link, snapshot)| Self { link, addresses: nets(&snapshot.addresses), is_new: false }))
    }
}

/// Two ADDs may race to make the bridge; whoever loses uses the winner's.
fn make(host: &Netns, config: &Config) -> Result<(), Failure> {
    let mut batch = Batch::on(host);
    let kind = LinkKind::Bridge(Bridge { vlan_filtering: config.vlans.is_filtering() });
    let link = batch
        .add_link(&config.bridge, kind, config.mtu.map(LinkAttr::Mtu))
        .tolerate(Tolerance::OkIfExists)
        .context(|| format!("could not add {}", go::quoted(&config.bridge)))
        .made();
    shape(&mut batch, &link, &config.bridge, config.promisc, true);
    batch.commit()?;
    Ok(())
}

fn shape<'a>(batch: &mut Batch<'a>, link: &LinkRef, name: &'a str, promisc: bool, up: bool) {
    if promisc {
        batch
            .set_link(link.clone(), [LinkAttr::Promisc(true)])
            .context(move || format!("could not set promiscuous mode on {}", go::quoted(name)));
    }
    batch.sysctl(&format!("net/ipv6/conf/{name}/accept_ra"), "0").tolerate(Tolerance::BestEffort);
    if up {
        batch
            .set_link(link.clone(), [LinkAttr::Up(true)])
            .context(move || format!("failed to set {} up", go::quoted(name)));
    }
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

fn nets(addresses: &[Address]) -> Vec<IpNet> {
    let nets = addresses.iter().map(|address| IpNet::try_from(address.ip));
    nets.filter_map(Result::ok).collect()
}
