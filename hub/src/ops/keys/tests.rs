//! New keys for a hub that runs: over its API, by itself, and with backups from
//! before.

mod kills;

use axum::http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::clock::Random;
use crate::db::Tx;
use crate::db::testing::{TestDb, on_both_engines};
use crate::http::{Page, Visible};
use crate::on_tx;
use crate::testing::{Client, TestHub};
use crate::vault::settings;
use crate::vault::{Generation, Place};

/// What is sealed somewhere, and for which row.
#[derive(Clone, Debug)]
struct Secret {
    table: &'static str,
    column: &'static str,
    row: String,
    plain: Vec<u8>,
}

impl Secret {
    fn new(table: &'static str, column: &'static str, row: String) -> Self {
        let plain = format!("what is secret in {table} {row}").into_bytes();
        Self { table, column, row, plain }
    }

    fn place(&self) -> Place<'_> {
        Place { table: self.table, row: &self.row, column: self.column }
    }
}

/// Secrets in every sealed column, more of them than one batch takes.
async fn fill(db: &Db, vault: &Vault, now: Timestamp) -> Vec<Secret> {
    let mut tx = db.write().await.unwrap();
    let mut secrets = Vec::new();
    for number in 0..70 {
        let secret = Secret::new("settings", "value", format!("test.{number:03}"));
        settings::put(&mut tx, &secret.row, &vault.seal(&secret.place(), &secret.plain), now).await.unwrap();
        secrets.push(secret);
    }
    settings::put(&mut tx, "test.plain", b"\x01 is not sealed, whatever its first byte is like", now).await.unwrap();
    for number in 0..3 {
        let id = Uuid::now_v7();
        let secret = Secret::new("environments", "tls_key_sealed", id.to_string());
        let sealed = vault.seal(&secret.place(), &secret.plain);
        let sql = "INSERT INTO environments (id, name, kind, insecure, labels, created_at, tls_key_sealed)
                   VALUES ($1, $2, 'tcp', $3, $4, $5, $6)";
        on_tx!(&mut tx, |c| {
            let query = sqlx::query(sql).bind(id).bind(format!("e{number}")).bind(false);
            query.bind(sqlx::types::Json(json!({}))).bind(now).bind(&sealed).execute(c).await.map(drop)
        })
        .unwrap();
        secrets.push(secret);
    }
    let user = Uuid::now_v7();
    let sql = "INSERT INTO users (id, name, role, password_hash, created_at, updated_at)
               VALUES ($1, 'bob', 'viewer', '', $2, $2)";
    on_tx!(&mut tx, |c| sqlx::query(sql).bind(user).bind(now).execute(c).await.map(drop)).unwrap();
    let secret = Secret::new("second_factors", "secret_sealed", user.to_string());
    let sealed = vault.seal(&secret.place(), &secret.plain);
    let sql = "INSERT INTO second_factors (user_id, secret_sealed, last_step, begun_at) VALUES ($1, $2, 0, $3)";
    on_tx!(&mut tx, |c| sqlx::query(sql).bind(user).bind(&sealed).bind(now).execute(c).await.map(drop)).unwrap();
    secrets.push(secret);
    fill_recording(&mut tx, vault, now, &mut secrets).await;
    tx.commit().await.unwrap();
    secrets
}

async fn fill_recording(tx: &mut Tx, vault: &Vault, now: Timestamp, secrets: &mut Vec<Secret>) {
    let id = Uuid::now_v7();
    let sql = "INSERT INTO recordings (id, environment_id, environment_name, container, user_name, wide, high, state,
                   is_cut, millis, bytes, stored_bytes, chunks, began_at)
               VALUES ($1, $1, 'e', 'c', 'u', 80, 24, 'complete', $2, 0, 0, 0, 40, $3)";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(false).bind(now).execute(c).await.map(drop)).unwrap();
    for number in 0..40_i64 {
        let secret = Secret::new("recording_chunks", "content_sealed", format!("{id}/{number}"));
        let sealed = vault.seal(&secret.place(), &secret.plain);
        let sql = "INSERT INTO recording_chunks (recording_id, number, content_sealed) VALUES ($1, $2, $3)";
        on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(number).bind(&sealed).execute(c).await.map(drop)).unwrap();
        secrets.push(secret);
    }
}

