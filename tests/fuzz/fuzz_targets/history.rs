//! See `tests/it/fuzz/history.rs`.

#![no_main]

#[allow(dead_code, reason = "each fuzzer runs one of the targets")]
#[path = "../../it/fuzz/history.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::history(data));
