//! How often anybody may ask: each credential, each address without one, and
//! all together.
//!
//! What a caller sends counts as a credential once it was found good; until then
//! they are held to what their address may do, so that nobody gets a fresh
//! allowance by making credentials up. Nothing is looked at but headers, so a
//! refusal costs neither a password's hash nor the database.
//!
//! Where several hubs meet, what one of them lets through is taken from an
//! allowance of all, too; while they cannot, each has its own.
//!
//! An allowance is one moment (the generic cell rate algorithm): when it will be
//! whole again. General crates for this bound neither the memory that callers
//! fill nor give back what was taken.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::digest::{SHA256, digest};
use tokio::time::Instant;

use super::WhoCalls;
use crate::config::{RateLimit, RateOptions};
use crate::error::ApiError;
use crate::http::cookie;
use crate::http::peer::Peer;
use crate::peers::{Apart, Name, Peers, Take};

/// What is counted. Files of the console, agents and probes of health are not.
const COUNTED: [&str; 3] = ["/api/", "/metrics", "/.well-known/"];
/// Credentials and addresses that are remembered at once, of each.
const KEPT_MAX: usize = 8192;
/// Room is made in a full table this often at most.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Counts who asks how often.
#[derive(Debug)]
pub struct Rationing {
    is_off: bool,
    credentials: Table<[u8; 32]>,
    addresses: Table<IpAddr>,
    total: Table<()>,
    peers: Peers,
}

/// One kind of callers.
#[derive(Debug)]
struct Table<K> {
    pace: Option<Pace>,
    state: Mutex<Allowances<K>>,
}

#[derive(Debug)]
struct Allowances<K> {
    /// When each caller's allowance is whole again.
    whole_at: HashMap<K, Instant>,
    /// The same of all who found no place.
    rest: Option<Instant>,
    swept_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    /// What one request costs.
    each: Duration,
    /// What may be spent ahead of time.
    ahead: Duration,
}

/// From whose allowance a request was taken.
#[derive(Clone, Copy, Debug)]
enum Taken {
    /// A credential's that was good before.
    Known([u8; 32]),
    /// An address's, with what may be a credential.
    Address(IpAddr, Option<[u8; 32]>),
}

impl Taken {
    /// From which allowance of all hubs it is taken.
    fn name(self) -> Name {
        match self {
            Self::Known(credential) => Name::new("rate-credential", credential),
            Self::Address(address, _) => Name::new("rate-address", address.to_string()),
        }
    }
}

impl Pace {
    /// Of those who may ask as often as they like and are known all the same.
    const FREE: Self = Self { each: Duration::ZERO, ahead: Duration::MAX };

    /// One request from an allowance that all hubs share; `None` where it is
    /// free.
    fn of_all(self, name: Name) -> Option<Take> {
        (!self.each.is_zero()).then_some(Take { name, each: self.each, ahead: self.ahead })
    }

    fn of(limit: RateLimit) -> Option<Self> {
        match limit {
            RateLimit::Off => None,
            RateLimit::Of { per_second, burst } => {
                let each = Duration::from_secs(1) / per_second.max(1);
                Some(Self { each, ahead: each.saturating_mul(burst.max(1) - 1) })
            }
        }
    }

    /// When an allowance is whole again of which one request is taken now, or
    /// how long to wait.
    fn take(self, whole_at: Option<Instant>, now: Instant) -> Result<Instant, Duration> {
        let whole_at = whole_at.map_or(now, |whole_at| whole_at.max(now));
        match whole_at.duration_since(now).checked_sub(self.ahead) {
            Some(wait) if !wait.is_zero() => Err(wait),
            Some(_) | None => Ok(whole_at + self.each),
        }
    }
}

impl<K: Copy + Eq + Hash> Table<K> {
    fn new(pace: Option<Pace>) -> Self {
        let state = Allowances { whole_at: HashMap::new(), rest: None, swept_at: None };
        Self { pace, state: Mutex::new(state) }
    }

