//! See `tests/it/fuzz/targets.rs`.

#![no_main]

#[allow(dead_code, reason = "each fuzzer runs one of the targets")]
#[path = "../../it/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::signature(data));
