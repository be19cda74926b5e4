//! What SQLite and PostgreSQL must do differently, both arms in sight.

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::tables::quoted;
use super::{DbError, Tx};
use crate::on_tx;

/// A rule that spans rows, which only one writer at a time may check and rely
/// on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusive {
    /// There is always an active administrator, and only one first user.
    Administrators = 1,
    /// Uses of enrollment tokens, and the names that new hosts get.
    Enrollment = 2,
    /// How many passkeys somebody has.
    Passkeys = 3,
    /// The keys that secrets are sealed with.
    VaultKeys = 17,
}

/// Lets no other transaction hold `what` until this one ends. SQLite has one
/// writer and needs nothing; PostgreSQL takes an advisory lock.
///
/// # Errors
/// When the database fails while waiting.
pub async fn lock_exclusive(tx: &mut Tx, what: Exclusive) -> Result<(), DbError> {
    match tx {
        Tx::Sqlite(_) => {}
        Tx::Postgres(inner) => {
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(what as i64).execute(&mut **inner).await?;
        }
    }
    Ok(())
}

/// Whether there is a table of this name.
///
/// # Errors
/// When the database fails.
pub async fn has_table(tx: &mut Tx, name: &str) -> Result<bool, DbError> {
    let found: i64 = match tx {
        Tx::Sqlite(inner) => {
            let sql = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1";
            sqlx::query_scalar(sql).bind(name).fetch_one(&mut **inner).await?
        }
        Tx::Postgres(inner) => {
            let sql = "SELECT COUNT(*) FROM information_schema.tables
                       WHERE table_schema = current_schema() AND table_name = $1";
            sqlx::query_scalar(sql).bind(name).fetch_one(&mut **inner).await?
        }
    };
    Ok(found > 0)
}

/// What a `SELECT` ends with so that no other transaction can hold its rows
/// until this one ends. SQLite has one writer and needs nothing.
pub const fn for_update(tx: &Tx) -> &'static str {
    match tx {
        Tx::Sqlite(_) => "",
        Tx::Postgres(_) => " FOR UPDATE",
    }
}

