//! Users whom somebody else knows: identity providers, what they say of whom,
//! and what follows from it here.
//!
//! `accounts` and `mapping` know no protocol: from somebody who was verified
//! they make a user with grants, or a refusal. `oidc` is how OpenID Connect
//! verifies people; another protocol is another folder beside it.
//!
//! Somebody is who they are by issuer and subject alone. No name and no address
//! ever leads to a user who is there already: such a user links the identity by
//! themselves, signed in.

mod accounts;
mod mapping;
mod model;
mod oidc;
mod routes;
mod service;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(super) use self::accounts::delete_spent;
use self::oidc::Known;
pub(super) use self::routes::routes;
use crate::outgoing::Outgoing;

/// The way to the providers, and what was learnt from them.
#[derive(Debug)]
pub struct Federation {
    outgoing: Arc<Outgoing>,
    known: Known,
}

impl Federation {
    /// Asks providers over `outgoing`.
    pub fn new(outgoing: Arc<Outgoing>) -> Self {
        Self { outgoing, known: Known::default() }
    }
}
