//! The process is killed at every step of a rotation and of a change of the
//! master key. Whatever was cut off: the next one opens the database, reads
//! every secret, and brings to an end what was begun.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::clock::SystemClock;
use crate::db::DatabaseUrl;
use crate::vault::{Opened, failpoint};

const POINT: &str = "WINDFLOW_TEST_FAILPOINT";
const DATABASE: &str = "WINDFLOW_TEST_DATABASE";
const KEY_FILE: &str = "WINDFLOW_TEST_KEY_FILE";

/// Steps of a rotation.
const ROTATION: [&str; 8] = [
    "key.made",
    "key.committed",
    "reseal.batch",
    "reseal.committed",
    "reseal.done",
    "settle.done",
    "key.dropping",
    "key.dropped",
];
/// Steps of a change of the master key.
const MASTER_KEY: [&str; 4] = ["file.staged", "master.wrapped", "master.committed", "file.installed"];

/// The hub's part: what is called here is what the hub and its command line do.
struct Hub {
    db: Db,
    vault: Vault,
    source: MasterKeySource,
}

impl Hub {
    async fn open(url: &DatabaseUrl, key_file: &Path) -> Self {
        let source = MasterKeySource::Own(key_file.to_owned());
        let (db, now) = (Db::open(url).await.unwrap(), SystemClock.now());
        let vault = match source.open(&db, KeyCost::Cheap).await.unwrap() {
            Opened::Known(root) => Vault::unlock_with(&db, root, now).await.unwrap(),
            Opened::Fresh(master) => Vault::unlock(&db, master, KeyCost::Cheap, now).await.unwrap(),
        };
        let mut tx = db.write().await.unwrap();
        audit::unlock(&mut tx, &vault, &Random::default(), now).await.unwrap();
        tx.commit().await.unwrap();
        Self { db, vault, source }
    }

    async fn rotate(&self) {
        make_key(&self.vault, &self.db, SystemClock.now()).await.unwrap();
        self.go_on().await;
    }

    async fn go_on(&self) {
        reseal(&self.vault, &self.db, &SystemClock, |_| {}).await.unwrap();
        let now = SystemClock.now();
        self.vault.drop_emptied(&self.db, now, now).await.unwrap();
    }

    async fn change_master_key(&self) {
        let change = Change {
            vault: &self.vault,
            db: &self.db,
            source: &self.source,
            cost: KeyCost::Cheap,
            by: &Actor::System,
            hub: "test".to_owned(),
            now: SystemClock.now(),
        };
        change.to(MasterKey::generate(&Random::default()), NewPlace::Same).await.unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "the test that starts this process says so what is to be done")]
fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Is run by the tests below, which have it killed; by itself it does nothing.
#[tokio::test]
async fn the_process_that_is_killed() {
    let Some(point) = told(POINT) else { return };
    let (url, key_file) = (told(DATABASE).unwrap().parse().unwrap(), told(KEY_FILE).unwrap());
    let hub = Hub::open(&url, Path::new(&key_file)).await;
    failpoint::arm(&point);
    if MASTER_KEY.contains(&point.as_str()) { hub.change_master_key().await } else { hub.rotate().await }
}

/// Runs the process, which must be killed at the point.
async fn kill(point: &str, url: &DatabaseUrl, key_file: &Path) {
    let url = match url {
        DatabaseUrl::Sqlite(_) => url.to_string(),
        DatabaseUrl::Postgres(options) => {
            let (name, socket) = (options.get_database().unwrap(), options.get_socket().unwrap());
            format!("postgres://postgres@localhost/{name}?host={}", socket.display())
        }
    };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "ops::keys::tests::kills::the_process_that_is_killed", "--nocapture"]);
    command.env(POINT, point).env(DATABASE, url).env(KEY_FILE, key_file).stdin(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(ended.status.signal(), Some(9), "{point}: {ended:?}");
}

/// How the database was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// It has a data key.
    DataKey,
    /// It is that of a hub that knew none.
    MasterKeyAlone,
}

