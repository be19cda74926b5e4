//! The hub's shared services, built once at start. Handlers get them as
//! [`AppState`].

pub mod background;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::report::ObjectId;

use crate::clock::{Clock, Random, SystemClock, Timestamp};
use crate::config::{DataDir, RateOptions, Retention, ServeOptions, SessionOptions, StorageOptions};
use crate::db::guard::Guard;
use crate::db::{DatabaseUrl, Db, DbError};
use crate::docker::Engines;
use crate::error::{ApiError, ApiResult};
use crate::fleet::attached::Attached;
use crate::fleet::installer::Installer;
use crate::fleet::{self, Fleet};
use crate::http::Rationing;
use crate::identity::audit::{self, Audit, CutOff};
use crate::identity::users::passwords::HashCost;
use crate::identity::{self, Identity};
use crate::jobs::{Jobs, Limits};
use crate::lifecycle::Lifecycle;
use crate::mail::Mail;
use crate::ops::backup::{Backups, Places};
use crate::ops::console::Files;
use crate::ops::health::Health;
use crate::ops::keys::Keys;
use crate::ops::metrics::Metrics;
use crate::outgoing::Outgoing;
use crate::peers::Peers;
use crate::telemetry::events::Events;
use crate::telemetry::inventory::Inventories;
use crate::telemetry::live::Live;
use crate::telemetry::metrics::Measurements;
use crate::tunnel::listener::Listener;
use crate::tunnel::{self, Feed, Registry, Session};
use crate::vault::{KeyCost, Opened, Vault};
use crate::workloads::containers::Replacements;
use crate::workloads::files;
use crate::workloads::logs::Logs;
use crate::workloads::recordings::Recordings;
use crate::workloads::terminals::Terminals;

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
    pub vault: Arc<Vault>,
    /// The other hubs on the same database.
    pub peers: Peers,
    /// Writes to people.
    pub mail: Arc<Mail>,
    /// Users and their credentials.
    pub identity: Arc<Identity>,
    /// What was done, and by whom.
    pub audit: Audit,
    /// Environments and agents.
    pub fleet: Arc<Fleet>,
    /// Every live session.
    pub sessions: Registry,
    /// The engines behind the sessions.
    pub engines: Engines,
    /// What takes long.
    pub jobs: Jobs,
    /// What the engines have.
    pub inventories: Inventories,
    /// What happened on the engines.
    pub events: Arc<Events>,
    /// What hosts and containers use.
    pub measurements: Measurements,
    /// The containers that are being replaced.
    pub replacements: Replacements,
    /// The agents of the engines that the hub reaches by itself.
    pub attached: Attached,
    /// Hands out what a new host needs.
    pub installer: Installer,
    /// The way to addresses that somebody configured.
    pub outgoing: Arc<Outgoing>,
    /// Where edge agents come in.
    pub listener: Listener<Fleet>,
    /// The container that the hub itself runs in, where it does.
    pub container: Option<ObjectId>,
    /// The live channels of browsers.
    pub live: Live,
    /// The open terminals.
    pub terminals: Terminals,
    /// What is recorded of them.
    pub recordings: Recordings,
    /// How often who asks.
    pub rationing: Arc<Rationing>,
    /// Who reads logs.
    pub logs: Logs,
    /// Who moves files into and out of containers.
    pub files: files::Transfers,
    /// The web console.
    pub console: Files,
    /// Makes backups.
    pub backups: Backups,
    /// Makes new keys for secrets at rest.
    pub keys: Arc<Keys>,
    /// How the parts of the hub do.
    pub health: Health,
    /// What the hub counts.
    pub metrics: Metrics,
    /// The ends of the hub, and its tasks.
    pub lifecycle: Lifecycle,
}

/// What the services are built on.
#[derive(Debug)]
pub struct Foundations {
    /// The database, migrated.
    pub db: Db,
    /// The open vault.
    pub vault: Vault,
    /// The other hubs on the same database.
    pub peers: Peers,
    /// Makes backups.
    pub backups: Backups,
    /// Makes new keys for secrets at rest.
    pub keys: Keys,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// What hashing a password costs.
    pub cost: HashCost,
    /// The socket of the local engine, if the hub manages one.
    pub local_engine: Option<PathBuf>,
    /// The container that the hub itself runs in, where it does.
    pub container: Option<ObjectId>,
    /// How much is kept of what comes by itself.
    pub retention: Retention,
    /// How long somebody stays signed in.
    pub session_terms: SessionOptions,
    /// How often anybody may ask.
    pub rates: RateOptions,
    /// Hands out what a new host needs.
    pub installer: Installer,
    /// The way to addresses that somebody configured.
    pub outgoing: Outgoing,
    /// The ends of the hub, and its tasks.
    pub lifecycle: Lifecycle,
}

