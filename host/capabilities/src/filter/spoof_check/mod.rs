//! `filter.spoof-check`: frames that enter a bridge are who they say they are.

mod by_nftables;

use std::fmt;

use serde::{Deserialize, Serialize};
use wasm_cni_kernel::LinkRef;
use wasm_cni_spec::attachment::Owner;
use wasmtime::component::{HasSelf, Resource};

use super::table::{Made, Table};
use crate::{
    bindings::{cni::Attachment, spoof_check, types},
    capability::Capability,
    convert,
    describe::{Describe, Mac},
    failure::{Reply, kernel_error, refuse},
    grants::table::Filter,
    handles::Namespace,
    needs::Needs,
    record::{
        effect::{Cleanup, Effect, Undone},
        scene::{Scene, Shared},
    },
    space::Place,
    state::State,
    world::World,
};

/// `wasm-cni:filter/spoof-check`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:filter/spoof-check@0.1.0",
    worlds: &[World::Interface],
    link: |linker| spoof_check::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |table| table.filters.as_ref().is_some_and(|filters| filters.contains(&Filter::SpoofCheck)),
    abilities: |table, imported, abilities| {
        let granted = (CAPABILITY.granted)(table) && table.has_host();
        abilities.say(imported && granted, "have the source of its own container's frames checked");
        abilities.say(false, "touch other packet filters");
    },
    needs: |_, _| {},
};

impl spoof_check::Host for State {
    fn add(&mut self, ns: Resource<Namespace>, port: String, mac: Vec<u8>) -> Reply<()> {
        let what = "spoof-check-add";
        let address = Mac(&mac);
        let arguments: [(_, &dyn Describe); 3] = [("ns", &ns), ("port", &port), ("mac", &address)];
        self.filter("spoof-check.add", &arguments, &ns, self.grants.spoof_check, what, |state, space| {
            convert::link_name(&port, what)?;
            let mac = <[u8; 6]>::try_from(&*mac)
                .map_err(|_| refuse(types::Code::Invalid, what, "the address of an Ethernet device has 6 bytes"))?;
            let failed = |e| kernel_error(&e);
            let link = space.netlink(|netlink| netlink.link_get(LinkRef::Name(&port))).map_err(failed)?;
            if state.attempt.facts().own(Place::Host, link.index).is_none() {
                return state.deny(what, &format!("for port {port:?}, which this attempt did not make"));
            }
            let owner = state.attempt.owner();
            if state.attempt.undoes() && !Table::SpoofCheck.exists(space).map_err(failed)? {
                state.note(Made::of(Table::SpoofCheck))?;
            }
            state.note(Checked { owner: owner.clone() })?;
            if state.attempt.is_rehearsed() {
                return Ok(());
            }
            by_nftables::check_spoofing(space, &owner, &port, mac).map_err(failed)
        })
    }

    fn remove(&mut self, ns: Resource<Namespace>) -> Reply<()> {
        self.filter(
            "spoof-check.remove",
            &[("ns", &ns)],
            &ns,
            self.grants.spoof_check,
            "spoof-check-remove",
            |state, space| by_nftables::uncheck_spoofing(space, &state.attempt.owner()).map_err(|e| kernel_error(&e)),
        )
    }

    fn gc(&mut self, ns: Resource<Namespace>, live: Vec<Attachment>) -> Reply<()> {
        let (granted, arguments) =
            (self.grants.spoof_check && self.collects(), [("ns", &ns as &dyn Describe), ("live", &live)]);
        self.filter("spoof-check.gc", &arguments, &ns, granted, "spoof-check-gc", |state, space| {
            if state.attempt.is_rehearsed() {
                return Ok(());
            }
            by_nftables::retain_spoof_checks(space, &state.live(live.clone())).map_err(|e| kernel_error(&e))
        })
    }
}

/// A spoof check that an attachment was given.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Checked {
    owner: Owner,
}

impl Effect for Checked {
    const TAG: &'static str = "spoof-check";
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

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        by_nftables::uncheck_spoofing(&scene.host, &scene.owner).map(|()| Undone::All).map_err(|e| e.to_string())
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spoof check of {}", self.owner.container_id)
    }
}
