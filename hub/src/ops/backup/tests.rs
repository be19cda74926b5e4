//! A hub's backups, made over its API and restored into either database.

use std::collections::BTreeMap;
use std::path::PathBuf;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_util::TryStreamExt;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::clock::{Clock, Random, Timestamp};
use crate::db::tables::{self, Value};
use crate::db::testing::TestDb;
use crate::db::{DatabaseUrl, Db};
use crate::on_tx;
use crate::testing::{Answer, Client, TestHub};
use crate::vault::{MasterKey, MasterKeySource, Vault};

const PASSPHRASE: &str = "five gentle otters swim";

/// Every row of every table, in an order of its own.
type Rows = BTreeMap<String, Vec<String>>;

/// A database of either engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    async fn empty(self) -> TestDb {
        match self {
            Self::Sqlite => TestDb::sqlite().await,
            Self::Postgres => TestDb::postgres().await,
        }
    }
}

/// A hub with rows in every table.
async fn hub_with_history(engine: Engine) -> TestHub {
    let hub = TestHub::on(engine.empty().await).await;
    let user = json!({ "name": "ada", "role": "administrator", "password": crate::testing::PASSWORD });
    assert_eq!(hub.post(&Client::local(), "/api/v1/users", user).await.status, StatusCode::CREATED);
    hub.signed_in("ada").await;
    hub.program_of("ada").await;
    for name in ["one", "two"] {
        let token = hub.post(&Client::local(), "/api/v1/enrollment-tokens", json!({ "name": name })).await;
        assert_eq!(token.status, StatusCode::CREATED, "{token:?}");
    }
    assert_eq!(
        hub.post(&Client::local(), "/api/v1/groups", json!({ "name": "Köln" })).await.status,
        StatusCode::CREATED
    );
    let id = |answer: &Answer| answer.body["id"].as_str().unwrap().to_owned();
    let role = json!({ "name": "Déployeur", "permissions": ["containers.deploy"] });
    let role = id(&hub.post(&Client::local(), "/api/v1/roles", role).await);
    let team = id(&hub.post(&Client::local(), "/api/v1/teams", json!({ "name": "Ops" })).await);
    let ada = hub.get(&Client::local(), "/api/v1/users").await.body["items"][0]["id"].as_str().unwrap().to_owned();
    let member = Request::put(format!("/api/v1/teams/{team}/members/{ada}"));
    assert_eq!(hub.send(&Client::local(), member, Body::empty()).await.status, StatusCode::NO_CONTENT);
    let grant = json!({ "team_id": team, "role": role, "scope": { "kind": "label", "label": "site=köln" } });
    assert_eq!(hub.post(&Client::local(), "/api/v1/grants", grant).await.status, StatusCode::CREATED);
    let (environment, agent, now) = (Uuid::now_v7(), Uuid::now_v7(), hub.clock.now());
    let mut tx = hub.app.db.write().await.unwrap();
    on_tx!(&mut tx, |c| {
        sqlx::query(
            "INSERT INTO environments (id, name, kind, insecure, labels, created_at, group_id)
             SELECT $1, 'söte', 'edge', $2, $3, $4, id FROM environment_groups",
        )
        .bind(environment)
        .bind(true)
        .bind(sqlx::types::Json(json!({ "a": "b" })))
        .bind(now)
        .execute(c)
        .await
        .map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        sqlx::query(
            "INSERT INTO agents (id, environment_id, state, key_digest, generation, ticket_current, hostname, os, arch,
                                 machine, enrolled_with, enrolled_at)
             VALUES ($1, $2, 'active', $3, 1, 7, 'h', 'linux', 'x86_64', $3, 'abc', $4)",
        )
        .bind(agent)
        .bind(environment)
        .bind(&[0_u8, 255, 7][..])
        .bind(now)
        .execute(c)
        .await
        .map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO agent_certificates (serial, agent_id, issued_at, expires_at) VALUES ('s', $1, $2, $2)";
        sqlx::query(sql).bind(agent).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO inventories (environment_id, heard_at, reports) VALUES ($1, $2, $3)";
        sqlx::query(sql).bind(environment).bind(now).bind(&[0_u8, 255][..]).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO events (id, environment_id, at, nanos, kind, action, object_id, object_name, facts)
                   VALUES ($1, $2, $3, $4, 'container', 'start', 'a', 'söte', $5)";
        let query = sqlx::query(sql).bind(Uuid::now_v7()).bind(environment).bind(now).bind(i64::MAX - 1);
        query.bind(sqlx::types::Json(json!({ "image": "nginx" }))).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO metric_chunks (environment_id, kind, name, step_seconds, starts_at, points)
                   VALUES ($1, 2, 'web', 15, $2, $3)";
        sqlx::query(sql).bind(environment).bind(now).bind(&[1_u8, 0, 255][..]).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO metric_positions (environment_id, epoch, sequence) VALUES ($1, $2, 300)";
        sqlx::query(sql).bind(environment).bind(&[7_u8; 8][..]).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO jobs (id, kind, environment_id, subject, asked_by, asked_by_id, state, progress, result,
                                     failure, output, output_skipped, created_at, started_at, ended_at)
                   VALUES ($1, 'image.pull', $2, 'nginx', 'ada', NULL, 'succeeded', $3, $3, NULL, 'söte', 7, $4, $4, $4)";
        let query = sqlx::query(sql).bind(Uuid::now_v7()).bind(environment);
        query.bind(sqlx::types::Json(json!({ "a": [1] }))).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    let recording = Uuid::now_v7();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO recordings (id, environment_id, environment_name, container, user_name, command, wide,
                       high, state, is_cut, millis, bytes, stored_bytes, chunks, began_at, ended_at)
                   VALUES ($1, $2, 'söte', 'web', 'ada', $3, 80, 24, 'complete', $4, 1500, 9, 7, 1, $5, $5)";
        let query = sqlx::query(sql).bind(recording).bind(environment);
        query.bind(sqlx::types::Json(json!(["sh"]))).bind(true).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO recording_chunks (recording_id, number, content_sealed) VALUES ($1, 0, $2)";
        sqlx::query(sql).bind(recording).bind(&[0_u8, 1, 255][..]).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO second_factors (user_id, secret_sealed, last_step, begun_at, confirmed_at)
                   SELECT id, $1, 59260320, $2, $2 FROM users";
        sqlx::query(sql).bind(&[0_u8, 2, 255][..]).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO recovery_codes (user_id, code_hash, used_at) SELECT id, $1, $2 FROM users";
        sqlx::query(sql).bind(&[0_u8, 3, 255][..]).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO passkeys (id, user_id, credential_id, public_key, sign_count, transports, user_handle,
                       rp_id, name, backup_eligible, backed_up, created_at, last_used_at)
                   SELECT $1, id, $2, $2, 4294967295, 'usb', $2, 'hub.example', 'Clé', $3, $3, $4, $4 FROM users";
        let query = sqlx::query(sql).bind(Uuid::now_v7()).bind(&[0_u8, 6, 255][..]).bind(true).bind(now);
        query.execute(c).await.map(drop)
    })
    .unwrap();
    let provider = Uuid::now_v7();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO identity_providers (id, kind, name, slug, enabled, create_users,
                       trusted_for_second_factor, required_group, configuration, client_secret_sealed, created_at,
                       updated_at)
                   VALUES ($1, 'oidc', 'Körperschaft', 'corp', $2, $2, $2, 'söte', $3, $4, $5, $5)";
        let query = sqlx::query(sql).bind(provider).bind(true).bind(sqlx::types::Json(json!({ "kind": "oidc" })));
        query.bind(&[0_u8, 4, 255][..]).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO linked_identities (id, provider_id, issuer, subject, user_id, linked_at, last_used_at)
                   SELECT $1, $2, 'https://idp.example', 's', id, $3, $3 FROM users";
        sqlx::query(sql).bind(Uuid::now_v7()).bind(provider).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO provider_mappings (id, provider_id, value, role, scope, environment_id)
                   VALUES ($1, $2, 'ops', 'viewer', 'environment', $3)";
        sqlx::query(sql).bind(Uuid::now_v7()).bind(provider).bind(environment).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO spent_sign_ins (digest, spent_at) VALUES ($1, $2)";
        sqlx::query(sql).bind(&[0_u8, 5, 255][..]).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO provider_logouts (digest, provider_id, issuer, subject, said_at)
                   VALUES ($1, $2, 'https://idp.example', 's', $3)";
        sqlx::query(sql).bind(&[0_u8, 6, 255][..]).bind(provider).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO token_families (id, user_id, address, user_agent, created_at, expires_at, last_used_at)
                   SELECT id, id, '192.0.2.1', 'program', $1, $1, $1 FROM users";
        sqlx::query(sql).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO refresh_tokens (id, family_id, secret_hash, expires_at, used_at)
                   SELECT 'abc', id, $1, $2, $2 FROM token_families";
        sqlx::query(sql).bind(&[0_u8, 4, 255][..]).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO signing_keys (id, public_key, secret_sealed, created_at) VALUES ('abc', $1, $1, $2)";
        sqlx::query(sql).bind(&[0_u8, 5, 255][..]).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO account_links (id, user_id, kind, secret_hash, email, created_at, expires_at)
                   SELECT $1, id, 'reset', $2, 'ada@example.com', $3, $3 FROM users";
        sqlx::query(sql).bind(Uuid::now_v7()).bind(&[0_u8, 4, 255][..]).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO invitations (id, kind, secret_hash, email, language, role, teams, grants, invited_by,
                                            created_at, expires_at)
                   VALUES ($1, 'invitation', $2, NULL, 'fr', 'viewer', $3, $3, 'söte', $4, $4)";
        let query = sqlx::query(sql).bind(Uuid::now_v7()).bind(&[0_u8, 5, 255][..]);
        query.bind(sqlx::types::Json(json!([]))).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO outbox (id, kind, recipient, letter_sealed, created_at, expires_at, attempts, next_at)
                   VALUES ($1, 'test', 'ada@example.com', $2, $3, $3, 2, $3)";
        sqlx::query(sql).bind(Uuid::now_v7()).bind(&[0_u8, 6, 255][..]).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    on_tx!(&mut tx, |c| {
        let sql = "INSERT INTO enrollment_uses (token_id, key_digest, agent_id, at)
                   SELECT id, $1, $2, $3 FROM enrollment_tokens WHERE name = 'one'";
        sqlx::query(sql).bind(&[1_u8][..]).bind(agent).bind(now).execute(c).await.map(drop)
    })
    .unwrap();
    tx.commit().await.unwrap();
    hub
}

