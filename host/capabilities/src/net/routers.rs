//! Links that are made on the host do not listen to routers: by its end of a pair the container would otherwise give
//! the host addresses, a default route and a resolver (CVE-2020-10749). Here, and not in plugins: none can be trusted to.
//!
//! A link starts with the host's own settings. So it is made down, and comes up when it is deaf: what a container sends at
//! the first moment finds nobody.

use wasm_cni_kernel::{Error, Link, LinkAttrs, LinkRef, NewLink};

use super::commit::Commit;
use crate::space::{HOST, Place, Space};

/// The smallest MTU with IPv6 (RFC 8200, 5). With a smaller one a link has no settings of IPv6; when its MTU grows, it gets
/// the host's again.
pub const MIN_MTU: u32 = 1280;

/// Makes a link, as [`wasm_cni_kernel::Netlink::link_new`] does. `peer` is where the other end of a pair goes to.
///
/// # Errors
///
/// The same. Nothing is left then.
pub(super) fn make_deaf(commit: &Commit<'_>, at: &Space, peer: Option<Place>, link: &NewLink) -> Result<Link, Error> {
    let is_here = at.label == HOST;
    let has_peer_here = peer == Some(Place::Host);
    if !is_here && !has_peer_here {
        return at.netlink(|netlink| netlink.link_new(link));
    }
    let up = link.attrs.up.filter(|up| *up && is_here);
    let down = NewLink { attrs: LinkAttrs { up: None, ..link.attrs.clone() }, ..link.clone() };
    let made = at.netlink(|netlink| netlink.link_new(if up.is_some() { &down } else { link }))?;
    let indices = [is_here.then_some(made.index), has_peer_here.then_some(made.parent)];
    let deafened = deafen(commit, at, indices.into_iter().flatten());
    let raised = deafened.and_then(|()| match up {
        Some(_) => at.netlink(|netlink| netlink.link_set(made.index, &LinkAttrs { up, ..LinkAttrs::default() })),
        None => Ok(()),
    });
    if let Err(error) = raised {
        let _ = at.netlink(|netlink| netlink.link_del(made.index));
        return Err(error);
    }
    Ok(Link { flags: made.flags | up.map_or(0, |_| wasm_cni_kernel::IFF_UP), ..made })
}

/// By their names of now.
fn deafen(commit: &Commit<'_>, at: &Space, links: impl Iterator<Item = u32>) -> Result<(), Error> {
    let host =
        if at.label == HOST { Some(at) } else { commit.spaces.iter().map(|space| &**space).find(|s| s.label == HOST) };
    let Some(host) = host else { return Ok(()) };
    let keys = host.netlink(|netlink| {
        let name = |index| Ok(format!("net/ipv6/conf/{}/accept_ra", netlink.link_get(LinkRef::Index(index))?.name));
        links.map(name).collect::<Result<Vec<String>, Error>>()
    })?;
    let pairs: Vec<_> = keys.iter().map(|key| (key.as_str(), "0")).collect();
    let written = host.sysctls_set(&pairs, &|| true)?;
    for (key, failed) in keys.iter().zip(written).filter_map(|(key, result)| Some((key, result.err()?))) {
        // Where /proc/sys is read-only, the network is worth more.
        if listens(host, key) {
            let text = format!("cannot have a new link ignore routers: open /proc/sys/{key}: {}", failed.reason());
            commit.state.attempt.warn(&commit.state.plugin, &text);
        }
    }
    Ok(())
}

/// Without such a key the link has no IPv6. A link that forwards listens by 2 only.
fn listens(host: &Space, key: &str) -> bool {
    let forwarding = key.replace("/accept_ra", "/forwarding");
    let values = host.sysctls_get(&[key, &forwarding]).unwrap_or_default();
    let values: Vec<_> = values.iter().map(Option::as_deref).collect();
    !matches!(values[..], [None | Some("0"), _] | [Some("1"), Some("1")])
}
