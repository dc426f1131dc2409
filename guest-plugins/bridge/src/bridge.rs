//! The bridge itself, on the host: there for all containers, and never removed.

use cni_plugin::{
    Address, Batch, Bridge, Context, Failure, IpNet, Link, LinkAttr, LinkKind, LinkRef, Netns, Tables, Tolerance, go,
    link,
};

use crate::config::{Config, NO_NAME};

/// The bridge as it was before this ADD gave it a port.
#[derive(Debug)]
pub(crate) struct HostBridge {
    /// Its MAC is still its own: once it has ports it is the lowest of theirs.
    pub(crate) link: Link,
    pub(crate) addresses: Vec<IpNet>,
    /// This ADD has made it: nobody else is on it yet.
    pub(crate) is_new: bool,
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
        let is_new = make(host, config).context(words)?;
        let Some(bridge) = Self::find(host, name).context(words)? else {
            let text = format!("could not lookup {}: Link not found", go::quoted(name));
            return Err(text).context(words);
        };
        Ok(Self { is_new, ..bridge })
    }

    /// Lists what an existing bridge lacks.
    pub(crate) fn freshen<'a>(&'a self, batch: &mut Batch<'a>, config: &Config) {
        if !self.is_new {
            let lacks = |flag, wanted| wanted && self.link.flags & flag == 0;
            let promisc = lacks(link::IFF_PROMISC, config.promisc);
            let up = lacks(link::IFF_UP, true);
            let name = &self.link.name;
            // Of those that it makes, the host sees to that itself.
            batch.sysctl(&format!("net/ipv6/conf/{name}/accept_ra"), "0").tolerate(Tolerance::BestEffort);
            shape(batch, &LinkRef::Index(self.link.index), name, promisc, up);
        }
    }

    /// The link of this name, which need not be a bridge.
    pub(crate) fn find(host: &Netns, name: &str) -> Result<Option<Self>, cni_plugin::Error> {
        let found = link::find(host, LinkRef::Name(name.to_owned()), Tables::ADDRESSES)?;
        Ok(found.map(|(link, snapshot)| Self { link, addresses: nets(&snapshot.addresses), is_new: false }))
    }
}

/// Two ADDs may race to make the bridge; whoever loses uses the winner's. Gives whether it is this one's.
fn make(host: &Netns, config: &Config) -> Result<bool, Failure> {
    let mut batch = Batch::on(host);
    let kind = LinkKind::Bridge(Bridge { vlan_filtering: config.vlans.is_filtering() });
    let link = batch
        .add_link(&config.bridge, kind, config.mtu.map(LinkAttr::Mtu))
        .tolerate(Tolerance::OkIfExists)
        .context(|| format!("could not add {}", go::quoted(&config.bridge)))
        .made();
    shape(&mut batch, &link, &config.bridge, config.promisc, true);
    Ok(!batch.commit()?.existed(&link))
}

fn shape<'a>(batch: &mut Batch<'a>, link: &LinkRef, name: &'a str, promisc: bool, up: bool) {
    if promisc {
        batch
            .set_link(link.clone(), [LinkAttr::Promisc(true)])
            .context(move || format!("could not set promiscuous mode on {}", go::quoted(name)));
    }
    if up {
        batch
            .set_link(link.clone(), [LinkAttr::Up(true)])
            .context(move || format!("failed to set {} up", go::quoted(name)));
    }
}

/// Without those that are not valid.
pub(crate) fn nets(addresses: &[Address]) -> Vec<IpNet> {
    let nets = addresses.iter().map(|address| IpNet::try_from(address.ip));
    nets.filter_map(Result::ok).collect()
}
