//! The hub's shared services, built once at start. Handlers get them as
//! [`AppState`].

use std::sync::Arc;

use anyhow::Context;

use crate::clock::{Clock, Random, SystemClock};
use crate::config::{DataDir, StorageOptions};
use crate::db::Db;
use crate::identity::Identity;
use crate::identity::users::passwords::HashCost;
use crate::vault::{KeyCost, MasterKey, MasterKeyOrigin, Vault};

/// What handlers take: `State<AppState>`.
pub type AppState = Arc<App>;

/// The shared services.
#[derive(Debug)]
pub struct App {
    /// The database.
    pub db: Db,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Random,
    /// Secrets at rest.
    pub vault: Vault,
    /// Users and their credentials.
    pub identity: Arc<Identity>,
}

impl App {
    /// Opens the database and the vault, and builds everything on them.
    ///
    /// # Errors
    /// When the database cannot be opened or migrated, or the master key is not
    /// the one that was used before.
    pub async fn build(data_dir: &DataDir, options: &StorageOptions) -> anyhow::Result<AppState> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let url = options.database(data_dir);
        let db = Db::open(&url).await.with_context(|| format!("Failed to open the database {url}"))?;
        db.migrate().await.with_context(|| format!("Failed to migrate the database {url}"))?;
        let master = master_key(data_dir, options, &Random::default())?;
        let vault = Vault::unlock(&db, master, KeyCost::Production, clock.now()).await?;
        Self::assemble(db, vault, clock, HashCost::Production).await
    }

    /// Builds the services on an open database and vault.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn assemble(db: Db, vault: Vault, clock: Arc<dyn Clock>, cost: HashCost) -> anyhow::Result<AppState> {
        let identity = Arc::new(Identity::open(db.clone(), clock.clone(), cost).await?);
        Ok(Arc::new(Self { db, clock, random: Random::default(), vault, identity }))
    }
}

fn master_key(data_dir: &DataDir, options: &StorageOptions, random: &Random) -> anyhow::Result<MasterKey> {
    if let Some(path) = &options.master_key_file {
        return Ok(MasterKey::read(path)?);
    }
    let path = data_dir.master_key();
    let (key, origin) = MasterKey::read_or_generate(&path, random)?;
    match origin {
        MasterKeyOrigin::Found => {}
        MasterKeyOrigin::Generated => tracing::warn!(
            path = %path.display(),
            "made a new master key: back this file up, without it no stored secret can ever be read again"
        ),
    }
    Ok(key)
}
