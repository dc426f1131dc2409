//! Links of kind `veth` (drivers/net/veth.c): pairs, each end in its namespace.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    sync::Arc,
};

use serde_json::{Map, Value};
use wasm_cni_kernel::{LinkKind, VethPeer};

use super::{change::Labels, commit::Commit, create::Kind};
use crate::{
    bindings::{net, types},
    convert,
    describe::{Scribe, mac, object},
    space::Space,
};

/// The pair, with its peer's namespace looked up.
///
/// # Errors
///
/// What of the peer makes no sense.
pub(super) fn checked(
    commit: &Commit<'_>,
    at: &Arc<Space>,
    veth: &net::Veth,
    what: &str,
) -> Result<Kind, types::Error> {
    let net::Veth { peer_name, peer_ns, peer_mac, peer_mtu } = veth;
    convert::link_name(peer_name, what)?;
    let space = commit.space(*peer_ns, what)?;
    let peer = VethPeer {
        name: peer_name.clone(),
        netns: (!Arc::ptr_eq(&space, at)).then(|| space.netns.as_fd().as_raw_fd()),
        mac: peer_mac.as_deref().map(|mac| convert::mac(mac, what)).transpose()?,
        mtu: *peer_mtu,
    };
    Ok(Kind { kind: LinkKind::Veth(peer), peer: Some((space.place(), peer_name.clone())), parent: None })
}

/// As the trace shows it.
pub(super) fn describe(veth: &net::Veth, labels: &Labels<'_>, scribe: &mut Scribe<'_>) -> Map<String, Value> {
    let net::Veth { peer_name, peer_ns, peer_mac, peer_mtu } = veth;
    let peer = object([
        ("name", scribe.text(peer_name)),
        ("ns", labels.of(*peer_ns, scribe)),
        ("mac", peer_mac.as_ref().map_or(Value::Null, |bytes| mac(bytes, scribe))),
        ("mtu", (*peer_mtu).into()),
    ]);
    [("kind".to_owned(), "veth".into()), ("peer".to_owned(), peer)].into_iter().collect()
}
