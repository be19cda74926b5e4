//! Credentials that were good a moment ago. Who asks often, as a Docker client
//! or the console does, is not made to wait for the database each time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::hash_secret;
use crate::clock::Timestamp;
use crate::http::SignedInUser;

/// How long a credential counts as good before the database is asked again: the
/// database may be changed by another hand, and a credential may end by itself.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// Credentials of one kind that are remembered at once.
const KEPT_MAX: usize = 1024;

/// Credentials of one kind that were found good, by the digest of their text.
#[derive(Debug, Default)]
pub struct Recent(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    found: HashMap<[u8; 32], Found>,
    /// How often everything was forgotten.
    forgotten: u64,
}

#[derive(Debug)]
struct Found {
    user: SignedInUser,
    at: Timestamp,
}

/// The moment before the database was asked: what it said is kept only if
/// nothing was forgotten since.
#[derive(Clone, Copy, Debug)]
pub struct Asked(u64);

impl Recent {
    /// Whose credential this text is, if it was good a moment ago.
    pub fn find(&self, text: &str, now: Timestamp) -> Option<SignedInUser> {
        let state = self.state();
        let found = state.found.get(&hash_secret(text.as_bytes()))?;
        is_recent(found, now).then(|| found.user.clone())
    }

    /// To be called before the database is asked.
    pub fn ask(&self) -> Asked {
        Asked(self.state().forgotten)
    }

    /// Remembers what the database said.
    pub fn keep(&self, text: &str, user: &SignedInUser, asked: Asked, now: Timestamp) {
        let mut state = self.state();
        if state.forgotten != asked.0 {
            return;
        }
        if state.found.len() >= KEPT_MAX {
            state.found.retain(|_, found| is_recent(found, now));
        }
        if state.found.len() < KEPT_MAX {
            state.found.insert(hash_secret(text.as_bytes()), Found { user: user.clone(), at: now });
        }
    }

    /// To be called once a credential was ended or its user shut out.
    pub fn forget(&self) {
        let mut state = self.state();
        state.found.clear();
        state.forgotten += 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that was set back makes nothing recent.
fn is_recent(found: &Found, now: Timestamp) -> bool {
    now >= found.at && now.since(found.at) < GOOD_FOR
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{CredentialUsed, Powers, Role, UserId};

    fn user() -> SignedInUser {
        let credential = CredentialUsed::ApiToken("id".to_owned());
        let (id, name, role) = (UserId(uuid::Uuid::nil()), "ada".to_owned(), Role::Viewer);
        let powers = Powers::of(role).into();
        SignedInUser { id, name, role, powers, credential, limits: None, second_factor_due: false }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1000).unwrap()
    }

    #[test]
    fn a_token_is_remembered_for_a_moment_only() {
        let recent = Recent::default();
        recent.keep("token", &user(), recent.ask(), at(5000));
        assert!(recent.find("token", at(5999)).is_some());
        assert!(recent.find("another", at(5000)).is_none());
        assert!(recent.find("token", at(6000)).is_none());
        assert!(recent.find("token", at(4000)).is_none(), "the clock was set back");
    }

    #[test]
    fn what_was_read_before_a_revocation_is_not_remembered_after_it() {
        let recent = Recent::default();
        let asked = recent.ask();
        recent.forget();
        recent.keep("token", &user(), asked, at(0));
        assert!(recent.find("token", at(0)).is_none());
    }

    #[test]
    fn a_flood_of_tokens_does_not_grow_the_table() {
        let recent = Recent::default();
        for number in 0..3 * KEPT_MAX {
            recent.keep(&number.to_string(), &user(), recent.ask(), at(0));
        }
        assert_eq!(recent.state().found.len(), KEPT_MAX);
    }
}