async fn backup_of(hub: &TestHub) -> PathBuf {
    let path = hub.folder.path().join(format!("{}.backup", Uuid::now_v7()));
    let mut parts = hub.app.backups.begin(&hub.app, PASSPHRASE.into(), Actor::System).await.unwrap();
    let mut file = Vec::new();
    while let Some(part) = parts.recv().await {
        file.extend(part.unwrap());
    }
    std::fs::write(&path, file).unwrap();
    path
}

async fn rows_of(db: &Db) -> Rows {
    let mut tx = db.read().await.unwrap();
    let mut all = Rows::new();
    for table in tables::list(&mut tx).await.unwrap() {
        let mut columns: Vec<usize> = (0..table.columns.len()).collect();
        columns.sort_by_key(|i| table.columns[*i].name.clone());
        let rows: Vec<Vec<Value>> = table.rows(&mut tx).try_collect().await.unwrap();
        let text = |row: &Vec<Value>| columns.iter().map(|i| canonical(&row[*i])).collect::<Vec<_>>().join(" | ");
        let mut rows: Vec<String> = rows.iter().map(text).collect();
        rows.sort();
        all.insert(table.name, rows);
    }
    all
}

/// Documents are the same whatever the white space in them.
fn canonical(value: &Value) -> String {
    match value {
        Value::Text(text) => match serde_json::from_str::<serde_json::Value>(text) {
            Ok(document) => document.to_string(),
            Err(_) => text.clone(),
        },
        Value::Null | Value::Integer(_) | Value::Bytes { .. } | Value::Real { .. } => format!("{value:?}"),
    }
}

