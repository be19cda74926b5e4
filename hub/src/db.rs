//! The database: SQLite or PostgreSQL behind one [`Db`] and one [`Tx`].
//!
//! Stores take `&mut Tx` and write one SQL text for both engines with
//! [`on_tx!`](crate::on_tx). Dropping a [`Tx`] rolls it back. What must differ
//! between the engines is a function in [`dialect`].

mod announcements;
pub mod dialect;
mod error;
mod finish;
pub mod guard;
pub mod tables;
mod timestamp;
mod url;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{PgConnection, PgPool, Postgres, Sqlite, SqlitePool, Transaction};
use tokio::sync::broadcast;

pub use self::announcements::Announcement;
pub use self::error::DbError;
use self::finish::{Finish, Finisher};
pub use self::finish::{Last, Revision, RowKey};
use self::guard::Guard;
pub use self::url::{DatabaseUrl, InvalidDatabaseUrl};

/// Connections that may read a SQLite database at once.
const SQLITE_READERS: u32 = 4;
/// Connections to a PostgreSQL server.
const POSTGRES_CONNECTIONS: u32 = 16;
/// How long a SQLite connection waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection before it is told that the
/// database is busy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection beyond the first is closed after being idle for this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// An open database. Cloning it shares the connections.
#[derive(Clone, Debug)]
pub enum Db {
    /// A SQLite file: one connection writes, several read.
    Sqlite {
        /// The only connection that may write.
        writer: SqlitePool,
        /// Connections that cannot write.
        readers: SqlitePool,
        /// Watches the disk under the file.
        guard: Arc<Guard>,
        /// What its transactions do last.
        finisher: Finisher,
    },
    /// A PostgreSQL server.
    Postgres {
        /// The connections.
        pool: PgPool,
        /// What its transactions do last.
        finisher: Finisher,
    },
}

/// A transaction on either engine. It is undone unless it is committed.
#[derive(Debug)]
pub enum Tx {
    /// On SQLite.
    Sqlite(SqliteTx),
    /// On PostgreSQL.
    Postgres(PostgresTx),
}

/// A transaction on SQLite, which tells the guard when the disk is full.
#[derive(Debug)]
pub struct SqliteTx {
    inner: Transaction<'static, Sqlite>,
    guard: Arc<Guard>,
    finish: Finish,
}

impl Deref for SqliteTx {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.inner
    }
}

impl DerefMut for SqliteTx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.inner
    }
}

/// A transaction on PostgreSQL.
#[derive(Debug)]
pub struct PostgresTx {
    inner: Transaction<'static, Postgres>,
    finish: Finish,
}

impl Deref for PostgresTx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl DerefMut for PostgresTx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}

/// Runs `$body` on the transaction `$tx` with `$c` as the connection, whichever
/// engine it is on. The body is compiled once for each, so both arms must give
/// the same type.
///
/// ```ignore
/// let users: i64 = on_tx!(tx, |c| sqlx::query_scalar("SELECT COUNT(*) FROM users").fetch_one(c).await)?;
/// ```
#[macro_export]
macro_rules! on_tx {
    ($tx:expr, |$c:ident| $body:expr) => {
        match $tx {
            $crate::db::Tx::Sqlite(inner) => {
                let $c = &mut **inner;
                $body
            }
            $crate::db::Tx::Postgres(inner) => {
                let $c = &mut **inner;
                $body
            }
        }
    };
}

