//! Arbitrary bytes as the start of a stream.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| windflow_protocol_fuzz::preamble(bytes));