async fn restore_into(
    url: &DatabaseUrl,
    master_key: &std::path::Path,
    backup: &std::path::Path,
    present: Present,
) -> anyhow::Result<Restored> {
    let now = restored_at();
    let master_key = &MasterKeySource::File(master_key.to_owned());
    let target = Target { url, master_key, present, now, cost: KeyCost::Cheap };
    restore(&Archive::new(backup, PASSPHRASE.into()), &target).await.map(|(_, restored)| restored)
}

/// Half an hour after the hub's clock began: what was open then is open still.
fn restored_at() -> Timestamp {
    time::macros::datetime!(2026-05-04 0:30 UTC).into()
}

async fn restored_between(from: Engine, to: Engine) {
    let hub = hub_with_history(from).await;
    let before = rows_of(&hub.app.db).await;
    assert!(before.values().all(|rows| !rows.is_empty()), "a table without a row tests nothing: {before:?}");
    let backup = backup_of(&hub).await;
    let target = to.empty().await;
    let key = hub.folder.path().join("restored.key");
    if to == Engine::Sqlite {
        target.db.close().await;
    }
    restore_into(&target.url, &key, &backup, Present::Refuse).await.unwrap();
    let db = Db::open(&target.url).await.unwrap();
    let after = rows_of(&db).await;
    for (table, rows) in &before {
        match table.as_str() {
            "sessions" | "token_families" | "refresh_tokens" => {
                assert_eq!(after[table], Vec::<String>::new(), "what was signed in with does not come back");
            }
            "enrollment_tokens" => assert!(after[table].iter().all(|row| row.contains("restored from a backup"))),
            "account_links" | "invitations" | "outbox" => {
                let ended = format!("Integer({})", restored_at().as_micros());
                assert!(after[table].iter().all(|row| row.contains(&ended)), "{table}: {:?}", after[table]);
            }
            "settings" => assert!(rows.iter().all(|row| after[table].contains(row))),
            // The restore is recorded, too.
            "audit_head" => assert_eq!((rows.len(), after[table].len()), (1, 1)),
            // The backup itself is recorded before it begins.
            "audit" => assert!(rows.iter().all(|row| after[table].contains(row))),
            _ => assert_eq!(after[table], *rows, "{table}"),
        }
    }
    let vault = Vault::unlock(&db, MasterKey::read(&key).unwrap(), KeyCost::Cheap, restored_at()).await.unwrap();
    let mut tx = db.write().await.unwrap();
    audit::unlock(&mut tx, &vault, &Random::default(), restored_at()).await.unwrap();
    let found = audit::verify(&mut tx, None).await.unwrap();
    assert!(found.intact && found.checked > 5, "{from:?} to {to:?}: {found:?}");
    drop(tx);
    let key_of_hub = std::fs::read_to_string(hub.folder.path().join("master.key")).unwrap();
    assert_eq!(std::fs::read_to_string(key).unwrap().trim(), key_of_hub.trim());
    db.migrate().await.unwrap();
    db.close().await;
}

