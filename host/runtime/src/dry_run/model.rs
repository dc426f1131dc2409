//! A recording of both namespaces of a call: what the kernel said at first, and what would have become of it since.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    sync::{Arc, Mutex, MutexGuard},
};

use nix::libc::{EADDRNOTAVAIL, EEXIST, ENODEV, EOPNOTSUPP, ESRCH};
use wasm_cni_capabilities::space::{Recording, RouteSocket};
use wasm_cni_kernel::{
    Address, BridgeVlan, Condition, Error, FullRoute, IFF_UP, IpFamily, Link, LinkAttrs, LinkRef, MacvlanMode,
    Neighbour, Netlink, Netns, NewLink, Route, RouteAdd, RoutingRule,
};

use super::{
    link,
    world::{State, World},
};

/// One of its namespaces.
pub(super) struct Model {
    world: Arc<Mutex<World>>,
    place: usize,
}

impl Model {
    /// Asks the kernel what there is.
    pub(super) fn of(world: &Arc<Mutex<World>>, label: &'static str, netns: &Netns) -> Self {
        let mut real = netns.connect().ok();
        let mut ask = || {
            let real = real.as_mut()?;
            Some((real.links().ok()?, real.addresses(None).ok()?, real.routes(None).ok()?))
        };
        let (links, addresses, routes) = ask().unwrap_or_default();
        let mut state = State {
            fd: netns.as_fd().as_raw_fd(),
            label,
            links: BTreeMap::new(),
            names: BTreeMap::new(),
            modes: BTreeMap::new(),
            addresses,
            routes,
            vlans: BTreeMap::new(),
            full_routes: None,
            rules: None,
            neighbours: None,
            sysctls: BTreeMap::new(),
            new_links: BTreeSet::new(),
            real,
        };
        links.into_iter().for_each(|link| state.put(link));
        let mut all = world.lock().expect("no panic with the lock held");
        all.places.push(state);
        Self { world: Arc::clone(world), place: all.places.len() - 1 }
    }
}

impl Recording for Model {
    fn socket(&self) -> Box<dyn RouteSocket> {
        Box::new(Socket { world: Arc::clone(&self.world), place: self.place })
    }

    /// Of a link that would be made, those that new links start with.
    fn sysctls_get(&self, netns: &Netns, keys: &[&str]) -> Result<Vec<Option<String>>, Error> {
        let mut world = self.world.lock().expect("no panic with the lock held");
        let state = &mut world.places[self.place];
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            let value = match state.sysctls.get(*key) {
                Some(value) => Some(value.clone()),
                None => {
                    let parts: Vec<_> = key.split('/').collect();
                    let real = match parts[..] {
                        [net, family, conf, link, name] if state.new_links.contains(link) => {
                            format!("{net}/{family}/{conf}/default/{name}")
                        }
                        _ => (*key).to_owned(),
                    };
                    netns.sysctls_get(&[real.as_str()])?.pop().flatten()
                }
            };
            values.push(value);
        }
        Ok(values)
    }

    fn sysctls_set(&self, pairs: &[(&str, &str)]) {
        let mut world = self.world.lock().expect("no panic with the lock held");
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        world.places[self.place].sysctls.extend(pairs);
    }
}

/// Answers what the route socket would.
struct Socket {
    world: Arc<Mutex<World>>,
    place: usize,
}

impl Socket {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no panic with the lock held")
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> Result<T, Error>) -> Result<T, Error> {
        f(&mut self.world().places[self.place])
    }
}

fn refuse(what: &str, errno: i32) -> Error {
    Error::of_errno(what, errno)
}

/// Adds what must not be there yet.
fn add<T: PartialEq>(all: &mut Vec<T>, new: T, what: &str) -> Result<(), Error> {
    if all.contains(&new) {
        return Err(refuse(what, EEXIST));
    }
    all.push(new);
    Ok(())
}

/// Removes what has to be there.
fn remove<T>(all: &mut Vec<T>, is_it: impl Fn(&T) -> bool, what: &str, errno: i32) -> Result<(), Error> {
    let position = all.iter().position(is_it).ok_or_else(|| refuse(what, errno))?;
    all.remove(position);
    Ok(())
}

impl RouteSocket for Socket {
    fn kernel(&mut self) -> Option<&mut Netlink> {
        None
    }

    fn link_new(&mut self, new: &NewLink) -> Result<Link, Error> {
        let made = link::make(&mut self.world(), self.place, new)?;
        self.with(|state| {
            state.new_links.insert(made.name.clone());
            Ok(made)
        })
    }