impl Db {
    /// Connects, and creates a SQLite file that does not exist yet. The schema
    /// is left alone; see [`Db::migrate`].
    ///
    /// # Errors
    /// When the file or the server cannot be reached.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, DbError> {
        match url {
            DatabaseUrl::Sqlite(path) => open_sqlite(path).await,
            DatabaseUrl::Postgres(options) => {
                let pool = pool_options(POSTGRES_CONNECTIONS).connect_with((**options).clone()).await?;
                Ok(Self::Postgres { pool, finisher: Finisher::new() })
            }
        }
    }

    /// Brings the schema to this version of the hub.
    ///
    /// # Errors
    /// When a migration fails, or the database was written by a newer hub.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        match self {
            Self::Sqlite { writer, .. } => SQLITE_MIGRATIONS.run(writer).await,
            Self::Postgres { pool, .. } => POSTGRES_MIGRATIONS.run(pool).await,
        }
    }

    /// Brings the schema to an earlier version, for what was made by an earlier
    /// hub.
    ///
    /// # Errors
    /// As [`migrate`](Self::migrate).
    pub async fn migrate_to(&self, version: i64) -> Result<(), MigrateError> {
        match self {
            Self::Sqlite { writer, .. } => SQLITE_MIGRATIONS.run_to(version, writer).await,
            Self::Postgres { pool, .. } => POSTGRES_MIGRATIONS.run_to(version, pool).await,
        }
    }

    /// The same inside a transaction, which can be undone as a whole.
    ///
    /// # Errors
    /// As [`migrate`](Self::migrate).
    pub async fn migrate_within(tx: &mut Tx, version: i64) -> Result<(), MigrateError> {
        match tx {
            Tx::Sqlite(inner) => SQLITE_MIGRATIONS.run_direct(Some(version), &mut **inner, false).await,
            Tx::Postgres(inner) => POSTGRES_MIGRATIONS.run_direct(Some(version), &mut **inner, false).await,
        }
    }

    /// The number of the newest migration that this hub knows.
    pub fn newest_schema() -> i64 {
        SQLITE_MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
    }

    /// Looks for damage in a SQLite file, page by page. A PostgreSQL server
    /// does that by itself.
    ///
    /// # Errors
    /// [`DbError::Damaged`] when there is some.
    pub async fn check(&self) -> Result<(), DbError> {
        let Self::Sqlite { readers, .. } = self else {
            return Ok(());
        };
        let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(readers).await?;
        if found == "ok" {
            return Ok(());
        }
        tracing::error!(found, "the database is damaged");
        Err(DbError::Damaged(None))
    }

    /// Starts a transaction that may write. On SQLite it waits until it is the
    /// only one, so that it cannot fail half-way for another's sake.
    ///
    /// # Errors
    /// When no connection is free in time, or none can be made; on a full disk
    /// [`DbError::Full`] at once.
    pub async fn write(&self) -> Result<Tx, DbError> {
        match self {
            Self::Sqlite { guard, .. } if guard.is_full() => Err(DbError::Full(None)),
            Self::Sqlite { .. } | Self::Postgres { .. } => self.write_vital().await,
        }
    }

    /// The same for what must go on while the disk is full, from the room that
    /// the ballast held: signing in, cleaning, shutting someone out, and
    /// agents that connect.
    ///
    /// # Errors
    /// As [`write`](Self::write), but a full disk is tried all the same.
    pub async fn write_vital(&self) -> Result<Tx, DbError> {
        match self {
            Self::Sqlite { writer, guard, finisher, .. } => {
                let begun = writer.begin_with("BEGIN IMMEDIATE").await;
                let inner = begun.map_err(|error| noted(guard, error))?;
                Ok(Tx::Sqlite(SqliteTx { inner, guard: guard.clone(), finish: finisher.begin() }))
            }
            Self::Postgres { pool, finisher } => {
                Ok(Tx::Postgres(PostgresTx { inner: pool.begin().await?, finish: finisher.begin() }))
            }
        }
    }

    /// What watches the disk under a SQLite file.
    pub const fn guard(&self) -> Option<&Arc<Guard>> {
        match self {
            Self::Sqlite { guard, .. } => Some(guard),
            Self::Postgres { .. } => None,
        }
    }

    /// Starts a transaction that sees one moment of the database and cannot
    /// change it.
    ///
    /// # Errors
    /// When no connection is free in time, or none can be made.
    pub async fn read(&self) -> Result<Tx, DbError> {
        match self {
            Self::Sqlite { readers, guard, finisher, .. } => {
                let inner = readers.begin().await?;
                Ok(Tx::Sqlite(SqliteTx { inner, guard: guard.clone(), finish: finisher.begin() }))
            }
            Self::Postgres { pool, finisher } => {
                let snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                let inner = pool.begin_with(snapshot).await?;
                Ok(Tx::Postgres(PostgresTx { inner, finish: finisher.begin() }))
            }
        }
    }

    /// Hears from now on what transactions [announce](Tx::announce).
    pub fn announcements(&self) -> broadcast::Receiver<Announcement> {
        match self {
            Self::Sqlite { finisher, .. } | Self::Postgres { finisher, .. } => finisher.announcer.listen(),
        }
    }

    /// The key that shows that rows were written by this hub.
    pub const fn row_key(&self) -> &RowKey {
        match self {
            Self::Sqlite { finisher, .. } | Self::Postgres { finisher, .. } => &finisher.row_key,
        }
    }

    /// How often the rows of the fleet were changed through this.
    pub const fn fleet_revision(&self) -> &Revision {
        match self {
            Self::Sqlite { finisher, .. } | Self::Postgres { finisher, .. } => &finisher.fleet,
        }
    }

    /// Asks the database for nothing, to see that it answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), DbError> {
        let mut tx = self.read().await?;
        let one: i64 = on_tx!(&mut tx, |c| sqlx::query_scalar("SELECT CAST(1 AS BIGINT)").fetch_one(c).await)?;
        debug_assert_eq!(one, 1);
        Ok(())
    }

    /// The engine's name, for logs and reports.
    pub fn engine(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres { .. } => "postgres",
        }
    }

    /// Waits for running transactions and closes every connection.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers, .. } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres { pool, .. } => pool.close().await,
        }
    }
}