    /// Takes one request from the allowance of `key`. While the table is full,
    /// those without a place in it share one allowance.
    fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let Some(pace) = self.pace else {
            return Ok(());
        };
        let mut state = self.state();
        if !state.whole_at.contains_key(&key) && !state.make_room(now) {
            state.rest = Some(pace.take(state.rest, now)?);
            return Ok(());
        }
        let whole_at = pace.take(state.whole_at.get(&key).copied(), now)?;
        state.whole_at.insert(key, whole_at);
        Ok(())
    }

    /// Takes one request where the key is known.
    fn take_known(&self, key: K, now: Instant) -> Option<Result<(), Duration>> {
        let is_known = self.state().whole_at.contains_key(&key);
        is_known.then(|| self.take(key, now))
    }

    fn give_back(&self, key: K) {
        let Some(pace) = self.pace else { return };
        if let Some(whole_at) = self.state().whole_at.get_mut(&key) {
            *whole_at = whole_at.checked_sub(pace.each).unwrap_or(*whole_at);
        }
    }

    fn forget(&self, key: K) {
        self.state().whole_at.remove(&key);
    }

    fn state(&self) -> MutexGuard<'_, Allowances<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Allowances<K> {
    /// Whether there is room for one more. Allowances that are whole are nothing
    /// to be remembered.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.whole_at.len() < KEPT_MAX {
            return true;
        }
        if self.swept_at.is_none_or(|swept| now.duration_since(swept) >= SWEEP_EVERY) {
            self.swept_at = Some(now);
            self.whole_at.retain(|_, whole_at| *whole_at > now);
        }
        self.whole_at.len() < KEPT_MAX
    }
}

impl Rationing {
    /// Nobody has asked yet.
    pub fn new(options: RateOptions, peers: Peers) -> Self {
        let RateOptions { api_rate, api_rate_anonymous, api_rate_total } = options;
        let limits = [api_rate, api_rate_anonymous, api_rate_total];
        Self {
            is_off: limits.iter().all(|limit| *limit == RateLimit::Off),
            credentials: Table::new(Some(Pace::of(api_rate).unwrap_or(Pace::FREE))),
            addresses: Table::new(Pace::of(api_rate_anonymous)),
            total: Table::new(Pace::of(api_rate_total)),
            peers,
        }
    }

    /// Takes one request: first from what this hub has left, then from what all
    /// hubs have.
    async fn take(&self, address: IpAddr, credential: Option<[u8; 32]>, now: Instant) -> Result<Taken, Duration> {
        let taken = self.begin(address, credential, now)?;
        let total = self.total.pace.and_then(|pace| pace.of_all(Name::new("rate-total", [])));
        let takes: Vec<Take> = self.of_all(taken).into_iter().chain(total).collect();
        match self.peers.take(&takes).await {
            Ok(Ok(())) | Err(Apart) => Ok(taken),
            Ok(Err(wait)) => {
                self.undo(taken);
                self.total.give_back(());
                Err(wait)
            }
        }
    }

    fn of_all(&self, taken: Taken) -> Option<Take> {
        let pace = match taken {
            Taken::Known(_) => self.credentials.pace,
            Taken::Address(..) => self.addresses.pace,
        };
        pace?.of_all(taken.name())
    }

    fn undo(&self, taken: Taken) {
        match taken {
            Taken::Known(credential) => self.credentials.give_back(credential),
            Taken::Address(address, _) => self.addresses.give_back(address),
        }
    }

    fn begin(&self, address: IpAddr, credential: Option<[u8; 32]>, now: Instant) -> Result<Taken, Duration> {
        let known = credential.and_then(|credential| Some((credential, self.credentials.take_known(credential, now)?)));
        let taken = match known {
            Some((credential, allowed)) => allowed.map(|()| Taken::Known(credential))?,
            None => self.addresses.take(address, now).map(|()| Taken::Address(address, credential))?,
        };
        self.total.take((), now).inspect_err(|_| self.undo(taken))?;
        Ok(taken)
    }