/// What stands in the database for a secret.
async fn stored(db: &Db, secret: &Secret) -> Vec<u8> {
    let mut tx = db.read().await.unwrap();
    let tx = &mut tx;
    let id = || secret.row.split('/').next().unwrap().parse::<Uuid>().unwrap();
    match secret.table {
        "settings" => settings::find(tx, &secret.row).await.unwrap().unwrap(),
        "environments" => {
            let sql = "SELECT tls_key_sealed FROM environments WHERE id = $1";
            on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id()).fetch_one(c).await).unwrap()
        }
        "second_factors" => {
            let sql = "SELECT secret_sealed FROM second_factors WHERE user_id = $1";
            on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id()).fetch_one(c).await).unwrap()
        }
        "recording_chunks" => {
            let number: i64 = secret.row.split('/').nth(1).unwrap().parse().unwrap();
            let sql = "SELECT content_sealed FROM recording_chunks WHERE recording_id = $1 AND number = $2";
            on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id()).bind(number).fetch_one(c).await).unwrap()
        }
        other => panic!("{other} has no secrets here"),
    }
}

/// Every secret opens; gives how many are not sealed with `generation`.
async fn opens_all(db: &Db, vault: &Vault, secrets: &[Secret], generation: Generation) -> usize {
    let mut others = 0;
    for secret in secrets {
        let sealed = stored(db, secret).await;
        let opened = vault.open(&secret.place(), &sealed);
        assert_eq!(*opened.unwrap_or_else(|error| panic!("{secret:?}: {error}")), secret.plain);
        others += usize::from(!sealed.starts_with(&[&[2][..], &generation.0.to_be_bytes()].concat()));
    }
    let mut tx = db.read().await.unwrap();
    let plain = settings::find(&mut tx, "test.plain").await.unwrap().unwrap();
    assert!(plain.ends_with(b"whatever its first byte is like"), "what is not sealed was changed");
    others
}

