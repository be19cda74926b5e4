//! Passwords: which are good enough, and how they are kept.

mod stored;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, anyhow};
use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, oneshot};

use self::stored::StoredHash;
use crate::clock::Random;
use crate::error::{ApiError, ApiResult};

/// Fewest characters of a password.
pub const LENGTH_MIN: usize = 12;
/// Most characters of a password.
pub const LENGTH_MAX: usize = 128;
/// Passwords hashed at once, where there are processors enough; each takes 19 MiB
/// and a core, and one whose hash came from elsewhere up to 1 GiB.
const HASHES_MAX: usize = 2;
/// How far everybody else goes before a hash where processors are short. The
/// scheduler then gives a hash about a tenth of what it gives others.
const NICENESS: i32 = 10;
/// How long a caller waits for its turn to be hashed.
const TURN_DEADLINE: Duration = Duration::from_secs(10);
/// What is common: the head of the frequency list of the zxcvbn project (MIT),
/// its long entries, and words that lie near here.
const COMMON: &str = include_str!("common_passwords.txt");
/// A password must have this much left when a common word is taken out of it.
const REST_MIN: usize = 6;

/// Why a password is not good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Fewer than [`LENGTH_MIN`] characters.
    #[error("The password must have at least {LENGTH_MIN} characters.")]
    Short,
    /// More than [`LENGTH_MAX`] characters.
    #[error("The password must have at most {LENGTH_MAX} characters.")]
    Long,
    /// On the list of common ones, or little more than one of them.
    #[error("The password is a common one or little more than a common word. Choose several unrelated words.")]
    Common,
    /// A few characters, over and over.
    #[error("The password repeats itself. Choose several unrelated words.")]
    Repetitive,
    /// The user's name with little else.
    #[error("The password is little more than the user's name.")]
    Name,
}

/// Checks a new password. There are no rules on the kinds of characters.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check_strength(password: &SecretString, user: &str) -> Result<(), WeakPassword> {
    let password = password.expose_secret();
    let length = password.chars().count();
    if length < LENGTH_MIN {
        return Err(WeakPassword::Short);
    }
    if length > LENGTH_MAX {
        return Err(WeakPassword::Long);
    }
    let lower = password.to_lowercase();
    if lower.chars().collect::<HashSet<_>>().len() < 5 || is_periodic(&lower) {
        return Err(WeakPassword::Repetitive);
    }
    let letters = undisguise(&lower);
    let user = user.to_lowercase();
    if user.len() >= 3 && lower.contains(&user) && lower.replace(&user, "").chars().count() < REST_MIN {
        return Err(WeakPassword::Name);
    }
    if COMMON.lines().any(|word| is_little_more_than(&lower, word) || is_little_more_than(&letters, word)) {
        return Err(WeakPassword::Common);
    }
    Ok(())
}

/// Whether the text is one unit repeated, such as `abcabcabcabc`.
fn is_periodic(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    (1..=characters.len() / 2).any(|period| characters.iter().zip(&characters[period..]).all(|(a, b)| a == b))
}

/// Undoes the usual exchange of letters for digits and signs.
fn undisguise(text: &str) -> String {
    let original = |character| match character {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    };
    text.chars().map(original).collect()
}

fn is_little_more_than(password: &str, word: &str) -> bool {
    if word.len() < 5 || !password.contains(word) {
        return false;
    }
    let rest = password.replacen(word, "", 1);
    let rest = rest.trim_matches(|character: char| !character.is_alphabetic());
    rest.chars().count() < REST_MIN
}

/// What one hash costs.
#[derive(Clone, Copy, Debug)]
pub enum HashCost {
    /// 19 MiB, two passes.
    Production,
    /// As little as possible, for tests.
    Cheap,
}

/// Checks a hash that was made elsewhere, to be stored as it is.
///
/// # Errors
/// 400 when it is of no known kind, or costs too much. The hash is not in it.
pub fn check_hash(hash: &SecretString) -> ApiResult<()> {
    let checked = StoredHash::parse(hash.expose_secret());
    checked.map(drop).map_err(|unusable| ApiError::bad_request("invalid_password_hash", unusable.to_string()))
}

