//! `filter.masquerade`: source NAT, by nftables or iptables.

use ipnet::IpNet;
use wasmtime::component::Resource;

use super::{
    Owner, State, iptables,
    nftables::{self, Table},
};
use crate::{
    bindings::{masquerade, types},
    host::{convert, kernel_error, net::Namespace, refuse, space::Space},
    undo::Undo,
    wire,
};

type Reply = wasmtime::Result<Result<(), types::Error>>;

/// Most addresses of one attachment.
const MAX_ADDRESSES: usize = 256;

impl masquerade::Host for State {
    fn add(
        &mut self,
        ns: Resource<Namespace>,
        addresses: Vec<types::IpNet>,
        backend: Option<masquerade::Backend>,
    ) -> Reply {
        let what = "masquerade-add";
        self.filter(&ns, self.grants.masquerade, what, |state, space| {
            let addresses = checked(&addresses, what)?;
            let others = |address: &&IpNet| !state.attempt.known().has_address(address);
            if let Some(address) = addresses.iter().find(others) {
                let text = format!("for {address}, which no IPAM plugin gave to this attachment");
                return state.deny(what, &text);
            }
            let owner = Owner::of(&state.attempt);
            // Half of it may be done when it fails: the note stays.
            state.note(Undo::Masquerade { owner: owner.clone(), addresses: addresses.clone() })?;
            match state.backend(space, backend) {
                masquerade::Backend::Nftables => state.by_nftables(space, &owner, &addresses),
                masquerade::Backend::Iptables => {
                    let failed = match state.iptables(space).add(&owner, &addresses) {
                        Ok(()) => return Ok(()),
                        Err(failed) => failed,
                    };
                    let is_choice = backend.is_some();
                    if is_choice || state.iptables(space).probe().is_ok() {
                        return Err(failed);
                    }
                    // The default is whichever works.
                    state.by_nftables(space, &owner, &addresses).map_err(|_| failed)
                }
            }
        })
    }

    fn remove(&mut self, ns: Resource<Namespace>, addresses: Vec<types::IpNet>) -> Reply {
        let what = "masquerade-remove";
        self.filter(&ns, self.grants.masquerade, what, |state, space| {
            let addresses = checked(&addresses, what)?;
            let owner = Owner::of(&state.attempt);
            let nft = nftables::unmasquerade(space, &owner).map_err(|e| kernel_error(&e));
            let iptables = state.iptables(space).remove(&owner, &addresses);
            nft.and(iptables)
        })
    }

    fn gc(&mut self, ns: Resource<Namespace>, live: Vec<wire::Attachment>) -> Reply {
        self.filter(&ns, self.grants.masquerade && self.collects(), "masquerade-gc", |state, space| {
            let (network, live) = (&state.attempt.network, state.live(live));
            let nft = nftables::retain_masquerade(space, network, &live).map_err(|e| kernel_error(&e));
            let iptables = state.iptables(space).retain(network, &live);
            nft.and(iptables)
        })
    }

    fn status(&mut self, ns: Resource<Namespace>, backend: Option<masquerade::Backend>) -> Reply {
        self.filter(&ns, self.grants.masquerade, "masquerade-status", |state, space| {
            let nft = || Table::Masquerade.exists(space).map(drop).map_err(|e| kernel_error(&e));
            match state.backend(space, backend) {
                masquerade::Backend::Nftables => nft(),
                masquerade::Backend::Iptables => match state.iptables(space).probe() {
                    Err(failed) if backend.is_none() => nft().map_err(|_| failed),
                    done => done,
                },
            }
        })
    }
}

impl State {
    fn iptables<'a>(&'a self, space: &'a Space) -> iptables::Iptables<'a> {
        iptables::Iptables::new(&self.attempt.runtime, space, self.who())
    }

    /// The reference's rule: iptables, unless only nftables is usable. That it
    /// is installed and does not work shows when it is used.
    fn backend(&self, space: &Space, asked: Option<masquerade::Backend>) -> masquerade::Backend {
        asked.unwrap_or_else(|| match self.iptables(space).is_installed() {
            true => masquerade::Backend::Iptables,
            false => masquerade::Backend::Nftables,
        })
    }

    fn by_nftables(&self, space: &Space, owner: &Owner, addresses: &[IpNet]) -> Result<(), types::Error> {
        let failed = |e| kernel_error(&e);
        let ready = nftables::is_ready_to_masquerade(space).map_err(failed)?;
        if !ready && self.attempt.undoes() && !Table::Masquerade.exists(space).map_err(failed)? {
            self.note(Undo::FilterTable { table: Table::Masquerade })?;
        }
        nftables::masquerade(space, owner, addresses, ready).map_err(failed)
    }
}

fn checked(addresses: &[types::IpNet], what: &str) -> Result<Vec<IpNet>, types::Error> {
    if addresses.len() > MAX_ADDRESSES {
        let text = format!("an attachment has at most {MAX_ADDRESSES} addresses");
        return Err(refuse(types::Code::Limit, what, text));
    }
    addresses.iter().map(|address| convert::ip_net(address, what)).collect()
}