/// Holds the row of this id until the transaction ends: who changes what
/// belongs to it comes before or after, never in between. Two that took what
/// belongs to it in another order would wait for each other. `false` if there
/// is no such row any more.
///
/// # Errors
/// When the database fails while waiting.
pub async fn hold_row(tx: &mut Tx, table: &'static str, id: Uuid) -> Result<bool, DbError> {
    let sql = format!("SELECT id FROM {} WHERE id = $1{}", quoted(table), for_update(tx));
    let found: Option<Uuid> = on_tx!(tx, |c| sqlx::query_scalar(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?;
    Ok(found.is_some())
}

/// The same, but others may hold it so too: whoever [`holds`](hold_row) it alone
/// comes before or after all of them.
///
/// # Errors
/// When the database fails while waiting.
pub async fn share_row(tx: &mut Tx, table: &'static str, id: Uuid) -> Result<bool, DbError> {
    let lock = match tx {
        Tx::Sqlite(_) => "",
        Tx::Postgres(_) => " FOR KEY SHARE",
    };
    let sql = format!("SELECT id FROM {} WHERE id = $1{lock}", quoted(table));
    let found: Option<Uuid> = on_tx!(tx, |c| sqlx::query_scalar(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?;
    Ok(found.is_some())
}

/// Two statements that write as one that is sent, so that a server elsewhere is
/// asked once. They share their parameters, and neither sees what the other
/// does.
pub fn at_once(tx: &Tx, one: &str, other: &str) -> String {
    match tx {
        Tx::Sqlite(_) => format!("{one}; {other}"),
        Tx::Postgres(_) => format!("WITH one AS ({one}) {other}"),
    }
}

/// Marks where [`back_to_savepoint`] goes back to. SQLite goes on after a
/// failed statement by itself.
///
/// # Errors
/// When the database fails.
pub async fn savepoint(tx: &mut Tx) -> Result<(), DbError> {
    match tx {
        Tx::Sqlite(_) => Ok(()),
        Tx::Postgres(_) => execute(tx, "SAVEPOINT before_trial").await,
    }
}

/// Makes a transaction usable again after a statement failed.
///
/// # Errors
/// When the database fails.
pub async fn back_to_savepoint(tx: &mut Tx) -> Result<(), DbError> {
    match tx {
        Tx::Sqlite(_) => Ok(()),
        Tx::Postgres(_) => execute(tx, "ROLLBACK TO SAVEPOINT before_trial").await,
    }
}

/// References between tables that wait to be enforced again.
#[derive(Debug)]
#[must_use]
pub struct Suspended(Vec<(String, String, String)>);

/// The condition that a column has one of these ids, and what is to be bound to
/// it from number `first` on. `None` is any.
pub fn among(column: &str, ids: Option<Vec<Uuid>>, first: usize) -> (String, Vec<Uuid>) {
    match ids {
        None => ("1 = 1".to_owned(), Vec::new()),
        Some(ids) if ids.is_empty() => ("1 = 0".to_owned(), ids),
        Some(ids) => {
            let numbers: Vec<String> = (first..first + ids.len()).map(|number| format!("${number}")).collect();
            (format!("{column} IN ({})", numbers.join(", ")), ids)
        }
    }
}

/// Lets rows come in any order. SQLite looks at references when the transaction
/// is committed; PostgreSQL forgets them until [`resume_references`].
///
/// # Errors
/// When the database fails.
pub async fn suspend_references(tx: &mut Tx) -> Result<Suspended, DbError> {
    match tx {
        Tx::Sqlite(_) => {
            execute(tx, "PRAGMA defer_foreign_keys = ON").await?;
            Ok(Suspended(Vec::new()))
        }
        Tx::Postgres(inner) => {
            let sql = "SELECT t.relname::text, k.conname::text, pg_get_constraintdef(k.oid)
                       FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid
                       WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace
                       ORDER BY t.relname, k.conname";
            let found: Vec<(String, String, String)> = sqlx::query_as(sql).fetch_all(&mut **inner).await?;
            for (table, name, _) in &found {
                execute(tx, &format!("ALTER TABLE {} DROP CONSTRAINT {}", quoted(table), quoted(name))).await?;
            }
            Ok(Suspended(found))
        }
    }
}

/// Enforces references again, over all rows.
///
/// # Errors
/// When a row refers to one that is not there; on SQLite the commit says so.
pub async fn resume_references(tx: &mut Tx, suspended: Suspended) -> Result<(), DbError> {
    for (table, name, definition) in suspended.0 {
        let sql = format!("ALTER TABLE {} ADD CONSTRAINT {} {definition}", quoted(&table), quoted(&name));
        execute(tx, &sql).await?;
    }
    Ok(())
}

/// Moves all tables into a schema of their own. Only for PostgreSQL: a SQLite
/// database is a file, which is kept as it is.
///
/// # Errors
/// When the user of the database may not make schemas.
pub async fn set_tables_aside(tx: &mut Tx, schema: &str) -> Result<(), DbError> {
    execute(tx, &format!("CREATE SCHEMA {}", quoted(schema))).await?;
    for table in postgres_tables(tx).await? {
        execute(tx, &format!("ALTER TABLE {} SET SCHEMA {}", quoted(&table), quoted(schema))).await?;
    }
    Ok(())
}

/// Drops all tables. Only for PostgreSQL, as [`set_tables_aside`].
///
/// # Errors
/// When the database fails.
pub async fn drop_tables(tx: &mut Tx) -> Result<(), DbError> {
    for table in postgres_tables(tx).await? {
        execute(tx, &format!("DROP TABLE {} CASCADE", quoted(&table))).await?;
    }
    Ok(())
}

async fn postgres_tables(tx: &mut Tx) -> Result<Vec<String>, DbError> {
    match tx {
        Tx::Sqlite(_) => Ok(Vec::new()),
        Tx::Postgres(inner) => {
            let sql = "SELECT table_name::text FROM information_schema.tables
                       WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY table_name";
            Ok(sqlx::query_scalar(sql).fetch_all(&mut **inner).await?)
        }
    }
}

async fn execute(tx: &mut Tx, sql: &str) -> Result<(), DbError> {
    let sql = AssertSqlSafe(sql.to_owned());
    match tx {
        Tx::Sqlite(inner) => sqlx::raw_sql(sql).execute(&mut **inner).await.map(drop)?,
        Tx::Postgres(inner) => sqlx::raw_sql(sql).execute(&mut **inner).await.map(drop)?,
    }
    Ok(())
}
