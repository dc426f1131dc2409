//! `filter.spoof-check`: frames that enter a bridge are who they say they are.

use wasmtime::component::Resource;

use super::{
    Owner, State,
    nftables::{self, Table},
};
use crate::{
    bindings::{spoof_check, types},
    host::{convert, kernel_error, net::Namespace, refuse},
    undo::Undo,
    wire,
};

type Reply = wasmtime::Result<Result<(), types::Error>>;

impl spoof_check::Host for State {
    fn add(&mut self, ns: Resource<Namespace>, port: String, mac: Vec<u8>) -> Reply {
        let what = "spoof-check-add";
        self.enter()?;
        let space = match self.filtered(&ns, self.grants.spoof_check, what)? {
            Ok(space) => space,
            Err(refused) => return Ok(Err(self.failed(refused))),
        };
        let done = convert::link_name(&port, what).and_then(|()| {
            let mac = <[u8; 6]>::try_from(mac)
                .map_err(|_| refuse(types::Code::Invalid, what, "the address of an Ethernet device has 6 octets"))?;
            let failed = |e| kernel_error(&e);
            let owner = Owner::of(&self.attempt);
            if self.attempt.undoes() && !Table::SpoofCheck.exists(&space).map_err(failed)? {
                self.note(Undo::FilterTable { table: Table::SpoofCheck })?;
            }
            self.note(Undo::SpoofCheck { owner: owner.clone() })?;
            nftables::check_spoofing(&space, &owner, &port, mac).map_err(failed)
        });
        Ok(done.map_err(|e| self.failed(e)))
    }

    fn remove(&mut self, ns: Resource<Namespace>) -> Reply {
        self.enter()?;
        let space = match self.filtered(&ns, self.grants.spoof_check, "spoof-check-remove")? {
            Ok(space) => space,
            Err(refused) => return Ok(Err(self.failed(refused))),
        };
        let done = nftables::uncheck_spoofing(&space, &Owner::of(&self.attempt));
        Ok(done.map_err(|e| self.failed(kernel_error(&e))))
    }

    fn gc(&mut self, ns: Resource<Namespace>, live: Vec<wire::Attachment>) -> Reply {
        self.enter()?;
        let space = match self.filtered(&ns, self.grants.spoof_check && self.collects(), "spoof-check-gc")? {
            Ok(space) => space,
            Err(refused) => return Ok(Err(self.failed(refused))),
        };
        let done = nftables::retain_spoof_checks(&space, &self.live(&live));
        Ok(done.map_err(|e| self.failed(kernel_error(&e))))
    }
}