async fn killed_at(point: &str, before: Before, test: TestDb) {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("master.key");
    if before == Before::MasterKeyAlone {
        Hub::open(&test.url, &key_file).await;
        let mut tx = test.db.write().await.unwrap();
        for sql in ["DELETE FROM vault_keys", "DELETE FROM settings WHERE key LIKE 'audit.%'"] {
            on_tx!(&mut tx, |c| sqlx::query(sql).execute(c).await.map(drop)).unwrap();
        }
        tx.commit().await.unwrap();
    }
    test.db.close().await;
    let hub = Hub::open(&test.url, &key_file).await;
    let secrets = fill(&hub.db, &hub.vault, SystemClock.now()).await;
    hub.db.close().await;
    let first = hub.vault.generation();
    kill(point, &test.url, &key_file).await;

    let hub = Hub::open(&test.url, &key_file).await;
    let current = hub.vault.generation();
    opens_all(&hub.db, &hub.vault, &secrets, current).await;
    if hub.vault.is_rotating(&hub.db).await.unwrap() {
        hub.go_on().await;
    }
    let is_begun = ROTATION.contains(&point) && point != "key.made";
    assert_eq!(current, if is_begun { Generation(first.0 + 1) } else { first }, "{point}");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "{point}: a key was left beside the file");
    hub.rotate().await;
    let current = hub.vault.generation();
    assert_eq!(opens_all(&hub.db, &hub.vault, &secrets, current).await, 0, "{point}");
    assert_eq!(hub.vault.list_keys(&hub.db).await.unwrap().len(), 1, "{point}: old data keys are left");
    hub.db.close().await;
    let hub = Hub::open(&test.url, &key_file).await;
    assert_eq!(opens_all(&hub.db, &hub.vault, &secrets, current).await, 0);
    let mut tx = hub.db.read().await.unwrap();
    assert!(audit::verify(&mut tx, None).await.unwrap().intact, "{point}");
    drop(tx);
    hub.db.close().await;
}

#[tokio::test]
async fn f32_whatever_step_of_a_rotation_is_cut_off_every_secret_opens_and_it_ends_on_sqlite() {
    for point in ROTATION {
        killed_at(point, Before::DataKey, TestDb::sqlite().await).await;
        killed_at(point, Before::MasterKeyAlone, TestDb::sqlite().await).await;
    }
}

#[tokio::test]
async fn f32_whatever_step_of_a_rotation_is_cut_off_every_secret_opens_and_it_ends_on_postgres() {
    for point in ROTATION {
        killed_at(point, Before::DataKey, TestDb::postgres().await).await;
        killed_at(point, Before::MasterKeyAlone, TestDb::postgres().await).await;
    }
}

#[tokio::test]
async fn f32_whatever_step_of_another_master_key_is_cut_off_one_of_both_opens_everything() {
    for point in MASTER_KEY {
        for before in [Before::DataKey, Before::MasterKeyAlone] {
            killed_at(point, before, TestDb::sqlite().await).await;
            killed_at(point, before, TestDb::postgres().await).await;
        }
    }
}

/// Every byte of every row.
async fn dump(db: &Db) -> String {
    use futures_util::TryStreamExt;
    let mut tx = db.read().await.unwrap();
    let mut all = String::new();
    for table in crate::db::tables::list(&mut tx).await.unwrap() {
        let rows: Vec<_> = table.rows(&mut tx).try_collect().await.unwrap();
        all.push_str(&format!("{}: {rows:?}\n", table.name));
    }
    all
}

on_both_engines! {
    async fn f31_without_its_master_key_or_with_another_a_database_is_left_as_it_is_and_the_key_is_named(db) {
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("master.key");
        let source = MasterKeySource::Own(key_file.clone());
        let now = SystemClock.now();
        let Opened::Fresh(master) = source.open(&db, KeyCost::Cheap).await.unwrap() else { panic!("it is new") };
        let vault = Vault::unlock(&db, master, KeyCost::Cheap, now).await.unwrap();
        fill(&db, &vault, now).await;
        let (before, needed, key) = (dump(&db).await, vault.master_key_id().0, std::fs::read(&key_file).unwrap());

        std::fs::remove_file(&key_file).unwrap();
        let missing = source.open(&db, KeyCost::Cheap).await.unwrap_err();
        assert!(missing.to_string().contains(&needed) && missing.to_string().contains("is missing"), "{missing}");
        assert!(!key_file.exists(), "it made another key");
        let other = MasterKeySource::Command {
            program: "/bin/echo".into(),
            arguments: vec!["another master key, never used here".to_owned()],
            path: None,
        };
        let wrong = other.open(&db, KeyCost::Cheap).await.unwrap_err();
        assert!(wrong.to_string().contains(&needed) && wrong.to_string().contains("does not match"), "{wrong}");
        for error in [missing, wrong] {
            let why = crate::ops::keys::locked::reason(&error.into()).expect("the hub is locked, not broken");
            assert!(why.contains(&needed), "{why}");
        }
        assert_eq!(dump(&db).await, before, "something was written");

        std::fs::write(&key_file, key).unwrap();
        std::fs::set_permissions(&key_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert!(matches!(source.open(&db, KeyCost::Cheap).await, Ok(Opened::Known(_))));
    }
}
