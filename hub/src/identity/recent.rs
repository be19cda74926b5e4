//! Credentials that were good a moment ago. Who asks often, as a Docker client
//! or the console does, is not made to wait for the database each time, on
//! whichever of several hubs they ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::hash_secret;
use crate::clock::Timestamp;
use crate::http::{CredentialUsed, Limits, Powers, Role, SignedInUser, UserId};
use crate::peers::{Name, Peers, Recalled};
use crate::vault::{Place, Vault};

/// How long a credential counts as good before the database is asked again: the
/// database may be changed by another hand, and a credential may end by itself.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// By how much the clocks of several hubs may differ for one to believe what
/// another one remembered.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_secs(2);
/// Credentials of one kind that are remembered at once.
const KEPT_MAX: usize = 1024;

/// Credentials of one kind that were found good, by the digest of their text.
#[derive(Debug)]
pub struct Recent {
    kind: &'static str,
    here: Mutex<HashMap<[u8; 32], Found>>,
    peers: Peers,
    vault: Arc<Vault>,
}

#[derive(Debug)]
struct Found {
    user: SignedInUser,
    at: Timestamp,
    /// How often credentials had ended before.
    ended: u64,
}

/// The moment before the database was asked: what it said is kept only if
/// no credential ended since.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// How often credentials had ended then, as this hub knew.
    here: u64,
    /// The same as all hubs know, where they can be asked.
    everywhere: Option<u64>,
}

/// What several hubs remember together, sealed.
#[derive(Serialize, Deserialize)]
struct Remembered {
    at: Timestamp,
    ended: u64,
    id: UserId,
    name: String,
    role: Role,
    powers: Powers,
    credential: CredentialUsed,
    limits: Option<Limits>,
    second_factor_due: bool,
}

impl Recent {
    /// Nobody was recognised yet.
    pub fn new(kind: &'static str, peers: Peers, vault: Arc<Vault>) -> Self {
        Self { kind, here: Mutex::default(), peers, vault }
    }

    /// Whose credential this text is, if it was good a moment ago.
    ///
    /// # Errors
    /// The moment to [`keep`](Self::keep) it with, where the database has to be
    /// asked.
    pub async fn find(&self, text: &str, now: Timestamp) -> Result<SignedInUser, Asked> {
        let (digest, here) = (hash_secret(text.as_bytes()), self.peers.ended().credentials);
        if let Some(found) = self.here().get(&digest).filter(|found| found.ended == here && is_recent(found, now)) {
            return Ok(found.user.clone());
        }
        let Ok(recalled) = self.peers.recall(&self.name(digest)).await else {
            return Err(Asked { here, everywhere: None });
        };
        let asked = Asked { here, everywhere: Some(recalled.ended) };
        match self.open(digest, recalled, now) {
            Some(user) => Ok(user),
            None => Err(asked),
        }
    }

    /// Remembers what the database said.
    pub async fn keep(&self, text: &str, user: &SignedInUser, asked: Asked, now: Timestamp) {
        let digest = hash_secret(text.as_bytes());
        self.keep_here(digest, Found { user: user.clone(), at: now, ended: asked.here });
        if let Some(ended) = asked.everywhere
            && let Some(sealed) = self.seal(digest, user, ended, now)
        {
            self.peers.remember(&self.name(digest), &sealed, GOOD_FOR).await;
        }
    }

    fn keep_here(&self, digest: [u8; 32], found: Found) {
        let (ended, now) = (self.peers.ended().credentials, found.at);
        if found.ended != ended {
            return;
        }
        let mut here = self.here();
        if here.len() >= KEPT_MAX {
            here.retain(|_, found| found.ended == ended && is_recent(found, now));
        }
        if here.len() < KEPT_MAX {
            here.insert(digest, found);
        }
    }

    fn seal(&self, digest: [u8; 32], user: &SignedInUser, ended: u64, at: Timestamp) -> Option<Vec<u8>> {
        let SignedInUser { id, name, role, powers, credential, limits, second_factor_due } = user.clone();
        let (powers, limits) = (powers.as_ref().clone(), limits.as_deref().cloned());
        let remembered = Remembered { at, ended, id, name, role, powers, credential, limits, second_factor_due };
        let plain = serde_json::to_vec(&remembered).ok()?;
        Some(self.vault.seal_for_minutes(&self.place(&HEXLOWER.encode(&digest)), &plain))
    }

    /// What a hub of this database sealed a moment ago, before which no
    /// credential ended.
    fn open(&self, digest: [u8; 32], recalled: Recalled, now: Timestamp) -> Option<SignedInUser> {
        let plain = self.vault.open(&self.place(&HEXLOWER.encode(&digest)), &recalled.value?).ok()?;
        let remembered: Remembered = serde_json::from_slice(&plain).ok()?;
        let Remembered { at, ended, id, name, role, powers, credential, limits, second_factor_due } = remembered;
        let age = now.since(at).max(at.since(now));
        (ended == recalled.ended && age < GOOD_FOR + CLOCKS_DIFFER_MAX).then(|| {
            let (powers, limits) = (Arc::new(powers), limits.map(Arc::new));
            SignedInUser { id, name, role, powers, credential, limits, second_factor_due }
        })
    }

