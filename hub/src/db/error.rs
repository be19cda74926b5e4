//! What can go wrong between the hub and its database.

/// A failure of the database, sorted by what a caller can do about it. "Not
/// found" is no failure: stores return `Option` for it.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// There is no connection: the server is down, the disk is full or every
    /// connection is in use. Trying again later can help.
    #[error("the database does not answer")]
    Unavailable(#[source] sqlx::Error),
    /// A row with the same unique value exists.
    #[error("a row with the same unique value exists")]
    Duplicate(#[source] sqlx::Error),
    /// The row that is referred to does not exist, or is still referred to.
    #[error("a referred row is missing or in use")]
    Reference(#[source] sqlx::Error),
    /// Anything else: a wrong statement, or a value that cannot be read.
    #[error("the database refused a statement")]
    Statement(#[source] sqlx::Error),
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            return match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
                _ => Self::Statement(error),
            };
        };
        if database.is_unique_violation() {
            Self::Duplicate(error)
        } else if database.is_foreign_key_violation() {
            Self::Reference(error)
        } else {
            Self::Statement(error)
        }
    }
}
