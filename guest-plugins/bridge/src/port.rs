//! Ports of the bridge: host's ends of veth pairs.

use cni_plugin::{
    Batch, Code, CommitFailed, Context, Failure, LinkAttr, LinkKind, LinkRef, Netns, Tolerance, Veth, go, link, veth,
};

use crate::bridge::HostBridge;
use crate::config::Config;

/// How often a name at random may turn out to be taken.
const ATTEMPTS: usize = 10;
const MAKE_PAIR: &str = "failed to make veth pair";

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
            peer_name: ifname,
            peer_namespace: sandbox,
            peer_mac: config.mac().context(|| MAKE_PAIR.to_owned())?,
            mtu: config.mtu,
            hairpin: config.hairpin,
            isolated: config.isolated,
        };
        let port = pair.make(host, config, bridge)?;
        config.vlans.set_up(host, port.index, &port.name)?;
        Ok(port)
    }
}

/// A veth pair to be made, one end of it a port of the bridge.
#[derive(Debug)]
pub(crate) struct Pair<'p> {
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
        let mut attempt = 1;
        loop {
            let name = veth::random_name();
            match self.try_make(&name, host, config, bridge) {
                Ok(index) => return Ok(Port { name, index }),
                Err(failed) if failed.cause.code != Code::Exists => return Err(failed.into()),
                Err(_) => {}
            }
            let taken = link::by_name(self.peer_namespace, self.peer_name)?.is_some();
            if taken || attempt == ATTEMPTS {
                return Err(Failure::plain(format!(
                    "container veth name ({}) peer provided ({}) already exists",
                    go::quoted(self.peer_name),
                    go::quoted(&name)
                )));
            }
            attempt += 1;
        }
    }

    fn try_make(&self, name: &str, host: &Netns, config: &Config, bridge: &HostBridge) -> Result<u32, CommitFailed> {
        let mut batch = Batch::on(host);
        bridge.freshen(&mut batch, config);
        let kind = LinkKind::Veth(Veth {
            peer_name: self.peer_name.to_owned(),
            peer_ns: batch.lend(self.peer_namespace),
            peer_mac: self.peer_mac.clone(),
            peer_mtu: self.mtu,
        });
        let attrs = [LinkAttr::Master(LinkRef::Index(bridge.link.index)), LinkAttr::Up(true)];
        let port =
            batch.add_link(name, kind, self.mtu.map(LinkAttr::Mtu).into_iter().chain(attrs)).or_say(MAKE_PAIR).made();
        batch.sysctl(&format!("net/ipv6/conf/{name}/accept_ra"), "0").tolerate(Tolerance::BestEffort);
        // Both are off in a new port.
        if self.hairpin {
            batch
                .set_link(port.clone(), [LinkAttr::Hairpin(true)])
                .or_say(format!("failed to setup hairpin mode for {name}"));
        }
        if self.isolated {
            batch
                .set_link(port.clone(), [LinkAttr::Isolated(true)])
                .or_say(format!("failed to set isolated on for {name}"));
        }
        Ok(batch.commit()?.index(&port))
    }
}
