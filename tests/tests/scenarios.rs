//! Every scenario in one test binary: linked once, read by module.

mod scenarios {
    mod engines;
}
