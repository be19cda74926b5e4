//! All tables of the database and their rows, whatever they are, in one form
//! for both engines: the form in which SQLite stores them. Knows no feature.
//!
//! The two schemas agree column by column (a test compares them), so the form
//! on PostgreSQL follows from a column's type: a `uuid` is its 16 bytes, a
//! time its microseconds since 1970, a truth 0 or 1, a document its text.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Postgres, Row as _, Sqlite};
use uuid::Uuid;

use super::{DbError, Tx};
use crate::clock::Timestamp;
use crate::on_tx;

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Nothing.
    Null,
    /// A number, a time or a truth.
    Integer(i64),
    /// Text or a document.
    Text(String),
    /// Bytes or an id.
    Bytes {
        /// The bytes.
        #[serde(with = "base64")]
        bytes: Vec<u8>,
    },
    /// A fraction, as its bits, so that none is lost.
    Real {
        /// The bits.
        bits: u64,
    },
}

/// Why rows could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A column has a type that no feature uses yet.
    #[error("the column {table}.{column} has the type {kind}, which has no common form")]
    Kind {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        kind: String,
    },
    /// A value does not fit its column.
    #[error("a value does not fit the column {table}.{column}")]
    Value {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

impl From<sqlx::Error> for TablesError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    Truth,
    Time,
    Text,
    Document,
    Bytes,
    Id,
    Real,
}

impl Kind {
    /// The kind of a declared type of either engine.
    fn parse(declared: &str) -> Option<Self> {
        Some(match declared {
            "INTEGER" | "bigint" | "integer" | "smallint" => Self::Integer,
            "boolean" => Self::Truth,
            "timestamp with time zone" => Self::Time,
            "TEXT" | "text" => Self::Text,
            "jsonb" => Self::Document,
            "BLOB" | "bytea" => Self::Bytes,
            "uuid" => Self::Id,
            "REAL" | "double precision" => Self::Real,
            _ => return None,
        })
    }
}

/// All tables but the one that remembers migrations, by name.
///
/// # Errors
/// When the database fails, or has a column of an unknown type.
pub async fn list(tx: &mut Tx) -> Result<Vec<Table>, TablesError> {
    let rows: Vec<(String, String, String)> = match tx {
        Tx::Sqlite(inner) => {
            let sql = "SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c
                       WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> '_sqlx_migrations'
                       ORDER BY m.name, c.cid";
            sqlx::query_as(sql).fetch_all(&mut **inner).await?
        }
        Tx::Postgres(inner) => {
            let sql = "SELECT c.table_name::text, c.column_name::text, c.data_type::text
                       FROM information_schema.columns c JOIN information_schema.tables t
                         ON t.table_schema = c.table_schema AND t.table_name = c.table_name
                       WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE'
                         AND c.table_name <> '_sqlx_migrations'
                       ORDER BY c.table_name, c.ordinal_position";
            sqlx::query_as(sql).fetch_all(&mut **inner).await?
        }
    };
    let mut tables: Vec<Table> = Vec::new();
    for (table, column, declared) in rows {
        let Some(kind) = Kind::parse(&declared) else {
            return Err(TablesError::Kind { table, column, kind: declared });
        };
        if tables.last().is_none_or(|last| last.name != table) {
            tables.push(Table { name: table, columns: Vec::new() });
        }
        if let Some(last) = tables.last_mut() {
            last.columns.push(Column { name: column, kind });
        }
    }
    Ok(tables)
}

/// The number of the newest migration that ran, if any did.
///
/// # Errors
/// When the database fails.
pub async fn schema_version(tx: &mut Tx) -> Result<Option<i64>, DbError> {
    let exists = match tx {
        Tx::Sqlite(inner) => {
            let sql = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
            sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut **inner).await?
        }
        Tx::Postgres(inner) => {
            let sql = "SELECT COUNT(*) FROM information_schema.tables
                       WHERE table_schema = current_schema() AND table_name = '_sqlx_migrations'";
            sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut **inner).await?
        }
    };
    if exists == 0 {
        return Ok(None);
    }
    let sql = "SELECT MAX(version) FROM _sqlx_migrations";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).fetch_one(c).await)?)
}

