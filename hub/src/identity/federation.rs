//! Users whom somebody else knows: identity providers, what they say of whom,
//! and what follows from it here.
//!
//! `accounts` and `mapping` know no protocol: from somebody who was verified
//! they make a user with grants, or a refusal. `oidc` is how OpenID Connect
//! verifies people, `github` how GitHub does, `ldap` how a directory does.
//!
//! Somebody is who they are by issuer and subject alone. No name and no address
//! ever leads to a user who is there already: such a user links the identity by
//! themselves, signed in.

mod accounts;
mod github;
mod ldap;
mod mapping;
mod model;
mod oidc;
mod routes;
mod service;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::Semaphore;

pub(super) use self::accounts::delete_spent;
pub(super) use self::ldap::{Elsewhere, Pace, Person};
use self::oidc::Known;
pub(super) use self::routes::routes;
pub(super) use self::service::ways_to_confirm;
pub(super) use self::store::{is_in_directory, list_directories};
use crate::outgoing::Outgoing;

/// People whose passwords are tried with directories at once.
const DIRECTORY_TURNS: usize = 16;

/// The way to the providers, and what was learnt from them.
#[derive(Debug)]
pub struct Federation {
    outgoing: Arc<Outgoing>,
    known: Known,
    directory_turns: Semaphore,
}

impl Federation {
    /// Asks providers over `outgoing`.
    pub fn new(outgoing: Arc<Outgoing>) -> Self {
        Self { outgoing, known: Known::default(), directory_turns: Semaphore::new(DIRECTORY_TURNS) }
    }
}
