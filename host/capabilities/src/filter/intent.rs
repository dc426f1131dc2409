//! What all filters have in common: whose packets they are about, and where.

use wasm_cni_kernel as kernel;
use wasm_cni_spec::{attachment::Owner, command::Command};
use wasmtime::component::Resource;

use crate::{
    bindings::{cni::Attachment, types},
    describe::Describe,
    failure::{Reply, refuse},
    handles::Namespace,
    space::{HOST, Space},
    state::State,
};

/// How often a batch is made anew because somebody else changed the rules that it was made for.
const ATTEMPTS: usize = 8;

impl State {
    /// Does it in the namespace behind a handle, if this plugin may filter packets
    /// there.
    pub(super) fn filter(
        &mut self,
        function: &'static str,
        arguments: &[(&str, &dyn Describe)],
        ns: &Resource<Namespace>,
        granted: bool,
        what: &str,
        f: impl FnOnce(&Self, &Space) -> Result<(), types::Error>,
    ) -> Reply<()> {
        self.call(function, arguments, |state| {
            let space = state.space(ns)?;
            if !granted || space.label != HOST {
                let label = space.label;
                let text = format!("plugin {:?} has no grant for this in the {label} namespace", state.plugin);
                return Err(refuse(types::Code::Denied, what, text).into());
            }
            Ok(f(state, &space)?)
        })
    }

    /// Only a GC knows which attachments are valid.
    pub(super) fn collects(&self) -> bool {
        self.attempt.command == Command::Gc
    }

    /// What the guest says is valid, and what it leaves out of what the caller
    /// says.
    pub(super) fn live(&self, said: Vec<Attachment>) -> Vec<Owner> {
        let live = self.attempt.facts().with_all_live(said);
        let network = &self.attempt.network;
        let owner = |Attachment { container_id, ifname }| Owner { network: network.clone(), container_id, ifname };
        live.into_iter().map(owner).collect()
    }
}

/// Does it until nobody interferes: `ENOENT` means that a rule went away after
/// it had been listed.
pub(super) fn patiently(mut attempt: impl FnMut() -> Result<(), kernel::Error>) -> Result<(), kernel::Error> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(e) if e.errno() == nix::libc::ENOENT => {}
            done => return done,
        }
    }
    attempt()
}
