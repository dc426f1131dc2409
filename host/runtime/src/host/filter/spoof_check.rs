//! `filter.spoof-check`: frames that enter a bridge are who they say they are.

use wasm_cni_kernel::LinkRef;
use wasmtime::component::Resource;

use super::{
    Owner, State,
    nftables::{self, Table},
};
use crate::{
    bindings::{spoof_check, types},
    host::{convert, kernel_error, net::Namespace, refuse, space::Place},
    undo::Undo,
    wire,
};

type Reply = wasmtime::Result<Result<(), types::Error>>;

impl spoof_check::Host for State {
    fn add(&mut self, ns: Resource<Namespace>, port: String, mac: Vec<u8>) -> Reply {
        let what = "spoof-check-add";
        self.filter(&ns, self.grants.spoof_check, what, |state, space| {
            convert::link_name(&port, what)?;
            let mac = <[u8; 6]>::try_from(mac)
                .map_err(|_| refuse(types::Code::Invalid, what, "the address of an Ethernet device has 6 octets"))?;
            let failed = |e| kernel_error(&e);
            let link = space.netlink(|netlink| netlink.link_get(LinkRef::Name(&port))).map_err(failed)?;
            if state.attempt.known().own(Place::Host, link.index).is_none() {
                return state.deny(what, &format!("for port {port:?}, which this attempt did not make"));
            }
            let owner = Owner::of(&state.attempt);
            if state.attempt.undoes() && !Table::SpoofCheck.exists(space).map_err(failed)? {
                state.note(Undo::FilterTable { table: Table::SpoofCheck })?;
            }
            state.note(Undo::SpoofCheck { owner: owner.clone() })?;
            nftables::check_spoofing(space, &owner, &port, mac).map_err(failed)
        })
    }

    fn remove(&mut self, ns: Resource<Namespace>) -> Reply {
        self.filter(&ns, self.grants.spoof_check, "spoof-check-remove", |state, space| {
            nftables::uncheck_spoofing(space, &Owner::of(&state.attempt)).map_err(|e| kernel_error(&e))
        })
    }

    fn gc(&mut self, ns: Resource<Namespace>, live: Vec<wire::Attachment>) -> Reply {
        self.filter(&ns, self.grants.spoof_check && self.collects(), "spoof-check-gc", |state, space| {
            nftables::retain_spoof_checks(space, &state.live(live)).map_err(|e| kernel_error(&e))
        })
    }
}
