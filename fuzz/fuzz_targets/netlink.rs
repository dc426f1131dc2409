//! See `wasm_cni_fuzz_targets::netlink`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(wasm_cni_fuzz_targets::netlink(bytes)));