impl App {
    /// Opens the database and the vault, and builds everything on them.
    ///
    /// # Errors
    /// When the database cannot be opened or migrated, or the master key is not
    /// the one that was used before.
    pub async fn build(data_dir: &DataDir, options: &ServeOptions, lifecycle: Lifecycle) -> anyhow::Result<AppState> {
        let retention = options.retention.check()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (db, vault) = open_vault(data_dir, &options.storage, clock.now()).await?;
        let (source, cost) = (options.storage.master_key(data_dir), KeyCost::Production);
        let (backups, keys) = (Backups::new(source.clone(), cost), Keys::new(source, cost, options.rotation.life()));
        let (cost, local_engine) = (HashCost::Production, options.engine.socket());
        let installer = Installer::new(options.agents.agent_dir.clone(), std::env::current_exe().ok().as_deref());
        let container = windflow_agent::host::container();
        Self::assemble(Foundations {
            db,
            vault,
            peers: options.peers.peers(),
            backups,
            keys,
            clock,
            cost,
            local_engine,
            container,
            retention,
            session_terms: options.sessions,
            rates: options.rates,
            installer,
            outgoing: Outgoing::default(),
            lifecycle,
        })
        .await
    }

    /// The live session of an environment.
    ///
    /// # Errors
    /// 404 where there is no such environment, 503 where it is offline.
    pub async fn session(&self, environment: EnvironmentId) -> ApiResult<Arc<Session>> {
        match self.engines.session(environment) {
            Ok(session) => Ok(session),
            Err(offline) => match self.fleet.find_environment(environment).await? {
                Some(_) => Err(offline.into()),
                None => Err(ApiError::not_found("environment")),
            },
        }
    }

    /// Builds the services on an open database and vault.
    ///
    /// # Errors
    /// When the database fails, or the fleet's keys do not open.
    pub async fn assemble(base: Foundations) -> anyhow::Result<AppState> {
        let Foundations {
            db,
            vault,
            peers,
            backups,
            keys,
            clock,
            cost,
            local_engine,
            container,
            retention,
            session_terms,
            rates,
            installer,
            outgoing,
            lifecycle,
        } = base;
        let (vault, random) = (Arc::new(vault), Random::default());
        let outgoing = Arc::new(outgoing);
        let sessions = Registry::new(Feed::starting_at(u64::try_from(clock.now().as_micros()).unwrap_or_default()));
        // Before anything is done that is recorded.
        let mut tx = db.write_vital().await?;
        audit::unlock(&mut tx, &vault, &random, clock.now()).await.context("Failed to open the audit log")?;
        peers.join(&mut tx, &vault, clock.now(), &lifecycle).await.context("Failed to read what the hubs share")?;
        tx.commit().await?;
        let mail = Arc::new(Mail::new(db.clone(), vault.clone(), clock.clone()));
        let foundation = identity::Foundation {
            db: db.clone(),
            vault: vault.clone(),
            peers: peers.clone(),
            clock: clock.clone(),
            cost,
            terms: session_terms,
            mail: mail.clone(),
            outgoing: outgoing.clone(),
        };
        let identity = Arc::new(Identity::open(foundation).await?);
        let foundation = fleet::Foundation {
            db: db.clone(),
            vault: vault.clone(),
            clock: clock.clone(),
            random: random.clone(),
            sessions: sessions.clone(),
        };
        let fleet = Arc::new(Fleet::load(foundation).await.context("Failed to load the fleet's keys")?);
        let tasks = lifecycle.tasks.clone();
        let attached = Attached::new(fleet.clone(), local_engine, tasks.clone(), lifecycle.links.clone());
        let listener = Listener::new(tunnel::listener::Parts {
            tls: fleet.tunnel_tls()?,
            registry: sessions.clone(),
            gatekeeper: fleet.clone(),
            clock: clock.clone(),
            tracker: tasks,
        });
        let metrics = Metrics::default();
        metrics.registry().register_collector(Box::new(sessions.clone()));
        let measurements = Measurements::new(retention.metric_lives);
        let help = "Measurements that agents made only since somebody looked";
        metrics.registry().register("metrics_glances", help, measurements.glances().clone());
        let audit = Audit::new(retention.audit);
        audit.register(&mut metrics.registry());
        let inventories = Inventories::new(fleet.told().clone());
        let engines = Engines::new(sessions.clone());
        let jobs = Jobs::new(db.clone(), clock.clone(), sessions.feed().clone(), lifecycle.clone(), Limits::default());
        // A hub starts on a full disk: what is cut off is ended later then.
        if let Err(error) = jobs.end_cut_off(&CutOff).await {
            tracing::error!(%error, "the jobs of the hub before this one could not be ended");
        }
        let live = Live::new(sessions.feed().clone());
        let rationing = Arc::new(Rationing::new(rates, peers.clone()));
        let app = Arc::new(Self {
            db,
            clock,
            random,
            vault,
            peers,
            mail,
            identity,
            audit,
            fleet,
            sessions,
            engines,
            jobs,
            inventories,
            events: Events::new(retention.events),
            measurements,
            replacements: Replacements::default(),
            attached,
            installer,
            outgoing,
            listener,
            container,
            live,
            terminals: Terminals::default(),
            recordings: Recordings::new(retention.recordings),
            rationing,
            logs: Logs::default(),
            files: files::Transfers::default(),
            console: Files::BUILT_IN,
            backups,
            keys: Arc::new(keys),
            health: Health::default(),
            metrics,
            lifecycle,
        });
        if let Err(error) = app.end_broken_recordings().await {
            tracing::error!(%error, "the recordings of the hub before this one could not be ended");
        }
        Ok(app)
    }
}

