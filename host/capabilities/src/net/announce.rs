//! Telling the neighbours where a link's addresses are: gratuitous ARP and unsolicited neighbour advertisements.

use std::{net::IpAddr, sync::Arc};

use serde_json::Value;
use wasm_cni_kernel as kernel;

use super::{
    change::{Change, Labels},
    commit::Commit,
    host_links::Touch,
};
use crate::{
    bindings::{net, types},
    describe::{Describe, Scribe},
    failure::kernel_error,
    grants::table::Operation,
    space::Space,
};

// linux/if_addr.h
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;

/// Gratuitous ARP (RFC 5227, 3) and unsolicited neighbour advertisements (RFC 4861, 7.2.6). There is nothing to take back.
pub(super) struct Announce<'a>(pub(super) &'a net::LinkRef);

impl Change for Announce<'_> {
    fn name(&self) -> &'static str {
        "announce"
    }

    fn operation(&self) -> Operation {
        Operation::Announce
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        commit.tolerated(announce(commit, at, self.0, self.name()))?;
        Ok(None)
    }

    fn describe(&self, _: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        self.0.describe(scribe)
    }
}

fn announce(commit: &Commit<'_>, at: &Space, link: &net::LinkRef, what: &str) -> Result<(), types::Error> {
    let index = commit.link(at, link, what)?;
    commit.may_touch(at, index, Touch::Other, what)?;
    let (link, addresses) = at
        .netlink(|netlink| Ok((netlink.link_get(kernel::LinkRef::Index(index))?, netlink.addresses(Some(index))?)))
        .map_err(|e| kernel_error(&e))?;
    let usable = addresses.iter().filter(|address| address.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) == 0);
    let addresses: Vec<_> = usable.map(|address| address.ip.addr()).filter(|ip| is_announced(*ip)).collect();
    if link.mac.len() != 6 || addresses.is_empty() {
        return Ok(());
    }
    at.announce(index, &link.mac, &addresses).map_err(|e| kernel_error(&e))
}

/// Loopback and link-local addresses need no announcement: nobody has them cached.
fn is_announced(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}