#[tokio::test]
async fn a_backup_of_sqlite_restores_into_sqlite() {
    restored_between(Engine::Sqlite, Engine::Sqlite).await;
}

#[tokio::test]
async fn a_backup_of_sqlite_restores_into_postgres() {
    restored_between(Engine::Sqlite, Engine::Postgres).await;
}

#[tokio::test]
async fn a_backup_of_postgres_restores_into_sqlite() {
    restored_between(Engine::Postgres, Engine::Sqlite).await;
}

#[tokio::test]
async fn a_backup_of_postgres_restores_into_postgres() {
    restored_between(Engine::Postgres, Engine::Postgres).await;
}

async fn present_is_kept(engine: Engine) {
    let hub = hub_with_history(engine).await;
    let backup = backup_of(&hub).await;
    let key = hub.folder.path().join("master.key");
    let revoked = hub.get(&Client::local(), "/api/v1/agents").await.body["items"][0]["id"].as_str().unwrap().to_owned();
    hub.clock.advance(std::time::Duration::from_secs(60));
    let path = format!("/api/v1/agents/{revoked}/revoke");
    assert_eq!(hub.post(&Client::local(), &path, json!({ "reason": "sold" })).await.status, StatusCode::OK);
    hub.app.db.close().await;

    let refused = restore_into(&hub.db.url, &key, &backup, Present::Refuse).await.unwrap_err();
    assert!(refused.to_string().contains("--force"), "{refused:#}");
    let restored = restore_into(&hub.db.url, &key, &backup, Present::Keep).await.unwrap();
    let forgotten: Vec<_> =
        restored.forgotten.iter().map(|done| (done.action.as_str(), done.target_id.clone())).collect();
    assert_eq!(forgotten, [("agent.revoke", Some(revoked))]);

    let db = Db::open(&hub.db.url).await.unwrap();
    let mut tx = db.read().await.unwrap();
    let agents: i64 = on_tx!(&mut tx, |c| {
        sqlx::query_scalar("SELECT COUNT(*) FROM agents WHERE state = 'active'").fetch_one(c).await
    })
    .unwrap();
    assert_eq!(agents, 1, "the revocation is forgotten");
    let kept: i64 = match (&hub.db.url, &mut tx) {
        (DatabaseUrl::Sqlite(path), _) => {
            let mut kept = path.clone().into_os_string();
            kept.push(".before-restore");
            let old = Db::open(&DatabaseUrl::Sqlite(kept.into())).await.unwrap();
            let mut tx = old.read().await.unwrap();
            let sql = "SELECT COUNT(*) FROM agents WHERE state = 'revoked'";
            on_tx!(&mut tx, |c| sqlx::query_scalar(sql).fetch_one(c).await).unwrap()
        }
        (DatabaseUrl::Postgres(_), crate::db::Tx::Postgres(tx)) => {
            let schema = format!("before_restore_{}", restored_at().as_micros() / 1_000_000);
            let sql = format!("SELECT COUNT(*) FROM {schema}.agents WHERE state = 'revoked'");
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut **tx).await.unwrap()
        }
        (DatabaseUrl::Postgres(_), crate::db::Tx::Sqlite(_)) => unreachable!("one engine"),
    };
    assert_eq!(kept, 1, "the old database is kept as it was");
}

