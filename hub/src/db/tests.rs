//! The two engines agree: on the schema, on how values compare, and on what a
//! transaction is.

use std::collections::BTreeMap;

use sqlx::types::Json;
use tokio::sync::broadcast::error::TryRecvError;
use uuid::Uuid;

use super::testing::{TestDb, on_both_engines};
use super::*;
use crate::clock::Timestamp;
use crate::on_tx;

/// Column name to its type's meaning and whether it may be null.
type Columns = BTreeMap<String, (String, bool)>;

#[tokio::test]
async fn both_schemas_have_the_same_tables_columns_and_nullability() {
    let sqlite = sqlite_schema(&TestDb::sqlite().await.db).await;
    let postgres = postgres_schema(&TestDb::postgres().await.db).await;
    assert!(sqlite.contains_key("users"));
    for (table, columns) in &sqlite {
        for (column, (declared, _)) in columns {
            assert!(
                ["INTEGER", "TEXT", "BLOB", "REAL"].contains(&declared.as_str()),
                "{table}.{column} is {declared}: SQLite tables are STRICT"
            );
        }
    }
    let names = |schema: &BTreeMap<String, Columns>| schema.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&sqlite), names(&postgres));
    for (table, columns) in &postgres {
        let expected: Columns =
            columns.iter().map(|(name, (kind, null))| (name.clone(), (stored(kind), *null))).collect();
        assert_eq!(sqlite[table], expected, "table {table}");
    }
}

#[test]
fn migrations_have_the_same_numbers_and_names() {
    let names =
        |migrator: &Migrator| migrator.iter().map(|m| (m.version, m.description.to_string())).collect::<Vec<_>>();
    assert_eq!(names(&SQLITE_MIGRATIONS), names(&POSTGRES_MIGRATIONS));
}

/// What a PostgreSQL type is on SQLite.
fn stored(postgres: &str) -> String {
    match postgres {
        "bigint" | "boolean" | "timestamp with time zone" => "INTEGER",
        "text" | "jsonb" => "TEXT",
        "uuid" | "bytea" => "BLOB",
        "double precision" => "REAL",
        other => panic!("{other} has no agreed form on SQLite"),
    }
    .to_owned()
}

async fn sqlite_schema(db: &Db) -> BTreeMap<String, Columns> {
    let sql = "SELECT m.name, c.name, c.type, c.\"notnull\" FROM sqlite_master m JOIN pragma_table_info(m.name) c
               WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> '_sqlx_migrations'";
    let Db::Sqlite { readers, .. } = db else { unreachable!("asked for SQLite") };
    let rows: Vec<(String, String, String, i64)> = sqlx::query_as(sql).fetch_all(readers).await.unwrap();
    let mut schema: BTreeMap<String, Columns> = BTreeMap::new();
    for (table, column, kind, not_null) in rows {
        schema.entry(table).or_default().insert(column, (kind, not_null == 0));
    }
    schema
}

async fn postgres_schema(db: &Db) -> BTreeMap<String, Columns> {
    let sql = "SELECT table_name::text, column_name::text, data_type::text, is_nullable::text
               FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'";
    let Db::Postgres { pool, .. } = db else { unreachable!("asked for PostgreSQL") };
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(sql).fetch_all(pool).await.unwrap();
    let mut schema: BTreeMap<String, Columns> = BTreeMap::new();
    for (table, column, kind, nullable) in rows {
        schema.entry(table).or_default().insert(column, (kind, nullable == "YES"));
    }
    schema
}