impl Table {
    /// Every row, in the order of [`Table::columns`].
    pub fn rows<'a>(&'a self, tx: &'a mut Tx) -> BoxStream<'a, Result<Vec<Value>, TablesError>> {
        match tx {
            Tx::Sqlite(inner) => {
                let columns: Vec<String> = self.columns.iter().map(|column| quoted(&column.name)).collect();
                let sql = format!("SELECT {} FROM {}", columns.join(", "), quoted(&self.name));
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut **inner);
                rows.map(|row| self.read_sqlite(&row?)).boxed()
            }
            Tx::Postgres(inner) => {
                let columns: Vec<String> = self.columns.iter().map(common_form).collect();
                let sql = format!("SELECT {} FROM {}", columns.join(", "), quoted(&self.name));
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut **inner);
                rows.map(|row| self.read_postgres(&row?)).boxed()
            }
        }
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count(&self, tx: &mut Tx) -> Result<u64, DbError> {
        let sql = format!("SELECT COUNT(*) FROM {}", quoted(&self.name));
        let count: i64 = on_tx!(tx, |c| sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(c).await)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Deletes every row.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn clear(&self, tx: &mut Tx) -> Result<(), DbError> {
        let sql = format!("DELETE FROM {}", quoted(&self.name));
        Ok(on_tx!(tx, |c| sqlx::query(AssertSqlSafe(sql)).execute(c).await.map(drop))?)
    }

    /// The same table with these of its columns, in this order. `None` when it
    /// has no such columns, or others as well.
    pub fn arranged(&self, names: &[String]) -> Option<Self> {
        let find = |name: &String| self.columns.iter().find(|column| column.name == *name).cloned();
        let columns: Vec<Column> = names.iter().map(find).collect::<Option<_>>()?;
        (columns.len() == self.columns.len()).then(|| Self { name: self.name.clone(), columns })
    }

    /// Adds a row, its values in the order of [`Table::columns`].
    ///
    /// # Errors
    /// When the database refuses it, or a value does not fit its column.
    pub async fn insert(&self, tx: &mut Tx, values: Vec<Value>) -> Result<(), TablesError> {
        if values.len() != self.columns.len() {
            return Err(self.misfit(values.len().min(self.columns.len() - 1)));
        }
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(&column.name)).collect();
        let places: Vec<String> = self.columns.iter().enumerate().map(|(i, column)| place(i + 1, column)).collect();
        let sql = format!("INSERT INTO {} ({}) VALUES ({})", quoted(&self.name), columns.join(", "), places.join(", "));
        let kinds = self.columns.iter().map(|column| column.kind);
        match tx {
            Tx::Sqlite(inner) => {
                let mut query = sqlx::query(AssertSqlSafe(sql));
                for (i, (kind, value)) in kinds.zip(values).enumerate() {
                    query = bind_sqlite(query, kind, value).ok_or_else(|| self.misfit(i))?;
                }
                query.execute(&mut **inner).await?;
            }
            Tx::Postgres(inner) => {
                let mut query = sqlx::query(AssertSqlSafe(sql));
                for (i, (kind, value)) in kinds.zip(values).enumerate() {
                    query = bind_postgres(query, kind, value).ok_or_else(|| self.misfit(i))?;
                }
                query.execute(&mut **inner).await?;
            }
        }
        Ok(())
    }

    fn read_sqlite(&self, row: &SqliteRow) -> Result<Vec<Value>, TablesError> {
        let value = |(i, column): (usize, &Column)| {
            Ok(match column.kind {
                Kind::Integer | Kind::Truth | Kind::Time => integer(row.try_get(i)?),
                Kind::Text | Kind::Document => text(row.try_get(i)?),
                Kind::Bytes | Kind::Id => bytes(row.try_get(i)?),
                Kind::Real => real(row.try_get(i)?),
            })
        };
        self.columns.iter().enumerate().map(value).collect()
    }

    fn read_postgres(&self, row: &PgRow) -> Result<Vec<Value>, TablesError> {
        let value = |(i, column): (usize, &Column)| {
            Ok(match column.kind {
                Kind::Integer | Kind::Truth | Kind::Time => integer(row.try_get(i)?),
                Kind::Text | Kind::Document => text(row.try_get(i)?),
                Kind::Bytes | Kind::Id => bytes(row.try_get(i)?),
                Kind::Real => real(row.try_get(i)?),
            })
        };
        self.columns.iter().enumerate().map(value).collect()
    }

    fn misfit(&self, column: usize) -> TablesError {
        TablesError::Value { table: self.name.clone(), column: self.columns[column].name.clone() }
    }
}

