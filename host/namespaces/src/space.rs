//! A network namespace with the netlink sockets that an operation uses in it: one of a kind.

use std::{
    net::IpAddr,
    os::fd::{AsFd as _, BorrowedFd},
    sync::Mutex,
    time::Instant,
};

use serde::{Deserialize, Serialize};
use wasm_cni_kernel::{
    Address, BridgeVlan, Condition, Error, FullRoute, IpFamily, Link, LinkAttrs, LinkRef, MacvlanMode, Neighbour,
    Netlink, Netns, NewLink, Nftables, Route, RouteAdd, RoutingRule,
};

use wasm_cni_context::faults;

/// Label of the namespace that the host's end of things is in.
pub const HOST: &str = "host";
/// Label of the container's namespace.
pub const SANDBOX: &str = "sandbox";

/// Which of a call's namespaces.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Where bridges and the hosts' ends of pairs are.
    Host,
    /// The container's.
    Sandbox,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Host => HOST,
            Self::Sandbox => SANDBOX,
        })
    }
}

/// Declares [`RouteSocket`], and that the kernel's socket is one by its own functions of the same names.
macro_rules! route_socket {
    ($($(#[$doc:meta])* fn $name:ident(&mut self $(, $arg:ident: $type:ty)*) -> $result:ty;)*) => {
        /// What is asked of a namespace's route socket. The kernel answers; in a plan, a recording of what it said and of
        /// what has been planned since.
        pub trait RouteSocket: Send {
            /// The kernel's socket itself; none in a plan.
            fn kernel(&mut self) -> Option<&mut Netlink>;
            $($(#[$doc])* fn $name(&mut self $(, $arg: $type)*) -> Result<$result, Error>;)*
        }

        impl RouteSocket for Netlink {
            fn kernel(&mut self) -> Option<&mut Netlink> {
                Some(self)
            }

            $(fn $name(&mut self $(, $arg: $type)*) -> Result<$result, Error> {
                Netlink::$name(self $(, $arg)*)
            })*
        }
    };
}

route_socket! {
    /// See [`Netlink::link_new`].
    fn link_new(&mut self, link: &NewLink) -> Link;
    /// See [`Netlink::link_set`].
    fn link_set(&mut self, index: u32, attrs: &LinkAttrs) -> ();
    /// See [`Netlink::link_notify_by_arp`].
    fn link_notify_by_arp(&mut self, index: u32) -> ();
    /// See [`Netlink::link_del`].
    fn link_del(&mut self, index: u32) -> ();
    /// See [`Netlink::link_get`].
    fn link_get(&mut self, link: LinkRef<'_>) -> Link;
    /// See [`Netlink::link_get_in`].
    fn link_get_in(&mut self, nsid: i32, index: u32) -> Link;
    /// See [`Netlink::link_alternative_names`].
    fn link_alternative_names(&mut self, index: u32) -> Vec<Vec<u8>>;
    /// See [`Netlink::link_drop_alternative_names`].
    fn link_drop_alternative_names(&mut self, index: u32, names: &[Vec<u8>]) -> ();
    /// See [`Netlink::nsid`].
    fn nsid(&mut self, netns: BorrowedFd<'_>) -> Option<i32>;
    /// See [`Netlink::nsid_in`].
    fn nsid_in(&mut self, nsid: i32, target: i32) -> Option<i32>;
    /// See [`Netlink::links`].
    fn links(&mut self) -> Vec<Link>;
    /// See [`Netlink::address_add`].
    fn address_add(&mut self, address: &Address) -> ();
    /// See [`Netlink::address_del`].
    fn address_del(&mut self, address: &Address) -> ();
    /// See [`Netlink::addresses`].
    fn addresses(&mut self, link: Option<u32>) -> Vec<Address>;
    /// See [`Netlink::route_add`].
    fn route_add(&mut self, route: &Route) -> ();
    /// See [`Netlink::route_del`].
    fn route_del(&mut self, route: &Route) -> ();
    /// See [`Netlink::routes`].
    fn routes(&mut self, link: Option<u32>) -> Vec<Route>;
    /// See [`Netlink::vlan_add`].
    fn vlan_add(&mut self, vlan: &BridgeVlan) -> ();
    /// See [`Netlink::vlan_del`].
    fn vlan_del(&mut self, vlan: &BridgeVlan) -> ();
    /// See [`Netlink::vlans`].
    fn vlans(&mut self, link: u32) -> Vec<BridgeVlan>;
    /// See [`Netlink::macvlan_mode`].
    fn macvlan_mode(&mut self, link: u32) -> MacvlanMode;
    /// See [`Netlink::full_route_add`].
    fn full_route_add(&mut self, route: &FullRoute, how: RouteAdd) -> ();
    /// See [`Netlink::full_route_del`].
    fn full_route_del(&mut self, route: &FullRoute) -> ();
    /// See [`Netlink::full_routes`].
    fn full_routes(&mut self, table: Option<u32>, link: Option<u32>) -> Vec<FullRoute>;
    /// See [`Netlink::rule_add`].
    fn rule_add(&mut self, rule: &RoutingRule) -> ();
    /// See [`Netlink::rule_del`].
    fn rule_del(&mut self, rule: &RoutingRule) -> ();
    /// See [`Netlink::rules`].
    fn rules(&mut self, family: Option<IpFamily>) -> Vec<RoutingRule>;
    /// See [`Netlink::neighbour_add`].
    fn neighbour_add(&mut self, neighbour: &Neighbour) -> ();
    /// See [`Netlink::neighbour_del`].
    fn neighbour_del(&mut self, neighbour: &Neighbour) -> ();
    /// See [`Netlink::neighbours`].
    fn neighbours(&mut self, link: Option<u32>) -> Vec<Neighbour>;
    /// See [`Netlink::holds`].
    fn holds(&mut self, link: u32, until: Condition) -> bool;
}

/// A recording of a namespace, which takes changes in the kernel's place.
pub trait Recording: Send + Sync {
    /// Answers what the route socket would.
    fn socket(&self) -> Box<dyn RouteSocket>;

    /// See [`Netns::sysctls_get`].
    ///
    /// # Errors
    ///
    /// The same.
    fn sysctls_get(&self, netns: &Netns, keys: &[&str]) -> Result<Vec<Option<String>>, Error>;

    /// See [`Netns::sysctls_set`].
    fn sysctls_set(&self, pairs: &[(&str, &str)]);
}

/// Shared by the instances of one operation and its undo record.
pub struct Space {
    /// [`HOST`] or [`SANDBOX`].
    pub label: &'static str,
    /// The namespace itself.
    pub netns: Netns,
    sockets: Mutex<Option<Box<dyn RouteSocket>>>,
    nftables: Mutex<Option<Nftables>>,
    /// What takes changes instead, in a dry run.
    recording: Option<Box<dyn Recording>>,
}

impl Space {
    /// A namespace, with no socket open yet.
    #[must_use]
    pub fn new(label: &'static str, netns: Netns) -> Self {
        Self { label, netns, sockets: Mutex::new(None), nftables: Mutex::new(None), recording: None }
    }

    /// The same, for a dry run.
    #[must_use]
    pub fn recorded(label: &'static str, netns: Netns, recording: Box<dyn Recording>) -> Self {
        Self { recording: Some(recording), ..Self::new(label, netns) }
    }

    /// Which of a call's namespaces it is.
    #[must_use]
    pub fn place(&self) -> Place {
        if self.label == HOST { Place::Host } else { Place::Sandbox }
    }

    /// Uses the route socket, opening it first if need be.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, and those of `f`.
    pub fn netlink<T>(&self, f: impl FnOnce(&mut dyn RouteSocket) -> Result<T, Error>) -> Result<T, Error> {
        faults::at_kernel()?;
        let mut socket = self.sockets.lock().expect("no panic with the lock held");
        if socket.is_none() {
            *socket = Some(match &self.recording {
                Some(recording) => recording.socket(),
                None => Box::new(self.netns.connect()?),
            });
        }
        f(&mut **socket.as_mut().expect("opened above"))
    }

    /// Makes a link here whose parent is in another namespace: the parent's is asked. See [`Netlink::link_new_in`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn link_new_by(&self, parent: &Self, link: &NewLink) -> Result<Link, Error> {
        parent.netlink(|from| {
            self.netlink(|there| match (from.kernel(), there.kernel()) {
                (Some(from), Some(there)) => from.link_new_in(link, self.netns.as_fd(), there),
                // A plan has one picture of both.
                _ => there.link_new(link),
            })
        })
    }

    /// Uses the socket for packet filters, opening it first if need be.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, and those of `f`.
    pub fn nftables<T>(&self, f: impl FnOnce(&mut Nftables) -> Result<T, Error>) -> Result<T, Error> {
        faults::at_kernel()?;
        let mut nftables = self.nftables.lock().expect("no panic with the lock held");
        if nftables.is_none() {
            *nftables = Some(self.netns.nftables()?);
        }
        f(nftables.as_mut().expect("opened above"))
    }

    /// See [`Netns::sysctls_get`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn sysctls_get(&self, keys: &[&str]) -> Result<Vec<Option<String>>, Error> {
        match &self.recording {
            Some(recording) => recording.sysctls_get(&self.netns, keys),
            None => self.netns.sysctls_get(keys),
        }
    }

    /// See [`Netns::sysctls_set`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn sysctls_set(
        &self,
        pairs: &[(&str, &str)],
        goes_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Result<(), Error>>, Error> {
        match &self.recording {
            Some(recording) => {
                recording.sysctls_set(pairs);
                Ok(pairs.iter().map(|_| Ok(())).collect())
            }
            None => self.netns.sysctls_set_while(pairs, goes_on),
        }
    }

    /// See [`Netns::announce`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn announce(&self, link: u32, mac: &[u8], addresses: &[IpAddr]) -> Result<(), Error> {
        match &self.recording {
            Some(_) => Ok(()),
            None => self.netns.announce(link, mac, addresses),
        }
    }

    /// See [`Netns::wait`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn wait(&self, link: u32, until: Condition, deadline: Instant) -> Result<bool, Error> {
        match &self.recording {
            Some(_) => Ok(true),
            None => self.netns.wait(link, until, deadline),
        }
    }
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label)
    }
}
