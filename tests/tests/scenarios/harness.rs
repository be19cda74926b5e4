//! What the harness itself promises to the scenarios.

mod engines;
mod networks;
mod secrets;
