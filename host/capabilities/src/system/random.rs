//! `random`: random bytes.

use rustix::rand::{GetRandomFlags, getrandom};

use wasmtime::component::HasSelf;

use crate::{bindings::random, capability::Capability, describe::Hidden, state::State, world::World};

/// `wasm-cni:system/random`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:system/random@0.1.0",
    worlds: &[World::Interface],
    link: |linker| random::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |_| true,
    abilities: |_, imported, abilities| abilities.say(imported, "get random bytes"),
    needs: |_, _| {},
};

impl random::Host for State {
    fn bytes(&mut self, len: u32) -> wasmtime::Result<Vec<u8>> {
        // A key may be made of them: the trace shows only how many they are.
        let bytes = self.call_plain("random.bytes", &[("len", &len)], |_| {
            let mut bytes = vec![0; len.min(1024) as usize];
            // getrandom(2) promises to give this many at once.
            for part in bytes.chunks_mut(256) {
                getrandom(part, GetRandomFlags::empty())
                    .map_err(|e| wasmtime::Error::msg(format!("no random bytes: {e}")))?;
            }
            Ok(Hidden(bytes))
        });
        bytes.map(|Hidden(bytes)| bytes)
    }
}
