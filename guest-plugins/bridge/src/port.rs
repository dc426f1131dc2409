//! Ports of the bridge: host's ends of veth pairs.

use cni_plugin::veth::{self, MAKE_PAIR};
use cni_plugin::{Batch, CommitFailed, Context, Failure, LinkAttr, LinkKind, LinkRef, Netns, Veth, link, spoof_check};

use crate::bridge::HostBridge;
use crate::config::Config;

/// A host's end of a veth pair, enslaved to the bridge.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) index: u32,
}

impl Port {
    /// Makes the container's port.
    pub(crate) fn add(
        host: &Netns,
        sandbox: &Netns,
        ifname: &str,
        config: &Config,
        bridge: &HostBridge,
    ) -> Result<Self, Failure> {
        let pair = Pair {
            name: config.host_interface.as_deref(),
            peer_name: ifname,
            peer_namespace: sandbox,
            peer_mac: config.mac().context(|| MAKE_PAIR.to_owned())?,
            mtu: config.mtu,
            hairpin: config.hairpin,
            isolated: config.isolated,
        };
        let port = pair.make(host, config, bridge)?;
        config.vlans.set_up(host, port.index, &port.name)?;
        if config.spoof_check {
            port.check_spoofing(host, sandbox, ifname).context(|| "failed to setup spoof-check".to_owned())?;
        }
        Ok(port)
    }

    /// Only frames from the container's own address may enter.
    fn check_spoofing(&self, host: &Netns, sandbox: &Netns, ifname: &str) -> Result<(), Failure> {
        let container = link::by_name(sandbox, ifname)?;
        let container = container.ok_or_else(|| format!("{ifname}: Link not found"))?;
        spoof_check::add(host, &self.name, &container.mac)?;
        Ok(())
    }
}

/// A veth pair to be made, one end of it a port of the bridge.
#[derive(Debug)]
pub(crate) struct Pair<'p> {
    /// Of the port; none leaves it to chance.
    pub(crate) name: Option<&'p str>,
    pub(crate) peer_name: &'p str,
    pub(crate) peer_namespace: &'p Netns,
    pub(crate) peer_mac: Option<Vec<u8>>,
    /// Of both ends; none leaves it to the kernel.
    pub(crate) mtu: Option<u32>,
    pub(crate) hairpin: bool,
    pub(crate) isolated: bool,
}

impl Pair<'_> {
    /// Makes the pair, its other end directly in its namespace: moving it
    /// there afterwards would cost more than all the rest.
    pub(crate) fn make(&self, host: &Netns, config: &Config, bridge: &HostBridge) -> Result<Port, Failure> {
        let make = |name: &str| self.try_make(name, host, config, bridge);
        let (name, index) = veth::make(self.peer_namespace, self.peer_name, self.name, make)?;
        Ok(Port { name, index })
    }

    fn try_make(&self, name: &str, host: &Netns, config: &Config, bridge: &HostBridge) -> Result<u32, CommitFailed> {
        let mut batch = Batch::on(host);
        bridge.freshen(&mut batch, config);
        let kind = LinkKind::Veth(Veth {
            peer_name: self.peer_name.to_owned(),
            peer_ns: batch.add_namespace(self.peer_namespace),
            peer_mac: self.peer_mac.clone(),
            peer_mtu: self.mtu,
        });
        let attrs = [LinkAttr::Master(LinkRef::Index(bridge.link.index)), LinkAttr::Up(true)];
        let port = batch
            .add_link(name, kind, self.mtu.map(LinkAttr::Mtu).into_iter().chain(attrs))
            .context(|| MAKE_PAIR.to_owned())
            .made();
        // Both are off in a new port.
        if self.hairpin {
            batch
                .set_link(port.clone(), [LinkAttr::Hairpin(true)])
                .context(move || format!("failed to setup hairpin mode for {name}"));
        }
        if self.isolated {
            batch
                .set_link(port.clone(), [LinkAttr::Isolated(true)])
                .context(move || format!("failed to set isolated on for {name}"));
        }
        Ok(batch.commit()?.index(&port))
    }
}