/// Hashes passwords with argon2id, a few at a time and off the async threads.
/// The parameters stand in each hash.
#[derive(Clone, Debug)]
pub struct Passwords {
    cost: HashCost,
    random: Random,
    turns: Arc<Semaphore>,
    nobody: Arc<OnceLock<String>>,
}

/// Has this thread give way to all others of the hub: on a morning on which
/// everybody signs in, those who are signed in go on as before.
fn give_way() {
    // On Linux this is about the calling thread alone.
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "a password is hashed with the priority of everything else");
    }
}

/// One processor is left to everybody else, where there is more than one.
fn hashes_at_once() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    processors.saturating_sub(1).clamp(1, HASHES_MAX)
}

impl Passwords {
    /// Hashes at `cost`.
    pub fn new(cost: HashCost, random: Random) -> Self {
        Self { cost, random, turns: Arc::new(Semaphore::new(hashes_at_once())), nobody: Arc::default() }
    }

    /// The hash to keep.
    ///
    /// # Errors
    /// 503 when too many others wait to be hashed.
    pub async fn hash(&self, password: SecretString) -> ApiResult<String> {
        let this = self.clone();
        self.in_turn(move || this.hash_now(&password)).await
    }

    /// Whether `password` has the hash `stored`. Without a hash the answer is
    /// no, after the same time, so that the time does not tell who has one.
    ///
    /// # Errors
    /// 503 when too many others wait to be hashed.
    pub async fn verify(&self, password: SecretString, stored: Option<String>) -> ApiResult<bool> {
        let this = self.clone();
        self.in_turn(move || {
            let known = stored.is_some();
            let stored = stored.map_or_else(|| this.hash_of_nobody(), Ok)?;
            let stored = StoredHash::parse(&stored).map_err(|_| anyhow!("a stored password hash cannot be used"))?;
            Ok(stored.matches(password.expose_secret().as_bytes())? && known)
        })
        .await
    }

    /// Whether a hash was made otherwise than one would be today: its password
    /// should be hashed anew when it is next known.
    pub fn is_dated(&self, stored: &str) -> bool {
        let present = self.params();
        StoredHash::parse(stored).is_ok_and(|stored| present.is_ok_and(|present| !stored.is_made_with(&present)))
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> ApiResult<T> {
        let turn = tokio::time::timeout(TURN_DEADLINE, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(ApiError::unavailable("busy", "Too many people are signing in at the moment. Try again."));
        };
        let (done, result) = oneshot::channel();
        // A thread of its own, since it cannot be made important again. The
        // permit goes with it, and it goes on when the caller is gone.
        let thread = std::thread::Builder::new().name("password".to_owned()).spawn(move || {
            give_way();
            let result = work();
            drop(turn);
            done.send(result).ok();
        });
        drop(thread.context("No thread can be had to hash a password")?);
        Ok(result.await.context("Hashing a password ended early")??)
    }

    fn hash_now(&self, password: &SecretString) -> anyhow::Result<String> {
        let params = self.params()?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let salt: [u8; 16] = self.random.bytes();
        let hash = argon2.hash_password_with_salt(password.expose_secret().as_bytes(), &salt);
        Ok(hash.map_err(|error| anyhow!("hashing a password: {error}"))?.to_string())
    }

    fn params(&self) -> anyhow::Result<Params> {
        let (memory, passes) = match self.cost {
            HashCost::Production => (19 * 1024, 2),
            HashCost::Cheap => (8, 1),
        };
        Params::new(memory, passes, 1, None).map_err(|error| anyhow!("argon2 parameters: {error}"))
    }

    fn hash_of_nobody(&self) -> anyhow::Result<String> {
        if let Some(hash) = self.nobody.get() {
            return Ok(hash.clone());
        }
        let secret: [u8; 16] = self.random.bytes();
        let hash = self.hash_now(&SecretString::from(data_encoding::HEXLOWER.encode(&secret)))?;
        Ok(self.nobody.get_or_init(|| hash).clone())
    }
}
