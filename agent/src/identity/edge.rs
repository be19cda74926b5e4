//! The credentials of an agent with an identity on disk: what it says in the
//! hello, what it writes down, and when it asks for a fresh certificate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use windflow_protocol::identity::KeyDigest;
use windflow_protocol::message::enroll::Certificate;
use windflow_protocol::message::hello::{Standing, Welcome};
use windflow_protocol::tls::{ClientIdentity, FleetTrust};

use super::{Identity, Renewal, State};
use crate::serve::{Claim, Credentials};

/// A renewal that was not answered is asked for again after this.
const ASK_AGAIN: Duration = Duration::from_secs(10 * 60);
/// The least wait before a renewal, so that a hub whose clock jumps is not
/// asked in a loop.
const ASK_AT_LEAST: Duration = Duration::from_secs(1);

/// What a session told the agent, for its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// The session's id.
    pub session: windflow_protocol::ids::SessionId,
    /// How far the hub trusts it.
    pub standing: Standing,
}

/// An identity in use. Clones share it.
#[derive(Clone, Debug)]
pub struct EdgeCredentials(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    identity: Mutex<Identity>,
    /// When to ask for a certificate; `None` until a hub said what time it is.
    due: watch::Sender<Option<Instant>>,
    /// The hub's clock at a moment of ours; `None` between sessions.
    hub_clock: Mutex<Option<(i64, Instant)>>,
    /// What the session of now was told; `None` between sessions.
    session: watch::Sender<Option<SessionView>>,
}

impl EdgeCredentials {
    /// Takes the identity into use.
    pub fn new(identity: Identity) -> Self {
        Self(Arc::new(Shared {
            identity: Mutex::new(identity),
            due: watch::Sender::new(None),
            hub_clock: Mutex::new(None),
            session: watch::Sender::new(None),
        }))
    }

    /// What the agent knows of itself and its hub now.
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// The digest of the agent's public key.
    pub fn fingerprint(&self) -> KeyDigest {
        self.lock().key().digest()
    }

    /// What to show in a handshake, and whom to trust.
    pub fn for_handshake(&self) -> (ClientIdentity, FleetTrust) {
        let identity = self.lock();
        (identity.client_identity(), identity.trust())
    }

    /// A request for a fresh certificate (PKCS #10, DER).
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn certificate_request(&self) -> anyhow::Result<Vec<u8>> {
        self.lock().key().certificate_request()
    }

    /// Follows what the session is told.
    pub fn session(&self) -> watch::Receiver<Option<SessionView>> {
        self.0.session.subscribe()
    }

    /// Forgets the session that has ended.
    pub fn session_ended(&self) {
        self.0.session.send_replace(None);
        self.0.due.send_replace(None);
        self.set_hub_clock(None);
    }

    /// Keeps a fresh certificate, wherever it came from.
    ///
    /// # Errors
    /// When it is not one for this key, or cannot be kept.
    pub async fn keep(&self, certificate: Certificate) -> anyhow::Result<()> {
        let hub_now = self.hub_clock();
        self.on_disk(move |identity| {
            identity.renew(&certificate)?;
            identity.fix_renewal(hub_now)
        })
        .await?;
        self.schedule();
        Ok(())
    }

    /// Sets the alarm for the next renewal, once the hub's clock is known.
    fn schedule(&self) {
        let Some(hub_now) = self.hub_clock() else {
            return;
        };
        let wait = until_renewal(&self.lock().state, hub_now);
        self.0.due.send_replace(Some(Instant::now() + wait.max(ASK_AT_LEAST)));
    }

    /// What the hub's clock shows now, in microseconds since 1970.
    fn hub_clock(&self) -> Option<i64> {
        let (then, at) = (*self.0.hub_clock.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(then.saturating_add(micros(at.elapsed())))
    }

    fn set_hub_clock(&self, clock: Option<i64>) {
        let clock = clock.map(|clock| (clock, Instant::now()));
        *self.0.hub_clock.lock().unwrap_or_else(PoisonError::into_inner) = clock;
    }

    /// Writes to disk away from the threads that carry the tunnel.
    async fn on_disk(
        &self,
        change: impl FnOnce(&mut Identity) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let shared = Arc::clone(&self.0);
        let write = move || change(&mut shared.identity.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(write).await?
    }

    fn lock(&self) -> MutexGuard<'_, Identity> {
        self.0.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Credentials for EdgeCredentials {
    fn claim(&self) -> Claim {
        let identity = self.lock();
        Claim { generation: identity.state.generation, ticket: Some(identity.state.ticket()) }
    }

    async fn welcomed(&self, welcome: &Welcome) -> anyhow::Result<()> {
        let (ticket, generation, hub_now) = (welcome.ticket.0, welcome.generation, welcome.hub_clock_micros);
        self.on_disk(move |identity| {
            let before = (identity.state.ticket, identity.state.generation);
            (identity.state.ticket, identity.state.generation) = (ticket, generation);
            let stored = identity.fix_renewal(Some(hub_now));
            if stored.is_err() {
                // What is shown to the hub is what a restart would show.
                (identity.state.ticket, identity.state.generation) = before;
            }
            stored
        })
        .await?;
        tracing::info!(session.id = %welcome.session, session.standing = ?welcome.standing, "connected to the hub");
        self.set_hub_clock(Some(hub_now));
        self.schedule();
        self.0.session.send_replace(Some(SessionView { session: welcome.session, standing: welcome.standing }));
        Ok(())
    }

    async fn renewal_due(&self) -> Vec<u8> {
        let mut due = self.0.due.subscribe();
        loop {
            let at = *due.borrow_and_update();
            let waiting = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = waiting => {}
                _ = due.changed() => continue,
            }
            self.0.due.send_replace(Some(Instant::now() + ASK_AGAIN));
            match self.certificate_request() {
                Ok(request) => return request,
                Err(error) => tracing::error!(%error, "the certificate could not be asked for"),
            }
        }
    }

    async fn renewed(&self, certificate: Certificate) -> anyhow::Result<()> {
        self.keep(certificate).await?;
        tracing::info!("the certificate was renewed");
        Ok(())
    }

    fn approved(&self) {
        self.0.session.send_modify(|session| {
            if let Some(session) = session {
                session.standing = Standing::Active;
            }
        });
    }
}

impl Identity {
    /// Turns a wait into a time on the hub's clock where that is known, and
    /// writes everything down.
    fn fix_renewal(&mut self, hub_now: Option<i64>) -> anyhow::Result<()> {
        if let (Renewal::Within { secs }, Some(hub_now)) = (self.state.renewal, hub_now) {
            let wait = jittered(Duration::from_secs(secs.into()));
            self.state.renewal = Renewal::At { hub_micros: hub_now.saturating_add(micros(wait)) };
        }
        self.save()
    }
}

/// Never later than half of what is left of the certificate.
fn until_renewal(state: &State, hub_now: i64) -> Duration {
    let wait = match state.renewal {
        Renewal::Within { secs } => Duration::from_secs(secs.into()),
        Renewal::At { hub_micros } => duration(hub_micros.saturating_sub(hub_now)),
    };
    wait.min(duration(state.not_after_micros.saturating_sub(hub_now)) / 2)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A tenth more or less, so that a fleet enrolled at once does not renew at
/// once.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(0.9..1.1))
}
