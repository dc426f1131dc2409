//! See `wasm_cni_fuzz_targets::journal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    wasm_cni_fuzz_targets::journal(bytes);
});
