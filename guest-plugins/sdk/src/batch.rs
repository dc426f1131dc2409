//! Changes, listed and then made at once: one host call, few messages to the
//! kernel.

use std::fmt;

use ipnet::IpNet;

use crate::bindings::interface::wasm_cni::net::net::{Action, LinkNew, LinkSet, Made, Op, Sysctl, commit};
use crate::{Address, BridgeVlan, Error, LinkAttr, LinkKind, LinkRef, Netns, OtherChange, Route, Tolerance};

/// `IFA_F_NODAD` (linux/if_addr.h).
const NO_DAD: u32 = 0x02;

/// Changes in one namespace, in their order. Every failure ends the batch,
/// unless the change is told to [`tolerate`](Change::tolerate) it.
///
/// ```no_run
/// # use cni_plugin::*;
/// # fn example(host: &Netns) -> Result<(), Failure> {
/// let mut batch = Batch::on(host);
/// let bridge = LinkKind::Bridge(Bridge { vlan_filtering: false });
/// let br0 = batch.add_link("br0", bridge, [LinkAttr::Up(true)]).made();
/// batch
///     .sysctl("net/ipv6/conf/br0/accept_ra", "0")
///     .tolerate(Tolerance::BestEffort);
/// let index = batch.commit()?.index(&br0);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Batch<'n> {
    namespaces: Vec<&'n Netns>,
    changes: Vec<Change<'n>>,
}

impl<'n> Batch<'n> {
    /// An empty list of changes in `namespace`.
    pub fn on(namespace: &'n Netns) -> Self {
        Self { namespaces: vec![namespace], changes: Vec::new() }
    }

    /// Lends the batch a further namespace, for the peer of a veth or the parent
    /// of a macvlan; the result is what [`Veth::peer_ns`](crate::Veth::peer_ns)
    /// and [`Macvlan::parent_ns`](crate::macvlan::Macvlan::parent_ns) call it.
    pub fn add_namespace(&mut self, namespace: &'n Netns) -> u32 {
        self.namespaces.push(namespace);
        self.namespaces.len() as u32 - 1
    }

    /// Makes a link; [`Change::made`] refers to it in the changes that follow.
    pub fn add_link(
        &mut self,
        name: &str,
        kind: LinkKind,
        attrs: impl IntoIterator<Item = LinkAttr>,
    ) -> &mut Change<'n> {
        self.push(Action::LinkAdd(LinkNew { name: name.to_owned(), kind, attrs: attrs.into_iter().collect() }))
    }

    /// Changes a link.
    pub fn set_link(&mut self, link: LinkRef, attrs: impl IntoIterator<Item = LinkAttr>) -> &mut Change<'n> {
        let attrs = attrs.into_iter().collect();
        self.push(Action::LinkSet(LinkSet { link, attrs }))
    }

    /// Deletes a link.
    pub fn delete_link(&mut self, link: LinkRef) -> &mut Change<'n> {
        self.push(Action::LinkDel(link))
    }

    /// Adds an address.
    pub fn add_address(&mut self, link: LinkRef, ip: IpNet) -> &mut Change<'n> {
        self.push(Action::AddrAdd(address(link, ip)))
    }

    /// Adds an address that is usable at once: nobody is asked whether it is a duplicate. For
    /// links that nobody else is on.
    pub fn add_address_at_once(&mut self, link: LinkRef, ip: IpNet) -> &mut Change<'n> {
        self.push(Action::AddrAdd(Address { flags: NO_DAD, ..address(link, ip) }))
    }

    /// Removes an address.
    pub fn delete_address(&mut self, link: LinkRef, ip: IpNet) -> &mut Change<'n> {
        self.push(Action::AddrDel(address(link, ip)))
    }

    /// Adds a route.
    pub fn add_route(&mut self, route: Route) -> &mut Change<'n> {
        self.push(Action::RouteAdd(route))
    }

    /// Removes a route.
    pub fn delete_route(&mut self, route: Route) -> &mut Change<'n> {
        self.push(Action::RouteDel(route))
    }

    /// Adds VLANs to a bridge port.
    pub fn add_vlans(&mut self, vlans: BridgeVlan) -> &mut Change<'n> {
        self.push(Action::VlanAdd(vlans))
    }

    /// Removes VLANs from a bridge port.
    pub fn delete_vlans(&mut self, vlans: BridgeVlan) -> &mut Change<'n> {
        self.push(Action::VlanDel(vlans))
    }

    /// Writes a sysctl: `net/ipv4/ip_forward`.
    pub fn sysctl(&mut self, key: &str, value: &str) -> &mut Change<'n> {
        self.push(Action::SysctlSet(Sysctl { key: key.to_owned(), value: value.to_owned() }))
    }

    /// Tells the neighbours where the link's addresses are.
    pub fn announce(&mut self, link: LinkRef) -> &mut Change<'n> {
        self.push(Action::Announce(link))
    }

    /// Makes a change that a function of another package describes: see
    /// [`dummy`](crate::dummy), [`macvlan`](crate::macvlan),
    /// [`routes`](crate::routes), [`rules`](crate::rules) and
    /// [`neighbours`](crate::neighbours).
    pub fn other(&mut self, change: OtherChange) -> &mut Change<'n> {
        self.push(Action::Other(change))
    }

    /// Makes the changes. An empty batch costs nothing.
    pub fn commit(self) -> Result<Committed, CommitFailed> {
        if self.changes.is_empty() {
            return Ok(Committed(Vec::new()));
        }
        let (ops, mut contexts): (Vec<Op>, Vec<Option<Context<'n>>>) =
            self.changes.into_iter().map(|change| (change.op, change.context)).unzip();
        commit(&self.namespaces, ops).map(Committed).map_err(|error| CommitFailed {
            context: contexts.get_mut(error.at as usize).and_then(Option::take).map(|context| context()),
            at: error.at,
            cause: error.cause,
        })
    }

    fn push(&mut self, act: Action) -> &mut Change<'n> {
        let at = self.changes.len();
        let op = Op { ns: 0, act, tolerate: Tolerance::Strict };
        self.changes.push(Change { at: at as u32, op, context: None });
        &mut self.changes[at]
    }
}