    /// What was taken counts for the credential, if it turned out to be good,
    /// and one that is good no more is forgotten.
    async fn settle(&self, taken: Taken, is_recognised: bool, status: StatusCode, now: Instant) {
        self.settle_here(taken, is_recognised, status, now);
        let Taken::Address(_, Some(credential)) = taken else { return };
        if is_recognised && self.peers.are_met() == Some(true) {
            if let Some(take) = self.of_all(taken) {
                self.peers.give_back(&take).await;
            }
            // What was begun is done: it waits for nothing.
            self.peers.take(&Vec::from_iter(self.of_all(Taken::Known(credential)))).await.ok();
        }
    }

    fn settle_here(&self, taken: Taken, is_recognised: bool, status: StatusCode, now: Instant) {
        match taken {
            Taken::Address(address, Some(credential)) if is_recognised => {
                self.addresses.give_back(address);
                // What was begun is done: it waits for nothing.
                self.credentials.take(credential, now).ok();
            }
            Taken::Known(credential) if status == StatusCode::UNAUTHORIZED => self.credentials.forget(credential),
            Taken::Address(..) | Taken::Known(_) => {}
        }
    }
}

/// Refuses who asks too often. A stream counts once, when it begins; whoever has
/// the local socket is not counted.
pub async fn ration(State(rationing): State<Arc<Rationing>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let counted = !rationing.is_off && COUNTED.iter().any(|prefix| request.uri().path().starts_with(prefix));
    let Some((peer, address)) = peer.and_then(|peer| Some((peer, peer.address()?))).filter(|_| counted) else {
        return next.run(request).await;
    };
    let credential = credential_of(&request, peer);
    let taken = match rationing.take(network(address), credential, Instant::now()).await {
        Ok(taken) => taken,
        Err(wait) => return ApiError::rate_limited(wait).into_response(),
    };
    let who = request.extensions().get::<WhoCalls>().cloned().unwrap_or_default();
    let response = next.run(request).await;
    rationing.settle(taken, who.get().is_some(), response.status(), Instant::now()).await;
    response
}

/// The digest of what a request may prove itself with.
fn credential_of(request: &Request, peer: Peer) -> Option<[u8; 32]> {
    let hash = |bytes: &[u8]| digest(&SHA256, bytes).as_ref().try_into().ok();
    match request.headers().get(header::AUTHORIZATION) {
        Some(value) => hash(value.as_bytes()),
        None => hash(cookie::find(request.headers(), peer.scheme())?.as_bytes()),
    }
}

