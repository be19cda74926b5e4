//! Turns at what a stranger may begin and then leave hanging, such as a TLS
//! handshake: so many at once, and of those only some for one source.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Sources remembered before those without a turn are forgotten.
const SOURCES_KEPT: usize = 256;

/// Why a semaphore gives its permits.
const OPEN: &str = "the semaphores are never closed";

/// Hands out turns. Whoever waits is bounded by the caller's deadline.
#[derive(Debug)]
pub struct Turns {
    all: Arc<Semaphore>,
    most: usize,
    most_of_source: usize,
    sources: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

/// One turn, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _of_source: Option<OwnedSemaphorePermit>,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    /// `most` turns at once, and `most_of_source` for one IPv4 address or IPv6
    /// network.
    pub fn new(most: usize, most_of_source: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(most)), most, most_of_source, sources: Mutex::default() }
    }

    /// Waits for a turn. A source that has all of its own holds up nobody else.
    pub async fn take(&self, from: IpAddr) -> Turn {
        let source = self.source(network(from));
        let of_source = source.acquire_owned().await.expect(OPEN);
        Turn { _of_source: Some(of_source), ..self.take_any().await }
    }

    /// Waits for a turn for somebody who speaks for many sources.
    pub async fn take_any(&self) -> Turn {
        let of_all = Arc::clone(&self.all).acquire_owned().await.expect(OPEN);
        Turn { _of_source: None, _of_all: of_all }
    }

    /// A turn, if there is one at once.
    pub fn try_take(&self, from: IpAddr) -> Option<Turn> {
        let of_source = self.source(network(from)).try_acquire_owned().ok()?;
        let of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Turn { _of_source: Some(of_source), _of_all: of_all })
    }

    /// Whether more than half of the turns are taken.
    pub fn is_busy(&self) -> bool {
        self.all.available_permits() < self.most / 2
    }

    fn source(&self, from: IpAddr) -> Arc<Semaphore> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= SOURCES_KEPT && !sources.contains_key(&from) {
            // Whoever has or awaits a turn holds a reference.
            sources.retain(|_, turns| Arc::strong_count(turns) > 1);
        }
        Arc::clone(sources.entry(from).or_insert_with(|| Arc::new(Semaphore::new(self.most_of_source))))
    }
}

/// One IPv6 host has a whole /64.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_source_that_takes_all_it_can_holds_up_nobody_else() {
        let turns = Turns::new(8, 3);
        let greedy: IpAddr = "2001:db8::1".parse().unwrap();
        let held: Vec<Turn> = (0..3).map(|_| turns.take(greedy).now_or_never().unwrap()).collect();
        assert!(turns.take("2001:db8::2".parse().unwrap()).now_or_never().is_none(), "the same network");
        assert!(turns.try_take(greedy).is_none());
        assert!(turns.take("192.0.2.1".parse().unwrap()).now_or_never().is_some());
        drop(held);
        assert!(turns.take(greedy).now_or_never().is_some());
    }

    #[test]
    fn sources_without_a_turn_are_forgotten() {
        let turns = Turns::new(8, 3);
        for address in 0..10_000_u32 {
            drop(turns.take(std::net::Ipv4Addr::from_bits(address).into()).now_or_never().unwrap());
        }
        assert!(turns.sources.lock().unwrap().len() <= SOURCES_KEPT);
    }
}