/// The database is damaged, and the hub does not touch it.
#[derive(Debug, thiserror::Error)]
#[error(
    "the database {database} is damaged. It was left as it is, and the hub does not start on it. Restore a backup: \
     {command}"
)]
pub struct DamagedDatabase {
    database: String,
    command: String,
}

/// Opens the database, sees that it is whole, and brings its schema to this
/// version.
///
/// # Errors
/// [`DamagedDatabase`], or when it cannot be opened or migrated.
pub async fn open_migrated(data_dir: &DataDir, options: &StorageOptions) -> anyhow::Result<Db> {
    let db = open_database(data_dir, options).await?;
    migrate(&db, data_dir, options).await?;
    Ok(db)
}

/// Opens the database and its vault, and brings the schema to this version: in
/// this order, so that a database without its master key is left as it is.
///
/// # Errors
/// As [`open_migrated`], or [`OpenError`](crate::vault::OpenError) where the
/// master key is missing or another one.
pub async fn open_vault(data_dir: &DataDir, options: &StorageOptions, now: Timestamp) -> anyhow::Result<(Db, Vault)> {
    let (db, cost) = (open_database(data_dir, options).await?, KeyCost::Production);
    let opened = options.master_key(data_dir).open(&db, cost).await?;
    migrate(&db, data_dir, options).await?;
    let vault = match opened {
        Opened::Known(root) => Vault::unlock_with(&db, root, now).await?,
        Opened::Fresh(master) => Vault::unlock(&db, master, cost, now).await?,
    };
    Ok((db, vault))
}

async fn migrate(db: &Db, data_dir: &DataDir, options: &StorageOptions) -> anyhow::Result<()> {
    let url = options.database(data_dir);
    db.migrate().await.with_context(|| format!("Failed to migrate the database {url}"))
}

/// Opens the database and sees that it is whole. A restore that was cut off is
/// completed first.
///
/// # Errors
/// [`DamagedDatabase`], or when it cannot be opened.
pub async fn open_database(data_dir: &DataDir, options: &StorageOptions) -> anyhow::Result<Db> {
    let url = options.database(data_dir);
    if let DatabaseUrl::Sqlite(database) = &url {
        let master_key = options.master_key(data_dir);
        let places = Places { database, master_key: master_key.file() };
        places.complete().context("Failed to complete the restore that was begun")?;
        Guard::of(database).prepare().context("Failed to look at the database's disk")?;
    }
    let opened = async {
        let db = Db::open(&url).await?;
        db.check().await?;
        Ok(db)
    };
    opened.await.map_err(|error| match error {
        DbError::Damaged(_) => {
            DamagedDatabase { database: url.to_string(), command: options.restore_command(data_dir) }.into()
        }
        error => anyhow::Error::new(error).context(format!("Failed to open the database {url}")),
    })
}