#[tokio::test]
async fn a_sqlite_database_that_holds_something_is_replaced_only_by_force_and_kept() {
    present_is_kept(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_postgres_database_that_holds_something_is_replaced_only_by_force_and_kept() {
    present_is_kept(Engine::Postgres).await;
}

#[tokio::test]
async fn a_damaged_backup_or_a_wrong_passphrase_changes_nothing() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let hub = hub_with_history(engine).await;
        let backup = backup_of(&hub).await;
        let before = rows_of(&hub.app.db).await;
        let key = hub.folder.path().join("master.key");
        let whole = std::fs::read(&backup).unwrap();
        std::fs::write(&backup, &whole[..whole.len() - 1]).unwrap();
        assert!(restore_into(&hub.db.url, &key, &backup, Present::Keep).await.is_err());
        std::fs::write(&backup, &whole).unwrap();
        let now = hub.clock.now();
        let key = MasterKeySource::File(key);
        let target = Target { url: &hub.db.url, master_key: &key, present: Present::Keep, now, cost: KeyCost::Cheap };
        let wrong = restore(&Archive::new(&backup, "another passphrase".into()), &target).await.unwrap_err();
        assert!(format!("{wrong:#}").contains("passphrase is wrong"), "{wrong:#}");
        assert_eq!(rows_of(&hub.app.db).await, before);
    }
}

#[tokio::test]
async fn a_backup_holds_one_moment_whatever_is_written_meanwhile() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let hub = hub_with_history(engine).await;
        let now = hub.clock.now();
        let note = async |count: usize| {
            let mut tx = hub.app.db.write().await.unwrap();
            for _ in 0..count {
                let entry = Entry::new(&Actor::System, Action::AgentRename, "t").detail(&"x".repeat(1000));
                audit::record(&mut tx, entry, now).await.unwrap();
            }
            tx.commit().await.unwrap();
        };
        // More than may wait for whoever takes it.
        note(2000).await;
        let mut parts = hub.app.backups.begin(&hub.app, PASSPHRASE.into(), Actor::System).await.unwrap();
        let mut file = parts.recv().await.unwrap().unwrap().to_vec();
        note(100).await;
        while let Some(part) = parts.recv().await {
            file.extend(part.unwrap());
        }
        let path = hub.folder.path().join("backup");
        std::fs::write(&path, file).unwrap();
        let contents = Archive::new(&path, PASSPHRASE.into()).verify().unwrap();
        let mut tx = hub.app.db.read().await.unwrap();
        let total: i64 =
            on_tx!(&mut tx, |c| sqlx::query_scalar("SELECT COUNT(*) FROM audit").fetch_one(c).await).unwrap();
        // The end of the backup is recorded too, if it is already.
        let later = u64::try_from(total).unwrap() - contents.rows["audit"];
        assert!((100..=101).contains(&later), "{engine:?}: {later} records came later");
    }
}

