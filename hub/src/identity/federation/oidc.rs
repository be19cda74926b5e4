//! OpenID Connect: the flow with a code, PKCE, state and nonce.
//!
//! The crate `openidconnect` verifies tokens. What is fetched goes through
//! [`crate::outgoing`], and what the crate leaves to its user is checked in
//! `tokens`.

mod attempt;
mod discovery;
mod flow;
mod tokens;

pub use self::attempt::Purpose;
pub use self::discovery::Known;
pub use self::flow::{Arrival, Finished, Start, secret_place};
