//! Arbitrary text as an enrollment token.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| windflow_protocol_fuzz::token(bytes));