on_both_engines! {
    async fn times_sort_and_compare_alike_whatever_their_fraction(db) {
        let mut tx = db.write().await.unwrap();
        let start = Timestamp::from(time::macros::datetime!(2026-05-04 03:02:01 UTC));
        // As text, "01Z" would sort after "01.5Z".
        let moments = [0, 100, 500_000, 999_999, 1_000_000].map(|micros| start + Duration::from_micros(micros));
        for (i, moment) in moments.iter().rev().enumerate() {
            crate::vault::settings::put(&mut tx, &format!("key {i}"), b"", *moment).await.unwrap();
        }
        let sql = "SELECT updated_at FROM settings WHERE updated_at > $1 ORDER BY updated_at";
        let found: Vec<Timestamp> =
            on_tx!(&mut tx, |c| sqlx::query_scalar(sql).bind(start).fetch_all(c).await).unwrap();
        assert_eq!(found, moments[1..]);
    }

    async fn what_a_transaction_announces_is_told_once_when_it_is_committed(db) {
        let mut heard = db.announcements();
        let about = Some(Uuid::now_v7());
        let mut undone = db.write().await.unwrap();
        undone.announce(about);
        drop(undone);
        let mut tx = db.write().await.unwrap();
        for announcement in [about, None, about] {
            tx.announce(announcement);
        }
        assert_eq!(heard.try_recv(), Err(TryRecvError::Empty));
        tx.commit().await.unwrap();
        assert_eq!((heard.try_recv(), heard.try_recv()), (Ok(about), Ok(None)));
        assert_eq!(heard.try_recv(), Err(TryRecvError::Empty));
    }

    async fn ids_and_documents_survive(db) {
        let mut tx = db.write().await.unwrap();
        let id = Uuid::now_v7();
        let document = serde_json::json!({ "a": [1, null, "x"] });
        let sql = "INSERT INTO audit (id, at, actor_kind, actor_name, action, outcome, details)
                   VALUES ($1, $2, 'system', 'test', 'test', 'done', $3) RETURNING id, details";
        let now = Timestamp::from_micros(0).unwrap();
        let (found, details): (Uuid, Json<serde_json::Value>) = on_tx!(&mut tx, |c| {
            sqlx::query_as(sql).bind(id).bind(now).bind(Json(&document)).fetch_one(c).await
        })
        .unwrap();
        assert_eq!((found, details.0), (id, document));
    }

    async fn a_dropped_transaction_leaves_nothing(db) {
        let now = Timestamp::from_micros(0).unwrap();
        let mut tx = db.write().await.unwrap();
        crate::vault::settings::put(&mut tx, "a", b"1", now).await.unwrap();
        drop(tx);
        assert_eq!(crate::vault::settings::find(&mut db.read().await.unwrap(), "a").await.unwrap(), None);
        let mut tx = db.write().await.unwrap();
        crate::vault::settings::put(&mut tx, "a", b"1", now).await.unwrap();
        tx.commit().await.unwrap();
        assert!(crate::vault::settings::find(&mut db.read().await.unwrap(), "a").await.unwrap().is_some());
    }

    async fn a_reader_cannot_write(db) {
        let mut tx = db.read().await.unwrap();
        let now = Timestamp::from_micros(0).unwrap();
        assert!(crate::vault::settings::put(&mut tx, "a", b"1", now).await.is_err());
    }

    async fn read_then_write_transactions_never_fail_for_each_others_sake(db) {
        const WRITERS: i64 = 20;
        let now = Timestamp::from_micros(0).unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..WRITERS {
            let db = db.clone();
            writers.spawn(async move {
                let mut tx = db.write().await.unwrap();
                dialect::lock_exclusive(&mut tx, dialect::Exclusive::Enrollment).await.unwrap();
                let count = crate::vault::settings::find(&mut tx, "count").await.unwrap().map_or(0, |value| value[0]);
                crate::vault::settings::put(&mut tx, "count", &[count + 1], now).await.unwrap();
                tx.commit().await.unwrap();
            });
        }
        writers.join_all().await;
        let count = crate::vault::settings::find(&mut db.read().await.unwrap(), "count").await.unwrap().unwrap();
        assert_eq!(i64::from(count[0]), WRITERS);
    }

    async fn a_second_row_with_the_same_name_is_a_duplicate(db) {
        let mut tx = db.write().await.unwrap();
        let now = Timestamp::from_micros(0).unwrap();
        let sql = "INSERT INTO users (id, name, role, password_hash, created_at, updated_at)
                   VALUES ($1, $2, 'viewer', '', $3, $3)";
        let mut outcomes = Vec::new();
        for name in ["ada", "ADA"] {
            let done = on_tx!(&mut tx, |c| {
                sqlx::query(sql).bind(Uuid::now_v7()).bind(name).bind(now).execute(c).await.map(drop)
            });
            outcomes.push(done.map_err(DbError::from));
        }
        assert!(matches!(outcomes[..], [Ok(()), Err(DbError::Duplicate(_))]));
    }
}

#[tokio::test]
async fn a_new_database_is_closed_to_others_in_an_open_directory() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let db = Db::open(&DatabaseUrl::in_directory(directory.path())).await.unwrap();
    db.migrate().await.unwrap();
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(files.len(), 3, "the database, its log and its index");
    for file in files {
        assert_eq!(file.metadata().unwrap().mode() & 0o077, 0, "{:?}", file.path());
    }
}