/// A PostgreSQL expression that gives the column in its common form.
fn common_form(column: &Column) -> String {
    let name = quoted(&column.name);
    match column.kind {
        Kind::Integer => format!("{name}::bigint"),
        Kind::Truth => format!("{name}::int::bigint"),
        Kind::Time => format!("round(extract(epoch from {name}) * 1000000)::bigint"),
        Kind::Text | Kind::Bytes => name,
        Kind::Document => format!("{name}::text"),
        Kind::Id => format!("uuid_send({name})"),
        Kind::Real => format!("{name}::double precision"),
    }
}

fn place(number: usize, column: &Column) -> String {
    match column.kind {
        Kind::Document => format!("${number}::jsonb"),
        _ => format!("${number}"),
    }
}

fn bind_sqlite(
    query: Query<'_, Sqlite, SqliteArguments>,
    kind: Kind,
    value: Value,
) -> Option<Query<'_, Sqlite, SqliteArguments>> {
    Some(match kind {
        Kind::Integer | Kind::Truth | Kind::Time => query.bind(value.into_integer()?),
        Kind::Text | Kind::Document => query.bind(value.into_text()?),
        Kind::Bytes | Kind::Id => query.bind(value.into_bytes()?),
        Kind::Real => query.bind(value.into_real()?),
    })
}

fn bind_postgres(
    query: Query<'_, Postgres, PgArguments>,
    kind: Kind,
    value: Value,
) -> Option<Query<'_, Postgres, PgArguments>> {
    Some(match kind {
        Kind::Integer => query.bind(value.into_integer()?),
        Kind::Truth => query.bind(value.into_integer()?.map(|truth| truth != 0)),
        Kind::Time => {
            let time = value.into_integer()?.map(Timestamp::from_micros).transpose();
            query.bind(time.ok()?)
        }
        Kind::Text | Kind::Document => query.bind(value.into_text()?),
        Kind::Bytes => query.bind(value.into_bytes()?),
        Kind::Id => {
            let id = value.into_bytes()?.map(|bytes| Uuid::from_slice(&bytes)).transpose();
            query.bind(id.ok()?)
        }
        Kind::Real => query.bind(value.into_real()?),
    })
}

/// Each `into_` gives `None` for a value of another form, and `Some(None)` for
/// nothing.
impl Value {
    fn into_integer(self) -> Option<Option<i64>> {
        match self {
            Self::Null => Some(None),
            Self::Integer(number) => Some(Some(number)),
            Self::Text(_) | Self::Bytes { .. } | Self::Real { .. } => None,
        }
    }

    fn into_text(self) -> Option<Option<String>> {
        match self {
            Self::Null => Some(None),
            Self::Text(text) => Some(Some(text)),
            Self::Integer(_) | Self::Bytes { .. } | Self::Real { .. } => None,
        }
    }

    fn into_bytes(self) -> Option<Option<Vec<u8>>> {
        match self {
            Self::Null => Some(None),
            Self::Bytes { bytes } => Some(Some(bytes)),
            Self::Integer(_) | Self::Text(_) | Self::Real { .. } => None,
        }
    }

    fn into_real(self) -> Option<Option<f64>> {
        match self {
            Self::Null => Some(None),
            Self::Real { bits } => Some(Some(f64::from_bits(bits))),
            Self::Integer(_) | Self::Text(_) | Self::Bytes { .. } => None,
        }
    }
}

fn integer(value: Option<i64>) -> Value {
    value.map_or(Value::Null, Value::Integer)
}

fn text(value: Option<String>) -> Value {
    value.map_or(Value::Null, Value::Text)
}

fn bytes(value: Option<Vec<u8>>) -> Value {
    value.map_or(Value::Null, |bytes| Value::Bytes { bytes })
}

fn real(value: Option<f64>) -> Value {
    value.map_or(Value::Null, |real| Value::Real { bits: real.to_bits() })
}

/// A name as SQL takes it, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Bytes as text in documents.
mod base64 {
    use data_encoding::BASE64;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}
