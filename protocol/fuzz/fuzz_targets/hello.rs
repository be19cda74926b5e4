//! Arbitrary bytes as each typed message.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| windflow_protocol_fuzz::hello(bytes));
