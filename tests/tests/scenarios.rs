//! Every scenario in one test binary: linked once, read by module.
#![expect(clippy::unwrap_used, reason = "all of it is tests, also what a test calls")]

mod scenarios {
    mod engines;
    mod networks;
}
