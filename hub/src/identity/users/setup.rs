//! The first user. While there is none, a code that only the hub's operator
//! can see lets someone make one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;
use windflow_protocol::text::base32;
use zeroize::Zeroizing;

use crate::clock::{Random, Timestamp};

/// How long a setup code is valid.
pub const CODE_LIFE: Duration = Duration::from_secs(15 * 60);
/// Random bytes in a code.
const CODE_BYTES: usize = 10;

/// Whether the hub has users, and the code that makes the first. Only the
/// code's hash is here.
#[derive(Debug, Default)]
pub struct Setup {
    has_users: AtomicBool,
    pending: Mutex<Option<Pending>>,
}

#[derive(Debug)]
struct Pending {
    hash: [u8; 32],
    expires_at: Timestamp,
}

impl Setup {
    /// Remembers that there is a user; there will always be one from now on.
    pub fn close(&self) {
        self.has_users.store(true, Ordering::Release);
        *self.pending() = None;
    }

    /// Whether there is no user yet.
    pub fn is_open(&self) -> bool {
        !self.has_users.load(Ordering::Acquire)
    }

    /// Makes a new code, in groups that are easy to read out. Codes from before
    /// are no longer valid.
    pub fn issue(&self, random: &Random, now: Timestamp) -> Zeroizing<String> {
        let code = Zeroizing::new(base32().encode(&random.bytes::<CODE_BYTES>()));
        *self.pending() = Some(Pending { hash: hash(&code), expires_at: now + CODE_LIFE });
        let groups: Vec<&str> = (0..code.len()).step_by(4).map(|start| &code[start..start + 4]).collect();
        Zeroizing::new(groups.join("-"))
    }

    /// Uses the code up, if it is the valid one. Of many who try at once, one
    /// succeeds.
    pub fn redeem(&self, code: &str, now: Timestamp) -> bool {
        let code: Zeroizing<String> =
            Zeroizing::new(code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect());
        let mut pending = self.pending();
        let valid = pending
            .as_ref()
            .is_some_and(|pending| bool::from(pending.hash.ct_eq(&hash(&code))) && now < pending.expires_at);
        if valid {
            *pending = None;
        }
        valid
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Option<Pending>> {
        self.pending.lock().expect("no code panics while it holds the setup code")
    }
}

fn hash(code: &str) -> [u8; 32] {
    digest(&SHA256, code.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        time::macros::datetime!(2026-05-04 0:00 UTC).into()
    }

    #[test]
    fn a_code_works_once_in_any_spelling() {
        let setup = Setup::default();
        let code = setup.issue(&Random::default(), now());
        assert!(!setup.redeem("0000-0000-0000-0000", now()));
        assert!(setup.redeem(&code.to_uppercase().replace('-', " "), now()));
        assert!(!setup.redeem(&code, now()));
    }

    #[test]
    fn a_code_ends_with_time_and_with_the_next_code() {
        let setup = Setup::default();
        let first = setup.issue(&Random::default(), now());
        assert!(!setup.redeem(&first, now() + CODE_LIFE));
        let second = setup.issue(&Random::default(), now());
        assert!(!setup.redeem(&first, now()));
        assert!(setup.redeem(&second, now()));
    }
}
