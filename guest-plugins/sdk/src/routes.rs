//! Routes with all their attributes: several next hops, MTU, blackholes. The
//! [`Route`](crate::Route) of [`Batch::add_route`](crate::Batch::add_route) does for most
//! plugins.
//!
//! ```no_run
//! # use cni_plugin::*;
//! # use cni_plugin::routes::{Hop, How, Route};
//! # fn example(sandbox: &Netns) -> Result<(), Failure> {
//! let gateways = ["10.1.0.1", "10.2.0.1"].map(|gateway| gateway.parse().unwrap());
//! let hops = gateways.map(|gateway| Hop { weight: 2, ..Hop::via(gateway) });
//! let mut batch = Batch::on(sandbox);
//! batch.other(routes::add(&Route { mtu: 1400, ..Route::to(ip::default_net(true), hops) }, How::Create));
//! batch.commit()?;
//! # Ok(()) }
//! ```

use std::net::IpAddr;

pub use crate::bindings::interface::wasm_cni::route::routes::{Hop, How, Kind, Route, list};
use crate::bindings::interface::wasm_cni::route::routes::{add as add_route, del as delete_route};
use crate::{IpNet, LinkRef, OtherChange};

/// `RTPROT_BOOT` (linux/rtnetlink.h).
const PROTOCOL_BOOT: u8 = 3;

/// Adds a route; for [`Batch::other`](crate::Batch::other).
pub fn add(route: &Route, how: How) -> OtherChange {
    add_route(route, how)
}

/// Deletes the route that agrees in all that is given; for
/// [`Batch::other`](crate::Batch::other).
pub fn delete(route: &Route) -> OtherChange {
    delete_route(route)
}

impl Route {
    /// A unicast route in the main table, by these next hops.
    pub fn to(dst: IpNet, hops: impl IntoIterator<Item = Hop>) -> Self {
        Self {
            kind: Kind::Unicast,
            dst: dst.into(),
            hops: hops.into_iter().collect(),
            src: None,
            table: 0,
            metric: 0,
            scope: 0,
            protocol: PROTOCOL_BOOT,
            mtu: 0,
            advmss: 0,
        }
    }
}

impl Hop {
    /// By a gateway; the kernel finds the link.
    pub fn via(gateway: IpAddr) -> Self {
        Self { link: None, gateway: Some(gateway.into()), weight: 1, onlink: false }
    }

    /// Directly by a link.
    pub fn by(link: LinkRef) -> Self {
        Self { link: Some(link), gateway: None, weight: 1, onlink: false }
    }
}