    fn name(&self, digest: [u8; 32]) -> Name {
        Name::new(self.kind, digest)
    }

    fn place<'a>(&self, row: &'a str) -> Place<'a> {
        Place { table: "peers", row, column: self.kind }
    }

    fn here(&self) -> MutexGuard<'_, HashMap<[u8; 32], Found>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that was set back makes nothing recent.
fn is_recent(found: &Found, now: Timestamp) -> bool {
    now >= found.at && now.since(found.at) < GOOD_FOR
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::TestDb;
    use crate::peers::testing::{TestRedis, until_met};
    use crate::testing::{Ground, TestHub};

    fn user() -> SignedInUser {
        let credential = CredentialUsed::ApiToken("id".to_owned());
        let (id, name, role) = (UserId(uuid::Uuid::nil()), "ada".to_owned(), Role::Viewer);
        let powers = Powers::of(role).into();
        SignedInUser { id, name, role, powers, credential, limits: None, second_factor_due: false }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1000).unwrap()
    }

    fn recent(peers: &Peers) -> Recent {
        Recent::new("token", peers.clone(), Arc::new(Vault::for_tests()))
    }

    #[tokio::test]
    async fn a_token_is_remembered_for_a_moment_only() {
        let recent = recent(&Peers::alone());
        let asked = recent.find("token", at(5000)).await.unwrap_err();
        recent.keep("token", &user(), asked, at(5000)).await;
        assert!(recent.find("token", at(5999)).await.is_ok());
        assert!(recent.find("another", at(5000)).await.is_err());
        assert!(recent.find("token", at(6000)).await.is_err());
        assert!(recent.find("token", at(4000)).await.is_err(), "the clock was set back");
    }

    #[tokio::test]
    async fn what_was_read_before_a_revocation_is_not_remembered_after_it() {
        let peers = Peers::alone();
        let recent = recent(&peers);
        let asked = recent.find("token", at(0)).await.unwrap_err();
        recent.keep("token", &user(), asked, at(0)).await;
        peers.tell_credentials_ended();
        assert!(recent.find("token", at(0)).await.is_err(), "what was known before is forgotten");
        recent.keep("token", &user(), asked, at(0)).await;
        assert!(recent.find("token", at(0)).await.is_err());
    }

    #[tokio::test]
    async fn a_flood_of_tokens_does_not_grow_the_table() {
        let recent = recent(&Peers::alone());
        for number in 0..3 * KEPT_MAX {
            let asked = recent.find(&number.to_string(), at(0)).await.unwrap_err();
            recent.keep(&number.to_string(), &user(), asked, at(0)).await;
        }
        assert_eq!(recent.here().len(), KEPT_MAX);
    }

    #[test]
    fn what_hubs_remember_together_opens_for_the_same_credential_and_only_for_a_moment() {
        let (recent, mine, other) = (recent(&Peers::alone()), [1; 32], [2; 32]);
        let sealed = recent.seal(mine, &user(), 7, at(5000)).unwrap();
        let recalled = |ended| Recalled { ended, value: Some(sealed.clone()) };
        let found = recent.open(mine, recalled(7), at(5500)).unwrap();
        assert_eq!((found.id, found.name, found.role), (user().id, user().name, user().role));
        assert_eq!((found.powers, found.credential), (user().powers, user().credential));
        assert!(recent.open(other, recalled(7), at(5500)).is_none(), "it is another's");
        assert!(recent.open(mine, recalled(8), at(5500)).is_none(), "something ended since");
        for later in [5000 + 3000, 5000 - 3000] {
            assert!(recent.open(mine, recalled(7), at(later)).is_none(), "it is put there again later");
        }
        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(recent.open(mine, Recalled { ended: 7, value: Some(changed) }, at(5500)).is_none());
        let of_session = Recent::new("session", Peers::alone(), recent.vault.clone());
        assert!(of_session.open(mine, recalled(7), at(5500)).is_none(), "of another kind");
    }

    #[tokio::test]
    async fn what_another_hub_remembered_is_known_here_until_something_ends_anywhere() {
        let redis = TestRedis::start().await;
        let hub = TestHub::build(Ground { peers: redis.peers(), ..Ground::on(TestDb::sqlite().await) }).await;
        let peers = &hub.app.peers;
        until_met(peers, true).await;
        let (recent, digest) = (recent(peers), hash_secret(b"token"));
        let asked = recent.find("token", at(5000)).await.unwrap_err();
        let sealed = recent.seal(digest, &user(), asked.everywhere.unwrap(), at(5000)).unwrap();
        // Longer than a hub does, so that nothing here depends on how fast it is.
        peers.remember(&recent.name(digest), &sealed, Duration::from_secs(600)).await;
        assert_eq!(recent.find("token", at(5500)).await.unwrap().name, "ada");
        assert!(recent.find("another", at(5500)).await.is_err());
        assert!(recent.find("token", at(9000)).await.is_err(), "it is known for a moment");
        peers.tell_credentials_ended();
        assert!(recent.find("token", at(5500)).await.is_err(), "also before the others were told");
        while peers.recall(&recent.name(digest)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(recent.find("token", at(5500)).await.is_err());
        hub.app.lifecycle.links.cancel();
    }
}
