//! `filter.masquerade`: source NAT, by nftables or iptables.

pub mod by_iptables;
pub mod by_nftables;

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use wasm_cni_spec::attachment::Owner;
use wasmtime::component::{HasSelf, Resource};

use super::{
    iptables::{Iptables, Protocol},
    table::{Made, Table},
};
use crate::{
    bindings::{cni::Attachment, masquerade, types},
    capability::Capability,
    convert,
    describe::{Describe, Scribe, case},
    failure::{Reply, kernel_error, refuse},
    grants::table::Filter,
    handles::Namespace,
    needs::Needs,
    record::{
        effect::{Cleanup, Effect, Undone},
        scene::{Scene, Shared},
    },
    space::Space,
    state::State,
    world::World,
};

/// `wasm-cni:filter/masquerade`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:filter/masquerade@0.1.0",
    worlds: &[World::Interface],
    link: |linker| masquerade::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |table| table.filters.as_ref().is_some_and(|filters| filters.contains(&Filter::Masquerade)),
    // Whether iptables(8) is to be run depends on the operation, too.
    abilities: |table, imported, abilities| {
        let granted = (CAPABILITY.granted)(table) && table.has_host();
        abilities.say(imported && granted, "have its own container's traffic masqueraded");
    },
    needs: |_, _| {},
};

/// Most addresses of one attachment.
const MAX_ADDRESSES: usize = 256;

