//! What SQLite and PostgreSQL must do differently, both arms in sight.

use super::{DbError, Tx};

/// A rule that spans rows, which only one writer at a time may check and rely
/// on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusive {
    /// There is always an active administrator, and only one first user.
    Administrators = 1,
    /// Uses of enrollment tokens, and the names that new hosts get.
    Enrollment = 2,
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
