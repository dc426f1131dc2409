//! Using up what the host has to limit: time, memory, stack, calls.

use std::hint::black_box;

use cni_plugin::bindings::interface::wasm_cni::cni::delegate;
use cni_plugin::bindings::interface::wasm_cni::net::net;
use cni_plugin::{Batch, Condition, LinkRef, Netns, Output, Query, Tables, Tolerance, log, result};

use crate::probes::bridge;

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

/// The same in many small steps.
pub(crate) fn allocate_slowly() -> ! {
    loop {
        black_box(vec![1u8; 1 << 14].leak());
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
    Output { interfaces: (0..300).map(|_| result::named(&name, "")).collect(), ..Output::default() }
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

/// Reads all there is in a namespace for ever.
pub(crate) fn flood_reads(ns: &Netns) -> ! {
    let all = Query { tables: Tables::LINKS | Tables::ADDRESSES | Tables::ROUTES, link: None };
    loop {
        let _ = black_box(net::read(ns, &all));
    }
}

/// As many operations as a commit may have, for ever, each with an inverse.
pub(crate) fn flood_operations(ns: &Netns) -> ! {
    loop {
        let mut batch = Batch::on(ns);
        for turn in 0..1024 {
            let value = if turn % 2 == 0 { "1" } else { "0" };
            batch.sysctl("net/ipv4/conf/lo/arp_notify", value).tolerate(Tolerance::BestEffort);
        }
        let _ = black_box(batch.commit());
    }
}

/// Makes links for ever.
pub(crate) fn flood_links(ns: &Netns) -> ! {
    let mut number = 0u64;
    loop {
        let mut batch = Batch::on(ns);
        for _ in 0..64 {
            number += 1;
            batch.add_link(&format!("flood{number}"), bridge(), []);
        }
        let _ = black_box(batch.commit());
    }
}

/// Has another plugin called for ever, an instance each time.
pub(crate) fn flood_delegates(plugin: &str) -> ! {
    loop {
        let _ = black_box(delegate::add(plugin));
    }
}