/// Waits for the end of the job that runs.
async fn until_over(hub: &TestHub, job: &str) -> serde_json::Value {
    let over = async {
        loop {
            let answer = hub.get(&Client::local(), &format!("/api/v1/jobs/{job}")).await;
            if !["queued", "running"].contains(&answer.body["state"].as_str().unwrap()) {
                return answer.body;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), over).await.expect("the job ends")
}

on_both_engines! {
    async fn everything_is_sealed_anew_and_the_old_key_goes_after_a_while(db) {
        let now = Timestamp::from_micros(1_000_000).unwrap();
        let vault = Vault::unlock(&db, MasterKey::from_sent(&[1; 32]).unwrap(), KeyCost::Cheap, now).await.unwrap();
        let secrets = fill(&db, &vault, now).await;
        let mut tx = db.write().await.unwrap();
        audit::unlock(&mut tx, &vault, &Random::default(), now).await.unwrap();
        tx.commit().await.unwrap();

        make_key(&vault, &db, now).await.unwrap();
        assert!(vault.is_rotating(&db).await.unwrap());
        assert_eq!(opens_all(&db, &vault, &secrets, Generation(2)).await, secrets.len());
        let clock = crate::clock::ManualClock::new(now);
        let done = reseal(&vault, &db, &clock, |_| {}).await.unwrap();
        // The chain's key of the audit log is one more.
        assert_eq!(done, Resealed { values: secrets.len() as u64 + 1, unreadable: 0 });
        assert_eq!(opens_all(&db, &vault, &secrets, Generation(2)).await, 0);
        assert!(!vault.is_rotating(&db).await.unwrap());

        assert_eq!(vault.drop_emptied(&db, now - KEPT_FOR, now).await.unwrap(), 0, "it is kept for a while");
        let later = now + KEPT_FOR;
        assert_eq!(vault.drop_emptied(&db, now, later).await.unwrap(), 1);
        assert_eq!(vault.list_keys(&db).await.unwrap().len(), 1);
        let again = Vault::unlock(&db, MasterKey::from_sent(&[1; 32]).unwrap(), KeyCost::Cheap, now).await.unwrap();
        assert_eq!(opens_all(&db, &again, &secrets, Generation(2)).await, 0);
    }

    async fn what_was_sealed_with_the_old_key_and_written_late_keeps_it_and_is_sealed_anew(db) {
        let now = Timestamp::from_micros(1_000_000).unwrap();
        let vault = Vault::unlock(&db, MasterKey::from_sent(&[1; 32]).unwrap(), KeyCost::Cheap, now).await.unwrap();
        let late = Secret::new("settings", "value", "test.late".to_owned());
        let sealed = vault.seal(&late.place(), &late.plain);
        let clock = crate::clock::ManualClock::new(now);
        make_key(&vault, &db, now).await.unwrap();
        reseal(&vault, &db, &clock, |_| {}).await.unwrap();
        let mut tx = db.write().await.unwrap();
        settings::put(&mut tx, &late.row, &sealed, now).await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(vault.drop_emptied(&db, now, now).await.unwrap(), 0, "something is sealed with it");
        assert!(vault.is_rotating(&db).await.unwrap());
        assert_eq!(reseal(&vault, &db, &clock, |_| {}).await.unwrap().values, 1);
        assert_eq!(vault.drop_emptied(&db, now, now).await.unwrap(), 1);
        assert_eq!(*vault.open(&late.place(), &stored(&db, &late).await).unwrap(), late.plain);
    }

    async fn a_value_that_does_not_open_is_left_alone_with_its_key(db) {
        let now = Timestamp::from_micros(1_000_000).unwrap();
        let vault = Vault::unlock(&db, MasterKey::from_sent(&[1; 32]).unwrap(), KeyCost::Cheap, now).await.unwrap();
        let secrets = fill(&db, &vault, now).await;
        let moved = secrets.iter().find(|secret| secret.table == "environments").unwrap();
        let elsewhere = vault.seal(&Place { row: "elsewhere", ..moved.place() }, b"moved here");
        let (id, mut tx) = (moved.row.parse::<Uuid>().unwrap(), db.write().await.unwrap());
        let sql = "UPDATE environments SET tls_key_sealed = $2 WHERE id = $1";
        on_tx!(&mut tx, |c| sqlx::query(sql).bind(id).bind(&elsewhere).execute(c).await.map(drop)).unwrap();
        tx.commit().await.unwrap();

        make_key(&vault, &db, now).await.unwrap();
        let clock = crate::clock::ManualClock::new(now);
        let left = reseal(&vault, &db, &clock, |_| {}).await;
        assert!(matches!(left, Err(ResealError::Left(Resealed { unreadable: 1, .. }))), "{left:?}");
        assert_eq!(stored(&db, moved).await, elsewhere);
        assert_eq!(vault.drop_emptied(&db, now, now).await.unwrap(), 0);
        assert_eq!(vault.list_keys(&db).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_rotation_over_the_api_is_a_job_on_record_and_for_administrators() {
    let hub = TestHub::with_users().await;
    let secrets = fill(&hub.app.db, &hub.app.vault, hub.app.clock.now()).await;
    for user in ["operator", "viewer"] {
        let signed_in = hub.signed_in(user).await;
        assert_eq!(hub.get(&signed_in, "/api/v1/keys").await.code(), "not_permitted");
        assert_eq!(hub.post(&signed_in, "/api/v1/keys/rotate", json!(null)).await.code(), "not_permitted");
    }
    let admin = hub.signed_in("admin").await;
    let key = json!({ "key": data_encoding::BASE64.encode(&[7; 32]) });
    assert_eq!(hub.post(&admin, "/api/v1/keys/master-key", key).await.status, StatusCode::NOT_FOUND);
    let before = hub.get(&admin, "/api/v1/keys").await.body;
    assert_eq!((&before["generation"], &before["master_key_from"]), (&json!(1), &json!("file")));
    assert_eq!(before["data_keys"].as_array().unwrap().len(), 1);

    let job = hub.post(&admin, "/api/v1/keys/rotate", json!(null)).await;
    assert_eq!(job.status, StatusCode::ACCEPTED, "{job:?}");
    let over = until_over(&hub, job.body["id"].as_str().unwrap()).await;
    assert_eq!((over["state"].as_str(), over["kind"].as_str()), (Some("succeeded"), Some("keys.rotate")), "{over}");
    assert_eq!((&over["result"]["generation"], &over["result"]["unreadable"]), (&json!(2), &json!(0)));
    assert_eq!(opens_all(&hub.app.db, &hub.app.vault, &secrets, Generation(2)).await, 0);

    let after = hub.get(&admin, "/api/v1/keys").await.body;
    let states: Vec<_> = after["data_keys"].as_array().unwrap().iter().map(|key| key["state"].clone()).collect();
    assert_eq!((&after["generation"], states), (&json!(2), vec![json!("emptied"), json!("current")]));
    assert_eq!(after["job_id"], json!(null));
    let records = hub.get(&admin, "/api/v1/audit?action=hub.keys_rotate").await;
    let outcomes: Vec<_> =
        records.body["items"].as_array().unwrap().iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["done", "begun"]);
    hub.clock.advance(KEPT_FOR);
    look(&hub.app, None).await.unwrap();
    assert_eq!(hub.get(&admin, "/api/v1/keys").await.body["data_keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn asvs_11_1_1_every_key_of_the_hub_is_listed_with_what_it_is_used_with_and_how_old_it_is() {
    let hub = TestHub::with_users().await;
    let made = hub.app.clock.now();
    let admin = hub.signed_in("admin").await;
    hub.clock.advance(Duration::from_secs(60));
    hub.program_of("admin").await;
    let answer = hub.get(&admin, "/api/v1/keys").await.body;
    let own = answer["own_keys"].as_array().unwrap();
    let names: Vec<_> =
        own.iter().map(|key| (key["key"].as_str().unwrap(), key["algorithm"].as_str().unwrap())).collect();
    let mac = "HMAC-SHA256";
    let known = [("fleet_authority", "ECDSA P-256"), ("enrollment", mac), ("tickets", mac), ("quic_restart", mac)];
    assert_eq!(names, [known.as_slice(), &[("audit_chain", mac)]].concat(), "no Redis, and nothing for it");
    assert!(own.iter().all(|key| key["created_at"] == json!(made)), "{own:?}");

    look(&hub.app, None).await.unwrap();
    let job = hub.post(&admin, "/api/v1/keys/rotate", json!(null)).await;
    until_over(&hub, job.body["id"].as_str().unwrap()).await;
    let after = hub.get(&admin, "/api/v1/keys").await.body;
    assert_eq!(after["own_keys"], answer["own_keys"], "sealed with another key they are the same");

    let text = include_str!("../../../../docs/SECURITY.md");
    let table = text.split("\n## ").find(|section| section.starts_with("Keys and where they live\n")).unwrap();
    for key in crate::vault::OwnKey::ALL {
        let named = format!("| `{}`", json!(key).as_str().unwrap());
        assert!(table.contains(&named), "{named} is missing in docs/SECURITY.md");
    }
}

#[tokio::test]
async fn only_one_changes_the_keys_at_a_time() {
    let hub = TestHub::with_users().await;
    let turn = hub.app.keys.take_turn().unwrap();
    let refused = hub.post(&Client::local(), "/api/v1/keys/rotate", json!(null)).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "keys_busy"));
    let key = json!({ "key": data_encoding::BASE64.encode(&[7; 32]) });
    assert_eq!(hub.post(&Client::local(), "/api/v1/keys/master-key", key).await.code(), "keys_busy");
    drop(turn);
    assert_eq!(hub.post(&Client::local(), "/api/v1/keys/rotate", json!(null)).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_hub_goes_on_with_a_rotation_that_was_cut_off() {
    let hub = TestHub::empty().await;
    let secrets = fill(&hub.app.db, &hub.app.vault, hub.app.clock.now()).await;
    make_key(&hub.app.vault, &hub.app.db, hub.app.clock.now()).await.unwrap();
    let kept = hub.app.lifecycle.tasks.spawn(keep(hub.app.clone()));
    let over = async {
        while hub.app.vault.is_rotating(&hub.app.db).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), over).await.expect("it goes on by itself");
    assert_eq!(opens_all(&hub.app.db, &hub.app.vault, &secrets, Generation(2)).await, 0);
    hub.app.jobs.ended().await;
    let jobs = hub.app.jobs.list(&Default::default(), &Visible::All, Page { limit: 9, offset: 0 }).await.unwrap();
    assert_eq!((jobs.total, jobs.items[0].asked_by.as_str()), (1, "system"));
    hub.app.lifecycle.soft.cancel();
    kept.await.unwrap();
}

#[tokio::test]
async fn a_data_key_that_is_old_is_replaced_by_itself_where_that_is_asked_for() {
    let hub = TestHub::empty().await;
    let day = Duration::from_secs(24 * 60 * 60);
    hub.clock.advance(day * 2);
    for life in [None, Some(day * 3)] {
        look(&hub.app, life).await.unwrap();
        hub.app.jobs.ended().await;
        assert_eq!(hub.app.vault.generation(), Generation(1), "it is not asked for, or not yet");
    }
    look(&hub.app, Some(day * 2)).await.unwrap();
    hub.app.jobs.ended().await;
    assert_eq!(hub.app.vault.generation(), Generation(2));
    look(&hub.app, Some(day * 2)).await.unwrap();
    hub.app.jobs.ended().await;
    assert_eq!(hub.app.vault.generation(), Generation(2), "the new one is not old");
}

#[tokio::test]
async fn a_backup_from_before_a_rotation_and_another_master_key_restores_with_all_its_secrets() {
    use crate::ops::backup::{Archive, Present, Target, restore};

    const PASSPHRASE: &str = "five gentle otters swim";
    for target in [TestDb::sqlite().await, TestDb::postgres().await] {
        let hub = TestHub::empty().await;
        let secrets = fill(&hub.app.db, &hub.app.vault, hub.app.clock.now()).await;
        let mut parts = hub.app.backups.begin(&hub.app, PASSPHRASE.into(), Actor::System).await.unwrap();
        let mut file = Vec::new();
        while let Some(part) = parts.recv().await {
            file.extend(part.unwrap());
        }
        let backup = hub.folder.path().join("backup");
        std::fs::write(&backup, file).unwrap();

        let job = hub.post(&Client::local(), "/api/v1/keys/rotate", json!(null)).await;
        until_over(&hub, job.body["id"].as_str().unwrap()).await;
        let key = json!({ "key": data_encoding::BASE64.encode(&[b'k'; 32]) });
        let changed = hub.post(&Client::local(), "/api/v1/keys/master-key", key).await;
        assert_eq!(changed.status, StatusCode::OK, "{changed:?}");

        target.db.close().await;
        let key = MasterKeySource::File(hub.folder.path().join("restored.key"));
        let now = hub.app.clock.now();
        let into = Target { url: &target.url, master_key: &key, present: Present::Keep, now, cost: KeyCost::Cheap };
        restore(&Archive::new(&backup, PASSPHRASE.into()), &into).await.unwrap();
        let db = Db::open(&target.url).await.unwrap();
        let vault = Vault::unlock(&db, key.read().await.unwrap(), KeyCost::Cheap, now).await.unwrap();
        assert_eq!(opens_all(&db, &vault, &secrets, Generation(1)).await, 0);
        assert_ne!(vault.master_key_id(), hub.app.vault.master_key_id());
        db.close().await;
    }
}

#[tokio::test]
async fn another_master_key_takes_the_place_of_the_old_one_and_backups_go_on() {
    let hub = TestHub::empty().await;
    let secrets = fill(&hub.app.db, &hub.app.vault, hub.app.clock.now()).await;
    let file = hub.folder.path().join("master.key");
    let before = std::fs::read_to_string(&file).unwrap();
    let sent = |key: &[u8]| json!({ "key": data_encoding::BASE64.encode(key) });
    let wrong = hub.post(&Client::local(), "/api/v1/keys/master-key", sent(b"too short")).await;
    assert_eq!((wrong.status, wrong.code()), (StatusCode::BAD_REQUEST, "invalid_master_key"));
    // Fit for a passphrase, but the hub reads a key from this file.
    let unfit = hub.post(&Client::local(), "/api/v1/keys/master-key", sent(b"fifteen letters")).await;
    assert_eq!((unfit.status, unfit.code()), (StatusCode::CONFLICT, "master_key_place"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);

    let key = b"another master key of forty letters here";
    let changed = hub.post(&Client::local(), "/api/v1/keys/master-key", sent(key)).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    assert_eq!(std::fs::read(&file).unwrap().trim_ascii(), key);
    assert_eq!(std::fs::read_dir(hub.folder.path()).unwrap().count(), 1, "nothing is left beside it");
    let now = hub.app.clock.now();
    let opened = Vault::unlock(&hub.app.db, MasterKey::read(&file).unwrap(), KeyCost::Cheap, now).await.unwrap();
    assert_eq!(changed.body["master_key_id"], json!(opened.master_key_id()));
    for vault in [&opened, &hub.app.vault] {
        assert_eq!(opens_all(&hub.app.db, vault, &secrets, Generation(1)).await, 0);
    }
    let passphrase = json!({ "passphrase": "five gentle otters swim" });
    assert_eq!(hub.post(&Client::local(), "/api/v1/backups", passphrase).await.status, StatusCode::OK);

    let kept = json!({ "key": data_encoding::BASE64.encode(&[9; 40]), "keep_file": true });
    assert_eq!(hub.post(&Client::local(), "/api/v1/keys/master-key", kept).await.status, StatusCode::OK);
    assert_eq!(std::fs::read(&file).unwrap().trim_ascii(), key);
    let records = hub.get(&Client::local(), "/api/v1/audit?action=hub.master_key_change").await;
    assert_eq!(records.body["items"].as_array().unwrap().len(), 2);
    assert!(!records.body.to_string().contains("another master key"));
}