#[tokio::test]
async fn a_backup_of_an_earlier_schema_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let old = Db::open(&DatabaseUrl::in_directory(folder.path())).await.unwrap();
    old.migrate_to(1).await.unwrap();
    let now = Timestamp::from_micros(1_000_000).unwrap();
    let key = folder.path().join("master.key");
    let (master_key, _) = MasterKey::read_or_generate(&key, &crate::clock::Random::default()).unwrap();
    crate::vault::Vault::unlock(&old, master_key.clone(), KeyCost::Cheap, now).await.unwrap();
    let mut tx = old.write().await.unwrap();
    crate::vault::settings::put(&mut tx, "fleet.hub_id", Uuid::nil().as_bytes(), now).await.unwrap();
    tx.commit().await.unwrap();
    let (sink, mut parts) = mpsc::channel(100);
    let source = Source { db: old, master_key, now, cost: KeyCost::Cheap };
    write(source, PASSPHRASE.into(), &sink).await.unwrap();
    drop(sink);
    let mut file = Vec::new();
    while let Some(part) = parts.recv().await {
        file.extend(part.unwrap());
    }
    let backup = folder.path().join("backup");
    std::fs::write(&backup, file).unwrap();
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let target = engine.empty().await;
        target.db.close().await;
        let restored = restore_into(&target.url, &key, &backup, Present::Refuse).await;
        restored.unwrap();
        let db = Db::open(&target.url).await.unwrap();
        let version = tables::schema_version(&mut db.read().await.unwrap()).await.unwrap();
        assert_eq!(version, Some(Db::newest_schema()), "{engine:?}");
    }
}

#[tokio::test]
async fn a_backup_over_the_api_is_for_administrators_is_recorded_and_needs_a_good_passphrase() {
    let hub = TestHub::with_users().await;
    let short = hub.post(&Client::local(), "/api/v1/backups", json!({ "passphrase": "short" })).await;
    assert_eq!((short.status, short.code()), (StatusCode::BAD_REQUEST, "weak_passphrase"));
    let viewer = hub.signed_in("viewer").await;
    let refused = hub.post(&viewer, "/api/v1/backups", json!({ "passphrase": PASSPHRASE })).await;
    assert_eq!(refused.code(), "not_permitted");
    let request = Request::post("/api/v1/backups").header("content-type", "application/json");
    let body = Body::from(json!({ "passphrase": PASSPHRASE }).to_string());
    let made = hub.send(&Client::local(), request, body).await;
    assert_eq!(made.status, StatusCode::OK);
    assert_eq!(made.headers["content-type"], "application/octet-stream");
    let audit = hub.get(&Client::local(), "/api/v1/audit?action=hub.backup").await;
    let outcomes: Vec<_> = audit.body["items"].as_array().unwrap().iter().map(|item| item["outcome"].clone()).collect();
    assert_eq!(outcomes, ["done", "begun"]);
    let storage = hub.get(&Client::local(), "/api/v1/storage").await.body;
    assert_eq!(
        (&storage["engine"], &storage["disk_full"], &storage["restored"]),
        (&json!("sqlite"), &json!(false), &json!(null))
    );
}

#[tokio::test]
async fn only_one_backup_is_made_at_a_time() {
    let hub = hub_with_history(Engine::Sqlite).await;
    let parts = hub.app.backups.begin(&hub.app, PASSPHRASE.into(), Actor::System).await.unwrap();
    let second = hub.app.backups.begin(&hub.app, PASSPHRASE.into(), Actor::System).await;
    assert!(matches!(second, Err(BeginError::Busy)));
    drop(parts);
}
