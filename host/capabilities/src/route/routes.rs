//! `route.routes`: the interface. What its changes do is in files of their own.

use serde_json::Value;
use wasm_cni_kernel::{FullRoute, RouteKind};
use wasmtime::component::{HasSelf, Resource};

use super::{add::Add, check, delete::Delete};
use crate::{
    bindings::{
        net,
        routes::{self, Kind},
    },
    capability::Capability,
    convert,
    describe::{Describe, Scribe, case, number, object},
    failure::{Reply, kernel_error},
    grants::table::Operation,
    handles::{Namespace, Pending},
    net::{inside, pending::size_of_link, read},
    state::State,
    world::World,
};

/// `wasm-cni:route/routes`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:route/routes@0.1.0",
    worlds: &[World::Interface],
    link: |linker| routes::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |table| table.namespaces.as_ref().is_some_and(|namespaces| !namespaces.is_empty()),
    abilities: |table, imported, abilities| {
        let changes = [Operation::RouteAdd, Operation::RouteSet, Operation::RouteDel];
        let what = "change routes of every kind in the container's namespace";
        abilities.say(imported && table.changes_inside(&changes), what);
    },
    needs: |_, _| {},
};

impl routes::Host for State {
    fn add(&mut self, route: routes::Route, how: routes::How) -> wasmtime::Result<Resource<Pending>> {
        self.call_plain("routes.add", &[("route", &route), ("how", &how)], |state| {
            state.keep(size(&route), Add { route: route.clone(), how })
        })
    }

    fn del(&mut self, route: routes::Route) -> wasmtime::Result<Resource<Pending>> {
        self.call_plain("routes.del", &[("route", &route)], |state| state.keep(size(&route), Delete(route.clone())))
    }

    fn list(
        &mut self,
        ns: Resource<Namespace>,
        table: Option<u32>,
        link: Option<net::LinkRef>,
    ) -> Reply<Vec<routes::Route>> {
        self.call("routes.list", &[("ns", &ns), ("table", &table), ("link", &link)], |state| {
            let space = state.space(&ns)?;
            let link = link.as_ref().map(|link| read::resolve(&space, link, "routes")).transpose()?;
            let found = space.netlink(|netlink| netlink.full_routes(table, link)).map_err(|e| kernel_error(&e))?;
            Ok(inside::listed(found, "routes", wit)?)
        })
    }
}

/// The bytes that a guest has sent.
fn size(route: &routes::Route) -> usize {
    let names = route.hops.iter().filter_map(|hop| hop.link.as_ref()).map(size_of_link);
    names.sum::<usize>() + size_of_val(route.hops.as_slice())
}

fn wit(route: FullRoute) -> routes::Route {
    let FullRoute { kind, dst, hops, src, table, metric, scope, protocol, mtu, advmss } = route;
    let hop = |hop: &wasm_cni_kernel::Hop| routes::Hop {
        link: (hop.link != 0).then_some(net::LinkRef::Index(hop.link)),
        gateway: hop.gateway.map(convert::wit_ip),
        weight: hop.weight,
        onlink: hop.onlink,
    };
    let hops = hops.iter().map(hop).collect();
    let kind = match kind {
        RouteKind::Unicast => Kind::Unicast,
        RouteKind::Blackhole => Kind::Blackhole,
        RouteKind::Unreachable => Kind::Unreachable,
        RouteKind::Prohibit => Kind::Prohibit,
        RouteKind::Throw => Kind::Throw,
    };
    let (dst, src) = (convert::wit_net(dst), src.map(convert::wit_ip));
    routes::Route { kind, dst, hops, src, table, metric, scope, protocol, mtu, advmss }
}

impl Describe for routes::Route {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let Self { kind, dst, hops, src, table, metric, scope, protocol, mtu, advmss } = self;
        object([
            ("kind", if *kind == Kind::Unicast { Value::Null } else { case(kind) }),
            ("dst", dst.describe(scribe)),
            ("hops", if hops.is_empty() { Value::Null } else { hops.describe(scribe) }),
            ("src", src.describe(scribe)),
            ("table", number(*table)),
            ("metric", number(*metric)),
            ("scope", number((*scope).into())),
            ("protocol", number((*protocol).into())),
            ("mtu", number(*mtu)),
            ("advmss", number(*advmss)),
        ])
    }
}

impl Describe for routes::Hop {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let Self { link, gateway, weight, onlink } = self;
        object([
            ("link", link.describe(scribe)),
            ("gateway", gateway.describe(scribe)),
            ("weight", if *weight == check::NO_WEIGHT { Value::Null } else { (*weight).into() }),
            ("onlink", if *onlink { true.into() } else { Value::Null }),
        ])
    }
}

impl Describe for routes::How {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        case(self)
    }
}
