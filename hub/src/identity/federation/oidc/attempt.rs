//! An attempt to sign in that is on its way: all of it is in a sealed cookie of
//! the browser that began it. What goes to the provider is derived from the
//! secret in it, so that nobody but this browser can end what it began.

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::clock::{Random, Timestamp};
use crate::http::UserId;
use crate::identity::federation::accounts::ATTEMPT_LIFE;
use crate::identity::sessions::There;
use crate::vault::{Place, Vault};

/// Where the cookie is sealed for.
const PLACE: Place<'_> = Place { table: "cookies", row: "sign-in", column: "attempt" };
/// Random bytes in an attempt's secret.
const SECRET_BYTES: usize = 32;

/// What is to become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A session.
    SignIn,
    /// This user is linked with who they are there.
    Link(UserId),
    /// This user was verified, and is asked for their own second factor.
    Code(UserId),
    /// This session is confirmed: its user is who they are there. Whether they
    /// gave a code of their own second factor before they went.
    Confirm { session: Uuid, with_code: bool },
}

/// One attempt.
#[derive(Serialize, Deserialize)]
pub struct Attempt {
    secret: Zeroizing<String>,
    /// The provider that is asked.
    pub provider: Uuid,
    /// Where it sends the browser back to.
    pub redirect_uri: String,
    /// Where the browser goes in the end: a path of the console.
    pub next: String,
    /// What is to become of it.
    pub purpose: Purpose,
    /// When it began.
    pub begun_at: Timestamp,
    /// Who they are there, once they were verified.
    #[serde(default)]
    pub there: Option<There>,
}

impl Attempt {
    /// Begins one.
    pub fn begin(random: &Random, provider: Uuid, redirect_uri: String, next: String, now: Timestamp) -> Self {
        let secret = Zeroizing::new(BASE64URL_NOPAD.encode(&random.bytes::<SECRET_BYTES>()));
        Self { secret, provider, redirect_uri, next, purpose: Purpose::SignIn, begun_at: now, there: None }
    }

    /// For another purpose.
    #[must_use]
    pub fn to(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// Waits for something else of somebody who was verified.
    #[must_use]
    pub fn of(self, there: There) -> Self {
        Self { there: Some(there), ..self }
    }

    /// The same with another secret: what was sent with the one before is of no
    /// more use.
    #[must_use]
    pub fn renewed(self, random: &Random) -> Self {
        let secret = Zeroizing::new(BASE64URL_NOPAD.encode(&random.bytes::<SECRET_BYTES>()));
        Self { secret, ..self }
    }

    /// What the browser keeps.
    pub fn seal(&self, vault: &Vault) -> String {
        let text = Zeroizing::new(serde_json::to_vec(self).expect("an attempt is plain text and numbers"));
        BASE64URL_NOPAD.encode(&vault.seal_for_minutes(&PLACE, &text))
    }

    /// What the browser kept, unless it is too old or was not made here.
    pub fn open(vault: &Vault, text: &str, now: Timestamp) -> Option<Self> {
        let sealed = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let opened = vault.open(&PLACE, &sealed).ok()?;
        let attempt: Self = serde_json::from_slice(&opened).ok()?;
        (now.since(attempt.begun_at) < ATTEMPT_LIFE).then_some(attempt)
    }

    /// What the provider gives back with the browser.
    pub fn state(&self) -> String {
        self.derived("state")
    }

    /// Whether it was given back.
    pub fn has_state(&self, given: &str) -> bool {
        self.state().as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// What the provider puts into its token.
    pub fn nonce(&self) -> String {
        self.derived("nonce")
    }

    /// What the code is redeemed with (RFC 7636).
    pub fn verifier(&self) -> String {
        self.derived("verifier")
    }

    /// What the provider is told of it before: its SHA-256.
    pub fn challenge(&self) -> String {
        BASE64URL_NOPAD.encode(digest(&SHA256, self.verifier().as_bytes()).as_ref())
    }

    /// What the hub remembers of one that came back.
    pub fn digest(&self) -> Vec<u8> {
        self.hashed("spent").as_ref().to_vec()
    }

    fn derived(&self, what: &str) -> String {
        BASE64URL_NOPAD.encode(self.hashed(what).as_ref())
    }

    fn hashed(&self, what: &str) -> ring::digest::Digest {
        let text = Zeroizing::new(format!("windflow sign-in {what}:{}", *self.secret));
        digest(&SHA256, text.as_bytes())
    }
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt")
            .field("provider", &self.provider)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        time::macros::datetime!(2026-05-04 0:00 UTC).into()
    }

    #[test]
    fn an_attempt_is_opened_by_its_hub_for_ten_minutes() {
        let vault = Vault::for_tests();
        let attempt =
            Attempt::begin(&Random::default(), Uuid::from_u128(7), "https://hub/cb".into(), "/x".into(), now());
        let sealed = attempt.to(Purpose::Link(UserId(Uuid::from_u128(9)))).seal(&vault);
        let opened = Attempt::open(&vault, &sealed, now() + ATTEMPT_LIFE - std::time::Duration::from_secs(1)).unwrap();
        assert_eq!((opened.provider, opened.next.as_str()), (Uuid::from_u128(7), "/x"));
        assert_eq!(opened.purpose, Purpose::Link(UserId(Uuid::from_u128(9))));
        assert!(Attempt::open(&vault, &sealed, now() + ATTEMPT_LIFE).is_none());
        for other in ["", "AAAA", &sealed[1..], &sealed[..sealed.len() - 4]] {
            assert!(Attempt::open(&vault, other, now()).is_none(), "{other}");
        }
    }

    #[test]
    fn what_the_provider_sees_tells_nothing_of_the_rest() {
        let attempt = Attempt::begin(&Random::default(), Uuid::from_u128(7), String::new(), String::new(), now());
        let parts =
            [attempt.state(), attempt.nonce(), attempt.verifier(), attempt.challenge(), attempt.secret.to_string()];
        for (i, part) in parts.iter().enumerate() {
            assert_eq!(part.len(), 43);
            assert!(!parts[i + 1..].contains(part));
        }
        assert!(attempt.has_state(&attempt.state()));
        assert!(!attempt.has_state(&attempt.nonce()) && !attempt.has_state(""));
        let state = attempt.state();
        assert_ne!(attempt.renewed(&Random::default()).state(), state);
    }
}