    fn link_set(&mut self, index: u32, attrs: &LinkAttrs) -> Result<(), Error> {
        link::set(&mut self.world(), self.place, index, attrs)
    }

    fn link_notify_by_arp(&mut self, index: u32) -> Result<(), Error> {
        self.link_get(LinkRef::Index(index)).map(drop)
    }

    fn link_del(&mut self, index: u32) -> Result<(), Error> {
        link::delete(&mut self.world(), self.place, index)
    }

    fn link_get(&mut self, reference: LinkRef<'_>) -> Result<Link, Error> {
        self.with(|state| link::find(state, reference).cloned())
    }

    /// A plan has the two namespaces of its call.
    fn link_get_in(&mut self, _: i32, _: u32) -> Result<Link, Error> {
        Err(refuse("link-get", ENODEV))
    }

    fn link_alternative_names(&mut self, index: u32) -> Result<Vec<Vec<u8>>, Error> {
        self.link_get(LinkRef::Index(index)).map(|_| Vec::new())
    }

    fn link_drop_alternative_names(&mut self, index: u32, _: &[Vec<u8>]) -> Result<(), Error> {
        self.link_get(LinkRef::Index(index)).map(drop)
    }

    fn nsid(&mut self, _: BorrowedFd<'_>) -> Result<Option<i32>, Error> {
        Ok(None)
    }

    fn nsid_in(&mut self, _: i32, _: i32) -> Result<Option<i32>, Error> {
        Ok(None)
    }

    fn links(&mut self) -> Result<Vec<Link>, Error> {
        self.with(|state| Ok(state.links.values().cloned().collect()))
    }

    fn address_add(&mut self, address: &Address) -> Result<(), Error> {
        self.with(|state| {
            let is_up = link::find(state, LinkRef::Index(address.link))?.flags & IFF_UP != 0;
            if state.addresses.iter().any(|other| other.link == address.link && other.ip == address.ip) {
                return Err(refuse("addr-add", EEXIST));
            }
            state.addresses.push(address.clone());
            if let Some(route) = link::connected(address).filter(|_| is_up) {
                state.routes.push(route);
            }
            Ok(())
        })
    }

    fn address_del(&mut self, address: &Address) -> Result<(), Error> {
        self.with(|state| {
            let is_it = |other: &Address| other.link == address.link && other.ip == address.ip;
            remove(&mut state.addresses, is_it, "addr-del", EADDRNOTAVAIL)?;
            if let Some(gone) = link::connected(address) {
                state.routes.retain(|route| *route != gone);
            }
            Ok(())
        })
    }

    fn addresses(&mut self, link: Option<u32>) -> Result<Vec<Address>, Error> {
        let is_of = |address: &&Address| link.is_none_or(|link| link == address.link);
        self.with(|state| Ok(state.addresses.iter().filter(is_of).cloned().collect()))
    }

    fn route_add(&mut self, route: &Route) -> Result<(), Error> {
        self.with(|state| add(&mut state.routes, link::as_read(route), "route-add"))
    }

    fn route_del(&mut self, route: &Route) -> Result<(), Error> {
        let wanted = link::as_read(route);
        let given = |given: u32, there: u32| given == 0 || given == there;
        let is_it = |there: &Route| {
            there.dst == wanted.dst
                && there.table == wanted.table
                && given(wanted.link, there.link)
                && given(route.metric, there.metric)
                && given(wanted.protocol.into(), there.protocol.into())
                && wanted.gateway.is_none_or(|gateway| there.gateway == Some(gateway))
                && wanted.src.is_none_or(|src| there.src == Some(src))
        };
        self.with(|state| remove(&mut state.routes, is_it, "route-del", ESRCH))
    }

    fn routes(&mut self, link: Option<u32>) -> Result<Vec<Route>, Error> {
        let is_of = |route: &&Route| link.is_none_or(|link| link == route.link);
        self.with(|state| Ok(state.routes.iter().filter(is_of).cloned().collect()))
    }

    fn vlan_add(&mut self, vlan: &BridgeVlan) -> Result<(), Error> {
        self.vlans(vlan.link)?;
        self.with(|state| {
            state.vlans.entry(vlan.link).or_default().push(*vlan);
            Ok(())
        })
    }

    fn vlan_del(&mut self, vlan: &BridgeVlan) -> Result<(), Error> {
        self.vlans(vlan.link)?;
        self.with(|state| {
            let gone = |there: &BridgeVlan| there.first >= vlan.first && there.last <= vlan.last;
            state.vlans.entry(vlan.link).or_default().retain(|there| !gone(there));
            Ok(())
        })
    }

