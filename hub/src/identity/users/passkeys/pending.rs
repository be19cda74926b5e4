//! Challenges that were given out and have not come back. They are in memory
//! only: whoever is in the middle when the hub restarts begins again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::ceremony::{RegistrationState, SignInState};
use super::site::Site;
use crate::clock::Timestamp;
use crate::http::UserId;

/// How long a challenge may be answered.
pub const CHALLENGE_LIFE: Duration = Duration::from_secs(5 * 60);
/// Challenges to sign in that are remembered at once. Anybody gets one.
const SIGN_INS_MAX: usize = 8192;
/// And of one address.
const SIGN_INS_OF_ONE_MAX: usize = 64;

/// A passkey that is being made.
#[derive(Debug)]
pub struct Registration {
    pub state: RegistrationState,
    pub site: Site,
    /// The session in which it was begun.
    pub session: Uuid,
    pub begun_at: Timestamp,
}

/// A challenge to sign in.
#[derive(Debug)]
pub struct SignIn {
    pub state: SignInState,
    pub site: Site,
    /// The digest of the secret that the browser keeps.
    pub browser: [u8; 32],
    pub address: Option<IpAddr>,
    pub begun_at: Timestamp,
}

/// Challenges that were given out.
#[derive(Debug, Default)]
pub struct Pending {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// One of each user, who proved who they are.
    registrations: HashMap<UserId, Registration>,
    /// By the number of the challenge.
    sign_ins: HashMap<u128, SignIn>,
}

impl Pending {
    /// Remembers one; that of the same user from before ends.
    pub fn begin_registration(&self, user: UserId, begun: Registration) {
        let mut state = self.lock();
        let now = begun.begun_at;
        state.registrations.retain(|_, other| now.since(other.begun_at) < CHALLENGE_LIFE);
        state.registrations.insert(user, begun);
    }

    /// Gives it, once, to the session that began it.
    pub fn take_registration(&self, user: UserId, session: Uuid, now: Timestamp) -> Option<Registration> {
        let mut state = self.lock();
        state.registrations.get(&user).filter(|begun| begun.session == session)?;
        state.registrations.remove(&user).filter(|begun| now.since(begun.begun_at) < CHALLENGE_LIFE)
    }

    /// Remembers one. Where there are too many of its address, or altogether,
    /// the oldest of those ends.
    pub fn begin_sign_in(&self, challenge: u128, begun: SignIn) {
        let mut state = self.lock();
        let (now, address) = (begun.begun_at, begun.address);
        let of_one = state.sign_ins.values().filter(|other| other.address == address).count();
        if of_one >= SIGN_INS_OF_ONE_MAX {
            state.forget_oldest(|other| other.address == address);
        }
        if state.sign_ins.len() >= SIGN_INS_MAX {
            state.sign_ins.retain(|_, other| now.since(other.begun_at) < CHALLENGE_LIFE);
        }
        if state.sign_ins.len() >= SIGN_INS_MAX {
            state.forget_oldest(|_| true);
        }
        state.sign_ins.insert(challenge, begun);
    }

    /// Gives it, once, to the browser that began it: of many who come with one
    /// challenge, one gets it. Another browser cannot use it up.
    pub fn take_sign_in(&self, challenge: u128, browser: &[u8; 32], now: Timestamp) -> Option<SignIn> {
        let mut state = self.lock();
        let is_theirs = |begun: &&SignIn| bool::from(begun.browser.ct_eq(browser));
        state.sign_ins.get(&challenge).filter(is_theirs)?;
        state.sign_ins.remove(&challenge).filter(|begun| now.since(begun.begun_at) < CHALLENGE_LIFE)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the challenges")
    }
}

impl State {
    fn forget_oldest(&mut self, among: impl Fn(&SignIn) -> bool) {
        let candidates = self.sign_ins.iter().filter(|(_, begun)| among(begun));
        if let Some(oldest) = candidates.min_by_key(|(_, begun)| begun.begun_at).map(|(challenge, _)| *challenge) {
            self.sign_ins.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ceremony;
    use super::*;

    fn site() -> Site {
        Site { rp_id: "hub.example".into(), origin: "https://hub.example".into() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000).unwrap()
    }

    fn begin(pending: &Pending, browser: u8, address: Option<&str>, second: i64) -> u128 {
        let (state, challenge, _) = ceremony::begin_sign_in(&site()).unwrap();
        let address = address.map(|address| address.parse().unwrap());
        let begun = SignIn { state, site: site(), browser: [browser; 32], address, begun_at: at(second) };
        pending.begin_sign_in(challenge, begun);
        challenge
    }

    #[test]
    fn a_challenge_is_given_once_and_to_its_own_browser_for_five_minutes() {
        let pending = Pending::default();
        let challenge = begin(&pending, 1, None, 0);
        assert!(pending.take_sign_in(challenge, &[2; 32], at(1)).is_none());
        assert!(pending.take_sign_in(challenge ^ 1, &[1; 32], at(1)).is_none());
        assert!(pending.take_sign_in(challenge, &[1; 32], at(299)).is_some());
        assert!(pending.take_sign_in(challenge, &[1; 32], at(299)).is_none());
        let challenge = begin(&pending, 1, None, 0);
        assert!(pending.take_sign_in(challenge, &[1; 32], at(300)).is_none());
    }

    #[test]
    fn who_asks_for_many_ends_their_own_and_nobody_elses() {
        let pending = Pending::default();
        let other = begin(&pending, 1, Some("192.0.2.1"), 0);
        let first = begin(&pending, 1, Some("192.0.2.2"), 1);
        for second in 0..SIGN_INS_OF_ONE_MAX {
            begin(&pending, 1, Some("192.0.2.2"), 2 + i64::try_from(second).unwrap());
        }
        assert_eq!(pending.lock().sign_ins.len(), SIGN_INS_OF_ONE_MAX + 1);
        assert!(pending.take_sign_in(first, &[1; 32], at(3)).is_none());
        assert!(pending.take_sign_in(other, &[1; 32], at(3)).is_some());
    }

    #[test]
    fn there_are_never_more_than_fit() {
        let pending = Pending::default();
        for number in 0..SIGN_INS_MAX + 10 {
            let (high, low) = (number / 250, number % 250);
            begin(&pending, 1, Some(&format!("10.0.{high}.{low}")), 0);
        }
        assert_eq!(pending.lock().sign_ins.len(), SIGN_INS_MAX);
    }

    #[test]
    fn a_passkey_is_finished_in_the_session_that_began_it() {
        let (pending, user, session) = (Pending::default(), UserId::generate(), Uuid::now_v7());
        let begin = |second| {
            let (state, _) = ceremony::begin_registration(&site(), &ceremony::Handle::new()).unwrap();
            pending.begin_registration(user, Registration { state, site: site(), session, begun_at: at(second) });
        };
        begin(0);
        assert!(pending.take_registration(user, Uuid::now_v7(), at(1)).is_none());
        assert!(pending.take_registration(UserId::generate(), session, at(1)).is_none());
        assert!(pending.take_registration(user, session, at(1)).is_some());
        assert!(pending.take_registration(user, session, at(1)).is_none());
        begin(0);
        assert!(pending.take_registration(user, session, at(300)).is_none());
    }
}
