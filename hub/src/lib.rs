//! The library behind the hub binary.

//pub mod docker;
pub mod fleet;
