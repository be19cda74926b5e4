//! Names to addresses: asked for at every dial, so that a hub may move. While
//! there is no answer, the address that led to the hub last.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::LinkError;

/// How long a name server may take before the address of last time is used.
const PATIENCE: Duration = Duration::from_secs(3);
/// Hosts whose address is remembered: the hub's, and a proxy.
const REMEMBERED_MAX: usize = 16;

/// Resolves names, and remembers what was good.
#[derive(Debug, Default)]
pub(super) struct Names {
    good: Mutex<HashMap<String, IpAddr>>,
}

impl Names {
    /// The addresses of a host, families in turn.
    ///
    /// # Errors
    /// [`LinkError::Dns`].
    pub(super) async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, LinkError> {
        self.resolve_by(lookup(host, port), host, port).await
    }

    /// An authenticated hub was reached through this address of the host.
    pub(super) fn note_good(&self, host: &str, address: IpAddr) {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.contains_key(host) || good.len() < REMEMBERED_MAX {
            good.insert(host.to_owned(), address);
        }
    }

    async fn resolve_by(
        &self,
        answer: impl Future<Output = io::Result<Vec<SocketAddr>>>,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, LinkError> {
        let failed = |source| LinkError::Dns { host: host.to_owned(), source };
        let good = self.good.lock().unwrap_or_else(PoisonError::into_inner).get(host).copied();
        let Some(good) = good else {
            return answer.await.map_err(failed);
        };
        match timeout(PATIENCE, answer).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(_)) | Err(_) => {
                tracing::info!(host, address = %good, "the name cannot be resolved; trying the address of last time");
                Ok(vec![SocketAddr::new(good, port)])
            }
        }
    }
}

async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(interleaved(found)) }
}

fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (same, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let longest = same.len().max(other.len());
    (0..longest).flat_map(|i| [same.get(i), other.get(i)]).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn names() -> Names {
        let names = Names::default();
        names.note_good("hub.example", address("192.0.2.1:1").ip());
        names
    }

    #[test]
    fn families_take_turns() {
        let (a, b, c) = (address("[::1]:1"), address("[::2]:1"), address("1.1.1.1:1"));
        assert_eq!(interleaved(vec![a, b, c]), [a, c, b]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_address_stands_in_while_there_is_no_answer() {
        let expected = vec![address("192.0.2.1:8443")];
        let silent = names().resolve_by(pending(), "hub.example", 8443).await.unwrap();
        assert_eq!(silent, expected);
        let failed = ready(Err(io::ErrorKind::NotFound.into()));
        assert_eq!(names().resolve_by(failed, "hub.example", 8443).await.unwrap(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_more_than_what_was_good() {
        let moved = vec![address("198.51.100.1:8443")];
        let found = names().resolve_by(ready(Ok(moved.clone())), "hub.example", 8443).await.unwrap();
        assert_eq!(found, moved);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_good_for_one_host_is_not_for_another() {
        let failed = ready(Err(io::ErrorKind::NotFound.into()));
        let error = names().resolve_by(failed, "other.example", 8443).await.unwrap_err();
        assert_eq!(error.code(), "DNS_FAILED");
    }
}