impl masquerade::Host for State {
    fn add(
        &mut self,
        ns: Resource<Namespace>,
        addresses: Vec<types::IpNet>,
        backend: Option<masquerade::Backend>,
    ) -> Reply<()> {
        let what = "masquerade-add";
        let arguments: [(_, &dyn Describe); 3] = [("ns", &ns), ("addresses", &addresses), ("backend", &backend)];
        self.filter("masquerade.add", &arguments, &ns, self.grants.masquerade, what, |state, space| {
            let addresses = checked(&addresses, what)?;
            let others = |address: &&IpNet| !state.attempt.facts().has_address(address);
            if let Some(address) = addresses.iter().find(others) {
                let text = format!("for {address}, which no IPAM plugin gave to this attachment");
                return state.deny(what, &text);
            }
            let owner = state.attempt.owner();
            // Half of it may be done when it fails: the note stays.
            state.note(Masqueraded { owner: owner.clone(), addresses: addresses.clone() })?;
            if state.attempt.is_rehearsed() {
                return Ok(());
            }
            match state.backend(space, backend, &addresses) {
                masquerade::Backend::Nftables => state.by_nftables(space, &owner, &addresses),
                masquerade::Backend::Iptables => {
                    let failed = match by_iptables::add(&state.iptables(space), &owner, &addresses) {
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

    fn remove(&mut self, ns: Resource<Namespace>, addresses: Vec<types::IpNet>) -> Reply<()> {
        let what = "masquerade-remove";
        let arguments: [(_, &dyn Describe); 2] = [("ns", &ns), ("addresses", &addresses)];
        self.filter("masquerade.remove", &arguments, &ns, self.grants.masquerade, what, |state, space| {
            let addresses = checked(&addresses, what)?;
            if state.attempt.is_rehearsed() {
                return Ok(());
            }
            let owner = state.attempt.owner();
            let nft = by_nftables::unmasquerade(space, &owner).map_err(|e| kernel_error(&e));
            let iptables = by_iptables::remove(&state.iptables(space), &owner, &addresses);
            nft.and(iptables)
        })
    }

    fn gc(&mut self, ns: Resource<Namespace>, live: Vec<Attachment>) -> Reply<()> {
        let (granted, arguments) =
            (self.grants.masquerade && self.collects(), [("ns", &ns as &dyn Describe), ("live", &live)]);
        self.filter("masquerade.gc", &arguments, &ns, granted, "masquerade-gc", |state, space| {
            if state.attempt.is_rehearsed() {
                return Ok(());
            }
            let (network, live) = (&state.attempt.network, state.live(live.clone()));
            let nft = by_nftables::retain_masquerade(space, network, &live).map_err(|e| kernel_error(&e));
            let iptables = by_iptables::retain(&state.iptables(space), network, &live);
            nft.and(iptables)
        })
    }

    fn status(&mut self, ns: Resource<Namespace>, backend: Option<masquerade::Backend>) -> Reply<()> {
        let arguments: [(_, &dyn Describe); 2] = [("ns", &ns), ("backend", &backend)];
        self.filter(
            "masquerade.status",
            &arguments,
            &ns,
            self.grants.masquerade,
            "masquerade-status",
            |state, space| {
                let nft = || Table::Masquerade.exists(space).map(drop).map_err(|e| kernel_error(&e));
                match state.backend(space, backend, &[]) {
                    masquerade::Backend::Nftables => nft(),
                    masquerade::Backend::Iptables => match state.iptables(space).probe() {
                        Err(failed) if backend.is_none() => nft().map_err(|_| failed),
                        done => done,
                    },
                }
            },
        )
    }
}

impl State {
    fn iptables<'a>(&'a self, space: &'a Space) -> Iptables<'a> {
        Iptables::new(&self.attempt.context, space, self.who()).within(&self.attempt.deadline)
    }

    /// The reference's rule: iptables, unless only nftables is usable, which it is too where the
    /// program for the family of an address is missing. That it is installed and does not work
    /// shows when it is used.
    fn backend(&self, space: &Space, asked: Option<masquerade::Backend>, addresses: &[IpNet]) -> masquerade::Backend {
        let iptables = self.iptables(space);
        let has_program = |address: &IpNet| iptables.has_programs(Protocol::of(address.addr()));
        asked.unwrap_or_else(|| match iptables.is_installed() && addresses.iter().all(has_program) {
            true => masquerade::Backend::Iptables,
            false => masquerade::Backend::Nftables,
        })
    }

    fn by_nftables(&self, space: &Space, owner: &Owner, addresses: &[IpNet]) -> Result<(), types::Error> {
        let failed = |e| kernel_error(&e);
        let ready = by_nftables::is_ready_to_masquerade(space).map_err(failed)?;
        if !ready && self.attempt.undoes() && !Table::Masquerade.exists(space).map_err(failed)? {
            self.note(Made::of(Table::Masquerade))?;
        }
        by_nftables::masquerade(space, owner, addresses, ready).map_err(failed)
    }
}

fn checked(addresses: &[types::IpNet], what: &str) -> Result<Vec<IpNet>, types::Error> {
    if addresses.len() > MAX_ADDRESSES {
        let text = format!("an attachment has at most {MAX_ADDRESSES} addresses");
        return Err(refuse(types::Code::Limit, what, text));
    }
    addresses.iter().map(|address| convert::ip_net(address, what)).collect()
}

impl Describe for masquerade::Backend {
    fn describe(&self, _: &mut Scribe<'_>) -> serde_json::Value {
        case(self)
    }
}

/// Rules that an attachment was given.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Masqueraded {
    owner: Owner,
    /// Without addresses, as earlier builds noted it, they are those of all of the container's interfaces.
    #[serde(default)]
    addresses: Vec<IpNet>,
}

impl Effect for Masqueraded {
    const TAG: &'static str = "masquerade";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        false
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Detach
    }

    // See the capability's.
    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        let iptables = Iptables::new(&scene.context, &scene.host, scene.who(""));
        let iptables = by_iptables::remove(&iptables, &scene.owner, &self.addresses);
        let nftables = by_nftables::unmasquerade(&scene.host, &scene.owner).map_err(|e| e.to_string());
        nftables.and(iptables.map_err(|e| e.msg)).map(|()| Undone::All)
    }
}

impl fmt::Display for Masqueraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "masquerade rules of {}", self.owner.container_id)
    }
}
