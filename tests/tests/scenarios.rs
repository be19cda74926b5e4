//! Every scenario in one test binary: linked once, read by module.
#![expect(clippy::unwrap_used, reason = "all of it is tests, also what a test calls")]

mod scenarios {
    mod acceptance;
    mod bad_input;
    mod docker_cli;
    mod enrollment;
    mod faults;
    mod harness;
    mod proxies;
    mod two_hosts;
    mod workloads;
    mod worlds;

    /// How long something may take that takes a moment.
    const SOON: std::time::Duration = std::time::Duration::from_secs(15);
}
