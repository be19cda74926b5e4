//! What can go wrong between the hub and its database.

/// A failure of the database, sorted by what a caller can do about it. "Not
/// found" is no failure: stores return `Option` for it.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// There is no connection: the server is down or every connection is in
    /// use. Trying again later can help.
    #[error("the database does not answer")]
    Unavailable(#[source] sqlx::Error),
    /// Another process or transaction holds what is needed. Trying again later
    /// helps.
    #[error("another process holds the database")]
    Locked(#[source] sqlx::Error),
    /// The disk under the database is full, or was and there is not enough room
    /// yet. Reading works.
    #[error("the disk under the database is full")]
    Full(#[source] Option<sqlx::Error>),
    /// The database file is not what the hub wrote.
    #[error("the database is damaged")]
    Damaged(#[source] Option<sqlx::Error>),
    /// A row with the same unique value exists.
    #[error("a row with the same unique value exists")]
    Duplicate(#[source] sqlx::Error),
    /// The row that is referred to does not exist, or is still referred to.
    #[error("a referred row is missing or in use")]
    Reference(#[source] sqlx::Error),
    /// A row was to be authenticated before the vault was open.
    #[error("the key that rows are authenticated with is not known yet")]
    Keyless,
    /// Anything else: a wrong statement, or a value that cannot be read.
    #[error("the database refused a statement")]
    Statement(#[source] sqlx::Error),
}

impl DbError {
    /// Whether it failed for lack of room.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
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
            return Self::Duplicate(error);
        }
        if database.is_foreign_key_violation() {
            return Self::Reference(error);
        }
        match Trouble::of(database) {
            Some(Trouble::Locked) => Self::Locked(error),
            Some(Trouble::Full) => Self::Full(Some(error)),
            Some(Trouble::Damaged) => Self::Damaged(Some(error)),
            None => Self::Statement(error),
        }
    }
}

enum Trouble {
    Locked,
    Full,
    Damaged,
}

impl Trouble {
    /// SQLite has numbers, whose lowest byte is the kind (sqlite.org/rescode);
    /// PostgreSQL has five characters (its manual, appendix A).
    fn of(error: &dyn sqlx::error::DatabaseError) -> Option<Self> {
        let code = error.code()?;
        if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_none() {
            return match &*code {
                "53100" => Some(Self::Full),
                // A lock that is not to be had, a circle of those who wait, and one who came too late.
                "55P03" | "40P01" | "40001" => Some(Self::Locked),
                _ => None,
            };
        }
        match code.parse::<u32>().ok()? & 0xff {
            5 | 6 => Some(Self::Locked),
            13 => Some(Self::Full),
            11 | 26 => Some(Self::Damaged),
            _ => None,
        }
    }
}
