//! Slows down whoever guesses: per account, per address, and all together, on
//! all hubs of a database.

mod attempt;
mod table;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use self::attempt::Counted;
use self::table::Table;
use crate::clock::Timestamp;
use crate::peers::{Apart, Name, Peers};

/// Counts failed attempts.
///
/// Whoever knows a name could hold its owner off by failing on purpose. So who
/// was right from an address before is counted there by themselves, and what
/// others do to the same account from elsewhere, or to all accounts, does not
/// delay them.
#[derive(Debug)]
pub struct Throttle {
    peers: Peers,
    /// What this hub counts while it cannot count together with others.
    here: Mutex<Table>,
}

/// Who tries, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Who {
    account: String,
    address: Option<IpAddr>,
}

impl Who {
    fn new(account: &str, address: Option<IpAddr>) -> Self {
        Self { account: account.to_lowercase(), address: address.map(network) }
    }

    /// What each thing that is counted of them is called, in the order of
    /// [`Counted::from_texts`].
    fn names(&self) -> Vec<Name> {
        let (all, account) = (Name::new("attempts", []), Name::new("account", self.account.as_bytes()));
        let Some(address) = self.address else { return vec![all, account] };
        let there = serde_json::to_vec(&(&self.account, address)).expect("a name and an address are JSON");
        vec![
            all,
            account,
            Name::new("address", address.to_string()),
            Name::new("known", there.clone()),
            Name::new("known-attempts", there),
        ]
    }
}

impl Throttle {
    /// Nobody has tried yet.
    pub fn new(peers: Peers) -> Self {
        Self { peers, here: Mutex::default() }
    }

    /// Counts an attempt on `account` from `address` as failed before it is
    /// made, so that many at once count as many; a success is [`forgiven`].
    ///
    /// # Errors
    /// How long to wait, when there were too many. Then nothing is counted.
    ///
    /// [`forgiven`]: Throttle::forgive
    pub async fn begin(&self, account: &str, address: Option<IpAddr>, now: Timestamp) -> Result<(), Duration> {
        self.change(&Who::new(account, address), now, |counted| counted.begin(now)).await
    }

    /// Takes back what [`begin`](Self::begin) counted: the attempt succeeded.
    /// From now on its owner is known there.
    pub async fn forgive(&self, account: &str, address: Option<IpAddr>, now: Timestamp) {
        self.change(&Who::new(account, address), now, |counted| counted.forgive(now)).await;
    }

    /// Takes back what [`begin`](Self::begin) counted at `now` and nothing else:
    /// the attempt was right as far as it went, and is to be made again with
    /// what is missing. What was counted before it stays.
    pub async fn take_back(&self, account: &str, address: Option<IpAddr>, now: Timestamp) {
        self.change(&Who::new(account, address), now, |counted| counted.take_back(now)).await;
    }

    async fn change<R>(&self, who: &Who, now: Timestamp, change: impl Fn(&mut Counted) -> R) -> R {
        let names = who.names();
        let together = self.peers.change(&names, |texts| {
            let mut counted = Counted::from_texts(texts);
            let result = change(&mut counted);
            (counted.into_texts(texts.len(), now), result)
        });
        match together.await {
            Ok(result) => result,
            Err(Apart) => self.here().change(who, now, change),
        }
    }

    fn here(&self) -> MutexGuard<'_, Table> {
        self.here.lock().expect("no code panics while it holds the throttle")
    }
}

/// An IPv6 host has a whole /64 to guess from.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}
