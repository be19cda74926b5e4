//! OpenID Connect: the flow with a code, PKCE, state and nonce.
//!
//! The crate `openidconnect` verifies tokens. What is fetched goes through
//! [`crate::outgoing`], and what the crate leaves to its user is checked in
//! `tokens`.

mod attempt;
mod discovery;
mod flow;
mod logout;
mod signature;
mod tokens;

pub use self::attempt::{Attempt, Purpose};
pub use self::discovery::{Known, Trouble as Unasked};
pub use self::flow::{Arrival, Finished, Start, secret_place};
