//! Using up what the host has to limit: time, memory, stack, calls.

use std::hint::black_box;

use cni_plugin::bindings::interface::wasm_cni::net::net;
use cni_plugin::{Condition, LinkRef, Netns, Output, log, result};

const MEBIBYTE: usize = 1 << 20;

/// Computes for ever, without a call to the host.
pub(crate) fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Takes memory without end.
pub(crate) fn allocate() -> ! {
    loop {
        black_box(vec![1u8; MEBIBYTE].leak());
    }
}

/// Calls itself until the stack ends.
#[expect(unconditional_recursion, reason = "on purpose")]
pub(crate) fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    recurse(depth + 1) + black_box(frame)[7]
}

/// Some 300 MB of interfaces.
pub(crate) fn huge_result() -> Output {
    let name = "x".repeat(MEBIBYTE);
    Output { interfaces: (0..300).map(|_| result::named(&name, "")).collect(), ..result::empty() }
}

/// Writes to the log for ever.
pub(crate) fn flood_log() -> ! {
    let line = "flood ".repeat(200);
    loop {
        log::error(&line);
    }
}

/// Makes the cheapest host call for ever.
pub(crate) fn flood_calls(ns: &Netns) -> ! {
    loop {
        black_box(ns.label());
    }
}

/// Waits for ever, ten seconds at a time: `lo` is never "up" (RFC 2863), but
/// "unknown".
pub(crate) fn wait_for_ever(ns: &Netns) -> ! {
    loop {
        let lo = LinkRef::Name("lo".into());
        let _ = black_box(net::wait(ns, &lo, Condition::OperUp, 10_000));
    }
}