async fn open_sqlite(path: &Path) -> Result<Db, DbError> {
    create_private(path).map_err(sqlx::Error::Io)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT);
    // A commit that failed for lack of room leaves the connection where no
    // transaction can begin: it is replaced.
    let writer = pool_options(1).before_acquire(|connection: &mut SqliteConnection, _| {
        let is_free = !connection.is_in_transaction();
        Box::pin(async move { Ok(is_free) })
    });
    let writer = writer.connect_with(options.clone()).await?;
    let readers = pool_options(SQLITE_READERS).connect_with(options.pragma("query_only", "ON")).await?;
    Ok(Db::Sqlite { writer, readers, guard: Arc::new(Guard::of(path)), finisher: Finisher::new() })
}

/// The error, after the guard has heard of it.
fn noted(guard: &Guard, error: impl Into<DbError>) -> DbError {
    let error = error.into();
    if error.is_full() {
        guard.note_full();
    }
    error
}

/// Makes the file before SQLite does, closed to others whatever directory it is
/// in; the files beside it get the same mode. One that is there is left alone.
fn create_private(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn pool_options<DB: sqlx::Database>(connections: u32) -> PoolOptions<DB> {
    PoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT).idle_timeout(IDLE_TIMEOUT)
}

impl Tx {
    /// Has those who listen told of this once it is committed.
    pub fn announce(&mut self, announcement: Announcement) {
        self.finish().announcements.add(announcement);
    }

    /// Has rows of the fleet that are held in memory read again once this is
    /// committed.
    pub const fn outdate_fleet(&mut self) {
        self.finish().outdates_fleet = true;
    }

    /// Has this done right before the commit, after all that the transaction
    /// does otherwise.
    pub fn do_last(&mut self, work: Box<dyn Last>) {
        self.finish().last.push(work);
    }

    /// The key that shows that rows were written by this hub.
    pub const fn row_key(&self) -> &RowKey {
        match self {
            Self::Sqlite(SqliteTx { finish, .. }) | Self::Postgres(PostgresTx { finish, .. }) => &finish.row_key,
        }
    }

    /// Makes what was done last.
    ///
    /// # Errors
    /// When the database refuses; nothing was done then.
    pub async fn commit(mut self) -> Result<(), DbError> {
        for work in std::mem::take(&mut self.finish().last) {
            work.run(&mut self).await.map_err(|error| self.noted(error))?;
        }
        let finish = match self {
            Self::Sqlite(SqliteTx { inner, guard, finish }) => {
                inner.commit().await.map_err(|error| noted(&guard, error))?;
                finish
            }
            Self::Postgres(PostgresTx { inner, finish }) => {
                inner.commit().await?;
                finish
            }
        };
        finish.tell();
        Ok(())
    }

    const fn finish(&mut self) -> &mut Finish {
        match self {
            Self::Sqlite(SqliteTx { finish, .. }) | Self::Postgres(PostgresTx { finish, .. }) => finish,
        }
    }

    fn noted(&self, error: DbError) -> DbError {
        match self {
            Self::Sqlite(SqliteTx { guard, .. }) => noted(guard, error),
            Self::Postgres(_) => error,
        }
    }
}
