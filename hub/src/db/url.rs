//! Which database the hub uses, as its URL says.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// A database, by `sqlite:///path/file.db` or `postgres://user@host/name`.
/// Prints without the password.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server and what it takes to log in there.
    Postgres(Box<PgConnectOptions>),
}

/// The text names no database. It is not repeated, since it may hold a
/// password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the database URL must be sqlite:///path/to/file.db or postgres://user:password@host/name")]
pub struct InvalidDatabaseUrl;

impl DatabaseUrl {
    /// The database that lives in a data directory when no URL is given.
    pub fn in_directory(data_dir: &Path) -> Self {
        Self::Sqlite(data_dir.join("windflow.db"))
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(InvalidDatabaseUrl) } else { Ok(Self::Sqlite(path.into())) };
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(InvalidDatabaseUrl);
        }
        let options = text.parse().map_err(|_| InvalidDatabaseUrl)?;
        Ok(Self::Postgres(Box::new(options)))
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(options) => {
                let database = options.get_database().unwrap_or_default();
                write!(f, "postgres://{}:{}/{database}", options.get_host(), options.get_port())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_an_engine_and_hides_its_password() {
        let sqlite: DatabaseUrl = "sqlite:///var/lib/w.db".parse().unwrap();
        assert_eq!(sqlite.to_string(), "sqlite:///var/lib/w.db");
        let postgres: DatabaseUrl = "postgres://hub:hunter2@db.example/fleet".parse().unwrap();
        assert_eq!(format!("{postgres:?}"), "postgres://db.example:5432/fleet");
    }

    #[test]
    fn anything_else_is_refused_without_being_repeated() {
        for text in ["", "sqlite:", "sqlite://", "mysql://u:hunter2@h/d", "/var/lib/w.db"] {
            assert_eq!(text.parse::<DatabaseUrl>().unwrap_err(), InvalidDatabaseUrl, "{text}");
        }
    }
}
