//! The test harness: real engines, networks, faults and the real programs.
//!
//! * [`engine`]: Docker engines of both versions, each in its own folder and
//!   namespaces.
//! * [`network`]: relays, proxies and namespaces, and what goes wrong there.
//! * [`machine`]: machines with an init system and files of their own, and
//!   disks that can be filled.
//! * [`product`]: the hub, the agent and the `docker` command through them.
//! * [`simulated`]: engines and agents that are played by the test itself.
//! * [`secrets`]: what no log, no record and no process may tell.
//! * [`process`] and [`wait`]: everything that runs and every wait for it.
//! * [`places`]: where the programs are.
//!
//! What a test starts ends with it, also when it fails. A harness function
//! panics with a sentence instead of returning an error: a test that cannot
//! have what it needs has failed.

pub mod engine;
pub mod machine;
pub mod network;
pub mod places;
pub mod process;
pub mod product;
pub mod secrets;
pub mod simulated;
pub mod wait;
