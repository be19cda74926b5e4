//! The fleet: environments, the agents that carry them, and how a host joins.
//!
//! [`Fleet`] is the one service; each folder adds its part to it.
//! `gatekeeper` answers what the tunnel asks, `attached` runs the agents of
//! the engines that the hub reaches by itself, `installer` hands out what a new
//! host needs.

pub mod agents;
pub mod attached;
pub mod authority;
mod doors;
pub mod enrollment;
pub mod environments;
mod gatekeeper;
pub mod groups;
pub mod installer;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use windflow_protocol::ids::HubId;
use windflow_protocol::tls::{self, HubIdentity, HubLeaf, TlsError};

use self::agents::{Pace, TicketKey};
use self::authority::{Authority, AuthorityError};
use self::enrollment::{Limiter, Pepper};
use self::environments::{Known, Told};
use crate::app::AppState;
use crate::clock::{Clock, Random};
use crate::db::{Db, DbError, Tx};
use crate::http::Routes;
use crate::tunnel::{News, Registry};
use crate::vault::settings;
use crate::vault::{self, OwnKey, SealedSettingError, Vault};

/// How long tokens and certificates are listed after their end.
const KEPT_AFTER_END: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How often an expired certificate may be renewed outside a session.
const RECOVERY_PACE: Duration = Duration::from_secs(10);
/// How often it is recorded that an agent's identity seems to have been copied.
const ALARM_PACE: Duration = Duration::from_secs(10 * 60);

const HUB_ID: &str = "fleet.hub_id";
const AUTHORITY_CERTIFICATE: &str = "fleet.authority.certificate";

/// What the fleet stands on.
#[derive(Clone, Debug)]
pub struct Foundation {
    /// The database.
    pub db: Db,
    /// Seals what must not be read.
    pub vault: Arc<Vault>,
    /// The hub's clock.
    pub clock: Arc<dyn Clock>,
    /// The random source.
    pub random: Random,
    /// Where sessions are held.
    pub sessions: Registry,
}

/// Why the fleet could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A sealed key does not open.
    #[error(transparent)]
    Sealed(#[from] SealedSettingError),
    /// The certificate authority cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The tunnel's own certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A stored secret has the wrong length.
    #[error("a stored secret of this hub is damaged: restore the database from a backup")]
    Secret,
    /// The stored id of the hub is not an id.
    #[error("the stored id of this hub is damaged: restore the database from a backup")]
    HubId,
}

/// The fleet's service.
pub struct Fleet {
    base: Foundation,
    authority: Authority,
    pepper: Pepper,
    tickets: TicketKey,
    quic_secret: [u8; 32],
    tunnel: HubIdentity,
    limiter: Limiter,
    /// Renewals by expired certificates, which are not slowed by a session.
    recoveries: Pace,
    /// Records of an identity that seems to have been copied.
    alarms: Pace,
    told: Told,
    known: Known,
}

/// The id of the hub whose database this is; `None` if it was never started.
///
/// # Errors
/// [`LoadError`].
pub async fn find_hub_id(tx: &mut Tx) -> Result<Option<HubId>, LoadError> {
    let Some(id) = settings::find(tx, HUB_ID).await? else {
        return Ok(None);
    };
    Ok(Some(HubId(uuid::Uuid::from_slice(&id).map_err(|_| LoadError::HubId)?)))
}

/// Adds the routes of the fleet.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    let routes = environments::routes(routes);
    let routes = groups::routes(routes);
    let routes = agents::routes(routes);
    let routes = enrollment::routes(routes);
    let routes = installer::routes(routes);
    doors::routes(routes)
}

impl Fleet {
    /// Loads the fleet's keys; the first time, makes them.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load(base: Foundation) -> Result<Self, LoadError> {
        let now = base.clock.now();
        let fresh = Authority::generate(HubId::generate())?;
        let mut tx = base.db.write_vital().await?;
        let hub = settings::get_or_insert(&mut tx, HUB_ID, fresh.hub().0.as_bytes(), now).await?;
        let hub = HubId(uuid::Uuid::from_slice(&hub).map_err(|_| LoadError::HubId)?);
        let key = vault::get_or_seal(&mut tx, &base.vault, OwnKey::FleetAuthority, &fresh.key_der(), now).await?;
        let certificate = settings::get_or_insert(&mut tx, AUTHORITY_CERTIFICATE, fresh.certificate(), now).await?;
        let secret = base.random.bytes::<32>();
        let pepper = vault::get_or_seal(&mut tx, &base.vault, OwnKey::Enrollment, &secret, now).await?;
        let secret = base.random.bytes::<32>();
        let quic = vault::get_or_seal(&mut tx, &base.vault, OwnKey::QuicRestart, &secret, now).await?;
        let secret = base.random.bytes::<32>();
        let tickets = vault::get_or_seal(&mut tx, &base.vault, OwnKey::Tickets, &secret, now).await?;
        tx.commit().await?;
        let authority = Authority::load(hub, &key, certificate)?;
        let own = authority.issue_hub(now.as_datetime())?;
        Ok(Self {
            tunnel: HubIdentity {
                hub,
                authority: authority.certificate().clone(),
                leaf: Arc::new(HubLeaf::new(own.chain, own.key)?),
            },
            authority,
            pepper: Pepper::new(&pepper),
            tickets: TicketKey::new(&tickets),
            quic_secret: quic.as_slice().try_into().map_err(|_| LoadError::Secret)?,
            limiter: Limiter::default(),
            recoveries: Pace::new(RECOVERY_PACE),
            alarms: Pace::new(ALARM_PACE),
            told: Told::default(),
            known: Known::default(),
            base,
        })
    }

    /// The certificate authority.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The tunnel's own TLS, for both transports.
    ///
    /// # Errors
    /// When the authority cannot be used.
    pub fn tunnel_tls(&self) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        tls::server_config(&self.tunnel)
    }

    /// Gives the tunnel a fresh certificate; sessions that stand keep the old
    /// one.
    ///
    /// # Errors
    /// When the authority cannot be used; the old certificate stays.
    pub fn renew_own_certificate(&self) -> anyhow::Result<()> {
        let own = self.authority.issue_hub(self.base.clock.now().as_datetime())?;
        Ok(self.tunnel.leaf.replace(own.chain, own.key)?)
    }

    /// What lets agents on QUIC notice a restart of the hub.
    pub const fn quic_secret(&self) -> &[u8; 32] {
        &self.quic_secret
    }

    /// Forgets tokens and certificates that ended long ago. How many rows.
    ///
    /// # Errors
    /// When the database fails; what was forgotten stays forgotten.
    pub async fn delete_expired(&self) -> Result<u64, DbError> {
        let before = self.base.clock.now() - KEPT_AFTER_END;
        let mut tx = self.base.db.write_vital().await?;
        let tokens = enrollment::delete_ended(&mut tx, before).await?;
        let certificates = agents::delete_expired_certificates(&mut tx, before).await?;
        tx.commit().await?;
        Ok(tokens + certificates)
    }

    /// Tells those who look on what changed. To be called once it is committed.
    fn tell(&self, news: News) {
        self.base.sessions.feed().post(news);
    }

    /// Where sessions are held.
    pub const fn sessions(&self) -> &Registry {
        &self.base.sessions
    }
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("authority", &self.authority).finish_non_exhaustive()
    }
}
