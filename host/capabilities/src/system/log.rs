//! `log`: a line for the operator.

use wasmtime::component::HasSelf;

use crate::{
    bindings::log,
    capability::Capability,
    context::LogLine,
    describe::{Describe, Scribe, case},
    state::State,
    text::{for_people, one_line},
    world::World,
};

/// `wasm-cni:system/log`.
pub const CAPABILITY: Capability = Capability {
    interface: "wasm-cni:system/log@0.1.0",
    worlds: &World::ALL,
    link: |linker| log::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
    granted: |_| true,
    abilities: |_, imported, abilities| abilities.say(imported, "write lines to the log"),
    needs: |_, _| {},
};

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.call_plain("log.write", &[("level", &level), ("message", &message)], |state| {
            if matches!(level, log::Level::Error) {
                *state.last_words.lock().expect("no panic with the lock held") = Some(for_people(&message));
            }
            state.log(level, message.clone());
            Ok(())
        })
    }
}

impl State {
    /// A line of the log, as much of it as the limit leaves.
    pub fn log(&self, level: log::Level, mut message: String) {
        let left = self.allowance.log_left();
        if message.len() > left {
            message.truncate(message.floor_char_boundary(left));
        }
        self.allowance.take_log(message.len());
        if !message.is_empty() {
            (self.attempt.context.log)(&LogLine {
                level: match level {
                    log::Level::Trace => "trace",
                    log::Level::Debug => "debug",
                    log::Level::Info => "info",
                    log::Level::Warn => "warn",
                    log::Level::Error => "error",
                },
                plugin: &self.plugin,
                network: &self.attempt.network,
                container_id: &self.attempt.container_id,
                message: &one_line(&message),
            });
        }
    }
}

impl Describe for log::Level {
    fn describe(&self, _: &mut Scribe<'_>) -> serde_json::Value {
        case(self)
    }
}
