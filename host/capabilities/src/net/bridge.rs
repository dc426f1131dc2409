//! Links of kind `bridge` (linux/if_bridge.h).

use serde_json::{Map, Value};
use wasm_cni_kernel::LinkKind;

use super::create::Kind;
use crate::bindings::net;

/// There is nothing to check in a bridge but its name, which the policy has a say in.
pub(super) fn checked(bridge: &net::Bridge) -> Kind {
    let net::Bridge { vlan_filtering } = *bridge;
    Kind { kind: LinkKind::Bridge { vlan_filtering }, peer: None, parent: None }
}

/// As the trace shows it.
pub(super) fn describe(bridge: &net::Bridge) -> Map<String, Value> {
    let net::Bridge { vlan_filtering } = *bridge;
    [("kind".to_owned(), "bridge".into()), ("vlan-filtering".to_owned(), vlan_filtering.into())].into_iter().collect()
}