/// A change of a batch, to say more about it.
pub struct Change<'n> {
    at: u32,
    op: Op,
    context: Option<Context<'n>>,
}

/// Few changes fail: the text for the others is never put together.
type Context<'n> = Box<dyn FnOnce() -> String + 'n>;

impl<'n> Change<'n> {
    /// Which failures count as success.
    pub fn tolerate(&mut self, tolerance: Tolerance) -> &mut Self {
        self.op.tolerate = tolerance;
        self
    }

    /// The text that goes in front of the kernel's if this change fails. It is only
    /// put together then.
    pub fn context(&mut self, context: impl FnOnce() -> String + 'n) -> &mut Self {
        self.context = Some(Box::new(context));
        self
    }

    /// The link that this change will have made. Meaningful for
    /// [`add_link`](Batch::add_link) and for an [`other`](Batch::other) that makes one.
    pub fn made(&self) -> LinkRef {
        LinkRef::Made(self.at)
    }
}

impl fmt::Debug for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").field("at", &self.at).field("op", &self.op).finish_non_exhaustive()
    }
}

/// What a batch has made.
#[derive(Clone, Debug)]
pub struct Committed(Vec<Option<Made>>);

impl Committed {
    /// The index of the link that [`Change::made`] stood for.
    ///
    /// # Panics
    ///
    /// If this is not a link that the batch has made.
    pub fn index(&self, link: &LinkRef) -> u32 {
        self.made(link).index
    }

    /// Whether the link that [`Change::made`] stood for was there before, which [`Tolerance::OkIfExists`] permits.
    ///
    /// # Panics
    ///
    /// The same.
    pub fn existed(&self, link: &LinkRef) -> bool {
        self.made(link).existed
    }

    fn made(&self, link: &LinkRef) -> &Made {
        let made = match link {
            LinkRef::Made(op) => self.0.get(*op as usize).and_then(Option::as_ref),
            _ => None,
        };
        made.expect("a link that the batch has made")
    }
}

/// A batch that ended early. The changes before the failed one are made; the
/// host undoes them when the plugin's ADD fails.
#[derive(Clone, Debug)]
pub struct CommitFailed {
    /// The change that failed, counted from 0.
    pub at: u32,
    /// Why it failed.
    pub cause: Error,
    context: Option<String>,
}

/// The kernel's reason, after the change's own [`context`](Change::context).
impl fmt::Display for CommitFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.context {
            Some(context) => write!(f, "{context}: {}", self.cause.message()),
            None => f.write_str(&self.cause.full_message()),
        }
    }
}

impl std::error::Error for CommitFailed {}

fn address(link: LinkRef, ip: IpNet) -> Address {
    Address { link, ip: ip.into(), flags: 0 }
}