/// An IPv6 host has a whole /64 to ask from.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const TOKEN: [u8; 32] = [1; 32];

    fn rationing(credential: &str, anonymous: &str, total: &str) -> Rationing {
        let limit = |text: &str| text.parse().unwrap();
        let (api_rate, api_rate_anonymous, api_rate_total) = (limit(credential), limit(anonymous), limit(total));
        Rationing::new(RateOptions { api_rate, api_rate_anonymous, api_rate_total }, Peers::alone())
    }

    /// How many of `count` requests pass.
    fn passed(rationing: &Rationing, credential: Option<[u8; 32]>, count: usize, now: Instant) -> usize {
        (0..count).filter(|_| rationing.begin(HOME, credential, now).is_ok()).count()
    }

    fn recognise(rationing: &Rationing, credential: [u8; 32], now: Instant) {
        let taken = rationing.begin(HOME, Some(credential), now).unwrap();
        rationing.settle_here(taken, true, StatusCode::OK, now);
    }

    #[test]
    fn an_address_has_its_burst_and_then_its_rate() {
        let (rationing, start) = (rationing("off", "10:50", "off"), Instant::now());
        assert_eq!(passed(&rationing, None, 60, start), 50);
        let wait = rationing.begin(HOME, None, start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert!(rationing.begin(HOME, None, start + wait / 2).is_err());
        assert!(rationing.begin(HOME, None, start + wait).is_ok());
        assert_eq!(passed(&rationing, None, 60, start + Duration::from_secs(2)), 19);
        assert_eq!(
            passed(&rationing, None, 60, start + Duration::from_secs(60)),
            50,
            "no more than the burst is saved"
        );
        assert!(rationing.begin("198.51.100.1".parse().unwrap(), None, start).is_ok(), "another address");
    }

    #[test]
    fn c35_made_up_credentials_bring_no_allowance_of_their_own() {
        let (rationing, now) = (rationing("50:200", "10:50", "off"), Instant::now());
        let refused = (0..=255_u8).filter(|byte| {
            let taken = rationing.begin(HOME, Some([*byte; 32]), now);
            taken.map(|taken| rationing.settle_here(taken, false, StatusCode::UNAUTHORIZED, now)).is_err()
        });
        assert_eq!(refused.count(), 206);
        assert!(rationing.credentials.state().whole_at.is_empty());
    }

    #[test]
    fn a_good_credential_has_its_own_allowance_and_costs_its_address_nothing() {
        let (rationing, now) = (rationing("50:200", "10:50", "off"), Instant::now());
        for byte in 0..100 {
            recognise(&rationing, [byte; 32], now);
        }
        assert_eq!(passed(&rationing, Some(TOKEN), 300, now), 199);
        assert_eq!(passed(&rationing, Some([2; 32]), 300, now), 199);
        assert_eq!(passed(&rationing, None, 60, now), 50);
        let taken = rationing.begin(HOME, Some([3; 32]), now).unwrap();
        rationing.settle_here(taken, false, StatusCode::UNAUTHORIZED, now);
        assert!(rationing.begin(HOME, Some([3; 32]), now).is_err(), "it is good no more, and the address has nothing");
    }

    #[test]
    fn the_total_refuses_whoever_comes_and_costs_them_nothing() {
        let (rationing, now) = (rationing("50:200", "10:50", "1:3"), Instant::now());
        recognise(&rationing, TOKEN, now);
        assert_eq!(passed(&rationing, Some(TOKEN), 100, now), 2);
        assert_eq!(passed(&rationing, None, 100, now), 0);
        let later = now + Duration::from_secs(1);
        assert_eq!(rationing.begin(HOME, None, later).map(|_| ()), Ok(()));
        let whole_at = rationing.addresses.state().whole_at[&HOME];
        assert!(whole_at <= later + Duration::from_millis(100), "what was refused was given back");
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_the_table_and_shares_what_is_left() {
        let (rationing, now) = (rationing("off", "1:2", "off"), Instant::now());
        let address = |number: u32| IpAddr::from(std::net::Ipv4Addr::from(number));
        let passed = (0..3 * KEPT_MAX as u32).filter(|number| rationing.begin(address(*number), None, now).is_ok());
        assert_eq!(passed.count(), KEPT_MAX + 2);
        assert_eq!(rationing.addresses.state().whole_at.len(), KEPT_MAX);
        assert!(rationing.begin(address(1), None, now).is_ok(), "who has a place keeps it");
        let later = now + Duration::from_secs(2);
        assert!(rationing.begin(address(u32::MAX), None, later).is_ok());
        assert_eq!(rationing.addresses.state().whole_at.len(), 1);
    }

    #[test]
    fn a_good_credential_without_a_rate_is_not_held_to_that_of_its_address() {
        let (rationing, now) = (rationing("off", "1:2", "off"), Instant::now());
        recognise(&rationing, TOKEN, now);
        assert_eq!(passed(&rationing, Some(TOKEN), 1_000, now), 1_000);
        assert_eq!(passed(&rationing, None, 10, now), 2);
    }

    #[test]
    fn what_is_off_refuses_nobody() {
        let rationing = Rationing::new(RateOptions::OFF, Peers::alone());
        assert_eq!(passed(&rationing, Some(TOKEN), 1_000, Instant::now()), 1_000);
    }
}
