//! Arbitrary bytes as the multiplexer's frames.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| windflow_protocol_fuzz::frame(bytes));
