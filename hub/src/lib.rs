//! The library behind the hub binary.