    fn vlans(&mut self, index: u32) -> Result<Vec<BridgeVlan>, Error> {
        self.with(|state| {
            let name = link::find(state, LinkRef::Index(index))?.name.clone();
            if !state.vlans.contains_key(&index) {
                let real = state.real.as_mut().filter(|_| !state.new_links.contains(&name));
                let vlans = real.map_or(Ok(Vec::new()), |real| real.vlans(index))?;
                state.vlans.insert(index, vlans);
            }
            Ok(state.vlans[&index].clone())
        })
    }

    fn macvlan_mode(&mut self, index: u32) -> Result<MacvlanMode, Error> {
        self.with(|state| match (state.modes.get(&index), &mut state.real) {
            (Some(mode), _) => Ok(*mode),
            (None, Some(real)) => real.macvlan_mode(index),
            (None, None) => Err(refuse("macvlan-mode", EOPNOTSUPP)),
        })
    }

    fn full_route_add(&mut self, route: &FullRoute, how: RouteAdd) -> Result<(), Error> {
        self.full_routes(None, None)?;
        self.with(|state| {
            let routes = state.full_routes.get_or_insert_default();
            if matches!(how, RouteAdd::Replace) {
                routes.retain(|there| (there.dst, there.table, there.metric) != (route.dst, route.table, route.metric));
            }
            add(routes, route.clone(), "route-add")
        })
    }

    fn full_route_del(&mut self, route: &FullRoute) -> Result<(), Error> {
        self.full_routes(None, None)?;
        let is_it = |there: &FullRoute| (there.dst, there.table) == (route.dst, route.table);
        self.with(|state| remove(state.full_routes.get_or_insert_default(), is_it, "route-del", ESRCH))
    }

    fn full_routes(&mut self, table: Option<u32>, link: Option<u32>) -> Result<Vec<FullRoute>, Error> {
        self.with(|state| {
            let all = State::recorded(&mut state.full_routes, &mut state.real, |real| real.full_routes(None, None))?;
            let is_asked = |route: &FullRoute| {
                table.is_none_or(|table| table == route.table)
                    && link.is_none_or(|link| route.hops.iter().any(|hop| hop.link == link))
            };
            Ok(all.into_iter().filter(is_asked).collect())
        })
    }

    fn rule_add(&mut self, rule: &RoutingRule) -> Result<(), Error> {
        self.rules(None)?;
        self.with(|state| add(state.rules.get_or_insert_default(), rule.clone(), "rule-add"))
    }

    fn rule_del(&mut self, rule: &RoutingRule) -> Result<(), Error> {
        self.rules(None)?;
        let is_it = |there: &RoutingRule| {
            let priority = rule.priority.or(there.priority);
            RoutingRule { priority, ..there.clone() } == RoutingRule { priority, ..rule.clone() }
        };
        self.with(|state| remove(state.rules.get_or_insert_default(), is_it, "rule-del", ESRCH))
    }

    fn rules(&mut self, family: Option<IpFamily>) -> Result<Vec<RoutingRule>, Error> {
        self.with(|state| {
            let all = State::recorded(&mut state.rules, &mut state.real, |real| real.rules(None))?;
            Ok(all.into_iter().filter(|rule| family.is_none_or(|family| family == rule.family)).collect())
        })
    }

    fn neighbour_add(&mut self, neighbour: &Neighbour) -> Result<(), Error> {
        let _ = self.neighbour_del(neighbour);
        self.with(|state| add(state.neighbours.get_or_insert_default(), neighbour.clone(), "neighbour-add"))
    }

    fn neighbour_del(&mut self, neighbour: &Neighbour) -> Result<(), Error> {
        self.neighbours(None)?;
        let is_it = |there: &Neighbour| there.link == neighbour.link && there.ip == neighbour.ip;
        self.with(|state| remove(state.neighbours.get_or_insert_default(), is_it, "neighbour-del", ESRCH))
    }

    fn neighbours(&mut self, link: Option<u32>) -> Result<Vec<Neighbour>, Error> {
        self.with(|state| {
            let all = State::recorded(&mut state.neighbours, &mut state.real, |real| real.neighbours(None))?;
            Ok(all.into_iter().filter(|neighbour| link.is_none_or(|link| link == neighbour.link)).collect())
        })
    }

    fn holds(&mut self, index: u32, _: Condition) -> Result<bool, Error> {
        self.link_get(LinkRef::Index(index)).map(|_| true)
    }
}
