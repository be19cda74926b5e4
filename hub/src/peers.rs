//! The other hubs on the same database. With `--redis-url` they know of each
//! other, by way of one Redis: what ends on one ends on all, what somebody does
//! too often counts together, and who was recognised by one is known to the
//! others for a moment.
//!
//! The database stays what counts. Redis keeps nothing that may not be lost, and
//! is believed in nothing that lets anybody in without a seal of the hub's
//! vault. While it cannot be asked, each hub goes on by itself: it counts for
//! itself, and asks the database each second whom it still lets stay.

mod address;
mod link;
mod scripts;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use self::address::{InvalidRedisUrl, RedisUrl};
use self::link::Link;
pub use self::link::Name;
use crate::clock::{Random, Timestamp};
use crate::db::Tx;
use crate::lifecycle::Lifecycle;
use crate::vault::{OwnKey, SealedSettingError, Vault, get_or_seal};

/// How often something ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endings {
    /// Credentials, and what users may do.
    pub credentials: u64,
    /// Where environments stand: in which group, with which labels.
    pub places: u64,
}

/// There is no Redis, or it cannot be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no Redis that could be asked")]
pub struct Apart;

/// A value that ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lasting {
    /// The value.
    pub text: String,
    /// How long it lasts.
    pub life: Duration,
}

/// An allowance of which one request is taken: the generic cell rate algorithm.
#[derive(Clone, Debug)]
pub struct Take {
    /// Whose it is.
    pub name: Name,
    /// What one request costs.
    pub each: Duration,
    /// What may be spent ahead of time.
    pub ahead: Duration,
}

/// What was remembered of something, and how often credentials had ended on any
/// hub then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// How often credentials have ended.
    pub ended: u64,
    /// What is remembered.
    pub value: Option<Vec<u8>>,
}

/// What hubs tell each other. Clones are the same.
#[derive(Clone, Debug)]
pub struct Peers {
    endings: Arc<watch::Sender<Endings>>,
    link: Option<Arc<Link>>,
}

impl Peers {
    /// A hub that is the only one, or knows of no other.
    pub fn alone() -> Self {
        Self { endings: Arc::default(), link: None }
    }

    /// A hub among others that use the same Redis. Nothing is asked of it before
    /// [`join`](Self::join).
    pub fn by_way_of(redis: RedisUrl) -> Self {
        let endings = Arc::default();
        let link = Some(Arc::new(Link::new(redis, Arc::clone(&endings))));
        Self { endings, link }
    }

    /// Meets the hubs on the same database, which share a secret there, for as
    /// long as the hub runs.
    ///
    /// # Errors
    /// When the database fails, or the secret does not open.
    pub async fn join(
        &self,
        tx: &mut Tx,
        vault: &Vault,
        now: Timestamp,
        lifecycle: &Lifecycle,
    ) -> Result<(), SealedSettingError> {
        if let Some(link) = &self.link {
            let fresh = Random::default().bytes::<32>();
            link.join(&get_or_seal(tx, vault, OwnKey::Peers, &fresh, now).await?);
            lifecycle.tasks.spawn(link.clone().keep(lifecycle.links.clone()));
        }
        Ok(())
    }

    /// Whether Redis can be asked; `None` where there is none.
    pub fn are_met(&self) -> Option<bool> {
        self.link.as_ref().map(|link| link.is_up())
    }

    /// To be called once a credential was ended, or a user shut out or given
    /// other powers.
    pub fn tell_credentials_ended(&self) {
        if let Some(link) = &self.link {
            link.owe(|endings| endings.credentials += 1);
        }
        self.endings.send_modify(|endings| endings.credentials += 1);
    }

    /// To be called once an environment was moved.
    pub fn tell_places_ended(&self) {
        if let Some(link) = &self.link {
            link.owe(|endings| endings.places += 1);
        }
        self.endings.send_modify(|endings| endings.places += 1);
    }

    /// Changes each time when something ended, on whichever hub.
    pub fn endings(&self) -> watch::Receiver<Endings> {
        self.endings.subscribe()
    }

    /// How often something ended so far, as this hub knows.
    pub fn ended(&self) -> Endings {
        *self.endings.borrow()
    }

    /// Changes values that all hubs share, all at once: `change` is told what
    /// they are and says what they will be, and is asked again where another hub
    /// was faster.
    ///
    /// # Errors
    /// When they cannot be changed together. Then the hub is by itself.
    pub async fn change<R>(
        &self,
        names: &[Name],
        change: impl FnMut(&[Option<String>]) -> (Vec<Option<Lasting>>, R),
    ) -> Result<R, Apart> {
        self.link()?.change(names, change).await
    }

    /// Takes one request from each of these allowances; where one has nothing
    /// left, none is touched, and the answer is how long to wait.
    ///
    /// # Errors
    /// When there is no Redis to ask.
    pub async fn take(&self, takes: &[Take]) -> Result<Result<(), Duration>, Apart> {
        let link = self.link()?;
        if takes.is_empty() { Ok(Ok(())) } else { link.take(takes).await }
    }

    /// Gives back what was taken.
    pub async fn give_back(&self, take: &Take) {
        if let Ok(link) = self.link() {
            link.give_back(take).await.ok();
        }
    }

    /// What any hub remembered under this name.
    ///
    /// # Errors
    /// When there is no Redis to ask, or when this hub has yet to tell the
    /// others that something ended.
    pub async fn recall(&self, name: &Name) -> Result<Recalled, Apart> {
        self.link()?.recall(name).await
    }

    /// Remembers something for all hubs. It failing is no harm.
    pub async fn remember(&self, name: &Name, value: &[u8], life: Duration) {
        if let Ok(link) = self.link() {
            link.remember(name, value, life).await.ok();
        }
    }

    fn link(&self) -> Result<&Arc<Link>, Apart> {
        self.link.as_ref().ok_or(Apart)
    }
}
