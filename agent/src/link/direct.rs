//! The shortest way to an `https://` hub: where nothing stands between, the
//! tunnel's own TLS session is spoken at once on its port, with no other TLS
//! and no WebSocket around it.
//!
//! Whatever else answers there does not know the session's purpose and cannot
//! show the pinned key, so it ends the handshake or this end does; then the
//! WebSocket is tried as ever. Nothing but the first message of the handshake
//! has been said by then.

use std::sync::Mutex;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;
use windflow_protocol::tls::ClientTls;

use super::{HubUrl, Outer};

/// A hub that answers itself has shaken hands within this.
const ANSWER: Duration = Duration::from_secs(1);
/// How long it is known that something stands between.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// Which hubs are not reached directly.
#[derive(Debug, Default)]
pub(super) struct Direct {
    /// Hubs that were reached by the other way alone, and when.
    hidden: Mutex<Vec<(HubUrl, Instant)>>,
}

impl Direct {
    /// Whether it is worth a try: only for TLS, and not below another server's
    /// path, nor for an hour after it was in vain.
    pub(super) fn may_work(&self, hub: &HubUrl, now: Instant) -> bool {
        let mut hidden = self.hidden.lock().expect("no holder of the lock panics");
        hidden.retain(|(_, since)| now.duration_since(*since) < REMEMBERED);
        hub.outer == Outer::Tls && hub.base.is_empty() && hidden.iter().all(|(other, _)| other != hub)
    }

    /// Remembers that the hub is there, behind something.
    pub(super) fn was_in_vain(&self, hub: &HubUrl, now: Instant) {
        self.hidden.lock().expect("no holder of the lock panics").push((hub.clone(), now));
    }

    /// Tries it; `None` where the hub does not answer itself.
    pub(super) async fn handshake(&self, tcp: TcpStream, tls: &ClientTls) -> Option<TlsStream<TcpStream>> {
        match timeout(ANSWER, tls.handshake(tcp)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "something stands before the hub");
                None
            }
            Err(_) => {
                tracing::debug!("something that does not answer stands before the hub");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hub_that_may_answer_itself_is_asked() {
        let (direct, now) = (Direct::default(), Instant::now());
        let may_work = |url: &str, at| direct.may_work(&url.parse().unwrap(), at);
        assert!(may_work("https://hub.example", now));
        assert!(!may_work("http://hub.example", now), "there is no other TLS to be saved");
        assert!(!may_work("https://hub.example/windflow", now), "a reverse proxy answers");
        direct.was_in_vain(&"https://hub.example".parse().unwrap(), now);
        assert!(!may_work("https://hub.example", now));
        assert!(may_work("https://other.example", now));
        assert!(may_work("https://hub.example", now + REMEMBERED), "networks change");
    }
}
