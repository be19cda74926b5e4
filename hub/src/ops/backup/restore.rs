//! From a backup into a database, of either engine: all of it or nothing.
//!
//! SQLite gets a new file that takes the old one's place at the end; on
//! PostgreSQL all happens in one transaction. What was there is kept.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::archive::{Archive, Contents, Item};
use super::swap::{self, Places};
use crate::clock::{Random, Timestamp};
use crate::db::{DatabaseUrl, Db, DbError, Tx, dialect, tables};
use crate::identity::audit::{self, Action, Actor, AuditRecord, Entry};
use crate::vault::{KeyCost, MasterKeySource, Vault};
use crate::{fleet, identity, mail, settings};

const RESTORED: &str = "ops.restored";
/// Revocations that are remembered from the database that was replaced.
const REVOCATIONS_MAX: i64 = 200;

/// What to do with a database that holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// Leave it alone and restore nothing.
    Refuse,
    /// Set it aside.
    Keep,
}

/// Where a backup goes.
#[derive(Debug)]
pub struct Target<'a> {
    /// The database.
    pub url: &'a DatabaseUrl,
    /// Where the hub gets its master key from. A file gets that of the backup.
    pub master_key: &'a MasterKeySource,
    /// What to do with what is there.
    pub present: Present,
    /// The present moment.
    pub now: Timestamp,
    /// What deriving keys costs.
    pub cost: KeyCost,
}

/// What the hub remembers of the restore it comes from.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Restored {
    /// When it was restored.
    pub restored_at: Timestamp,
    /// Which moment the backup held.
    pub backup_of: Timestamp,
    /// What was revoked or enrolled after that moment and is forgotten, as far
    /// as the database that was replaced could tell. Do it again.
    pub forgotten: Vec<Forgotten>,
}

/// Something that was done after the moment of the backup.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Forgotten {
    /// The action, as in the audit list.
    pub action: String,
    /// What it was done to.
    pub target_id: Option<String>,
    /// The reason or the name.
    pub detail: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Restores the backup.
///
/// # Errors
/// When the backup is damaged, the database holds something and shall be left
/// alone, or something cannot be written. Everything is as before then.
pub async fn restore(archive: &Archive, target: &Target<'_>) -> anyhow::Result<(Contents, Restored)> {
    let contents = archive.verify()?;
    let newest = Db::newest_schema();
    ensure!(
        contents.header.schema <= newest,
        "the backup was made by a newer hub ({}): restore it with that version",
        contents.header.hub_version
    );
    expect_key(&contents, target).await?;
    let restored = match target.url {
        DatabaseUrl::Sqlite(path) => into_sqlite(archive, &contents, path, target).await?,
        DatabaseUrl::Postgres(_) => into_postgres(archive, &contents, target).await?,
    };
    Ok((contents, restored))
}

/// A program that prints the master key cannot be given another one.
async fn expect_key(contents: &Contents, target: &Target<'_>) -> anyhow::Result<()> {
    if target.master_key.file().is_some() {
        return Ok(());
    }
    let present = target.master_key.read().await.context("the hub's own master key is needed to compare")?;
    ensure!(
        bool::from(present.expose().ct_eq(contents.master_key.expose())),
        "the command prints another master key than the one in the backup: restore with --master-key-file FILE, which \
         gets the key, and then change the key with `keys rotate --new-master-key-command … --keep-file`"
    );
    Ok(())
}

/// What the hub remembers of the restore it comes from, if it comes from one.
///
/// # Errors
/// When the database fails.
pub async fn find_restored(tx: &mut Tx) -> Result<Option<Restored>, DbError> {
    let value = settings::find(tx, RESTORED).await?;
    Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
}

async fn into_sqlite(
    archive: &Archive,
    contents: &Contents,
    path: &Path,
    target: &Target<'_>,
) -> anyhow::Result<Restored> {
    let places = Places { database: path, master_key: target.master_key.file() };
    places.complete().context("an earlier restore cannot be completed")?;
    let forgotten = examine_sqlite(path, contents, target.present).await?;
    places.discard_unfinished().context("what an earlier restore left cannot be removed")?;
    let restored = Restored { restored_at: target.now, backup_of: contents.header.created_at, forgotten };
    let filled = fill_sqlite(&places.unfinished(), archive, contents, &restored, target).await;
    if let Err(error) = filled {
        places.discard_unfinished().context("the unfinished database cannot be removed")?;
        return Err(error);
    }
    places.commit(contents.master_key.expose()).context("the restored database cannot be put in place")?;
    places.complete().context("the restored database is complete; run this command again to put it in place")?;
    Ok(restored)
}

/// Looks at the database that is there. One that is damaged may be replaced
/// without being asked: it is kept all the same.
async fn examine_sqlite(path: &Path, contents: &Contents, present: Present) -> anyhow::Result<Vec<Forgotten>> {
    if std::fs::metadata(path).map_or(0, |metadata| metadata.len()) == 0 {
        return Ok(Vec::new());
    }
    let db = match Db::open(&DatabaseUrl::Sqlite(path.to_owned())).await {
        Ok(db) => db,
        Err(DbError::Damaged(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error).context("the present database cannot be opened"),
    };
    let examined = async {
        db.check().await?;
        let mut tx = db.read().await?;
        let holds = holds_rows(&mut tx).await?;
        anyhow::Ok((holds, forgotten_since(&mut tx, contents).await))
    };
    let examined = examined.await;
    // Closing writes the log into the file, so that what is kept is one file.
    db.close().await;
    match examined {
        Ok((true, _)) if present == Present::Refuse => refuse_present(&path.display().to_string()),
        Ok((_, forgotten)) => Ok(forgotten),
        Err(error) => match error.downcast_ref() {
            Some(DbError::Damaged(_)) => Ok(Vec::new()),
            _ => Err(error).context("the present database cannot be read"),
        },
    }
}

async fn fill_sqlite(
    path: &Path,
    archive: &Archive,
    contents: &Contents,
    restored: &Restored,
    target: &Target<'_>,
) -> anyhow::Result<()> {
    let db = Db::open(&DatabaseUrl::Sqlite(path.to_owned())).await?;
    let filled = async {
        db.migrate_to(contents.header.schema).await?;
        let mut tx = db.write().await?;
        load(&mut tx, archive, contents).await?;
        tx.commit().await?;
        db.migrate().await?;
        let mut tx = db.write().await?;
        settle(&mut tx, contents, restored, target).await?;
        tx.commit().await?;
        db.check().await?;
        anyhow::Ok(())
    };
    let filled = filled.await;
    db.close().await;
    filled
}

async fn into_postgres(archive: &Archive, contents: &Contents, target: &Target<'_>) -> anyhow::Result<Restored> {
    let db = Db::open(target.url).await.with_context(|| format!("Failed to open the database {}", target.url))?;
    let restored = async {
        let mut tx = db.write().await?;
        let holds = holds_rows(&mut tx).await?;
        if holds && target.present == Present::Refuse {
            return refuse_present(&target.url.to_string());
        }
        let forgotten = if holds { forgotten_since(&mut tx, contents).await } else { Vec::new() };
        let restored = Restored { restored_at: target.now, backup_of: contents.header.created_at, forgotten };
        if holds {
            dialect::set_tables_aside(&mut tx, &aside_name(target.now)).await?;
        } else {
            dialect::drop_tables(&mut tx).await?;
        }
        Db::migrate_within(&mut tx, contents.header.schema).await?;
        load(&mut tx, archive, contents).await?;
        Db::migrate_within(&mut tx, Db::newest_schema()).await?;
        settle(&mut tx, contents, &restored, target).await?;
        tx.commit().await?;
        Ok(restored)
    };
    let restored = restored.await;
    db.close().await;
    let restored = restored?;
    if let Some(path) = target.master_key.file() {
        swap::install_key(path, contents.master_key.expose()).with_context(|| {
            let path = path.display();
            format!(
                "the database is restored, but its master key cannot be written to {path}: run this again with --force"
            )
        })?;
    }
    Ok(restored)
}

/// The schema that keeps the tables of a PostgreSQL database.
fn aside_name(now: Timestamp) -> String {
    format!("before_restore_{}", now.as_micros() / 1_000_000)
}

fn refuse_present<T>(database: &str) -> anyhow::Result<T> {
    bail!(
        "the database {database} is not empty: add --force to replace it; what it holds is kept as \
         before-restore beside it"
    )
}

async fn holds_rows(tx: &mut Tx) -> anyhow::Result<bool> {
    for table in tables::list(tx).await? {
        if table.count(tx).await? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A database of another version may not be able to tell.
async fn forgotten_since(tx: &mut Tx, contents: &Contents) -> Vec<Forgotten> {
    let actions = [
        Action::AgentRevoke,
        Action::ApiTokenRevoke,
        Action::TokenRevoke,
        Action::UserDisable,
        Action::EnvironmentRemove,
        Action::Enroll,
    ];
    let found = async {
        dialect::savepoint(tx).await?;
        audit::list_since(tx, contents.header.created_at, &actions, REVOCATIONS_MAX).await
    };
    match found.await {
        Ok(records) => records.into_iter().map(Forgotten::from).collect(),
        Err(error) => {
            tracing::warn!(%error, "the database that is replaced cannot tell what it knew beyond the backup");
            if let Err(error) = dialect::back_to_savepoint(tx).await {
                tracing::warn!(%error, "the transaction cannot be used further");
            }
            Vec::new()
        }
    }
}

async fn load(tx: &mut Tx, archive: &Archive, contents: &Contents) -> anyhow::Result<()> {
    let references = dialect::suspend_references(tx).await?;
    let present = tables::list(tx).await?;
    for table in &present {
        table.clear(tx).await?;
    }
    let mut lines = archive.lines()?;
    let mut current: Option<tables::Table> = None;
    while let Some(item) = lines.next()? {
        match item {
            Item::Table { name, columns } => {
                let table = present.iter().find(|table| table.name == name);
                let arranged = table.and_then(|table| table.arranged(&columns));
                current = Some(arranged.with_context(|| format!("this hub does not know the table {name} as it is"))?);
            }
            Item::Row(values) => {
                current.as_ref().context("the backup has a row of no table")?.insert(tx, values).await?;
            }
        }
    }
    for table in &present {
        let (found, expected) = (table.count(tx).await?, contents.rows.get(&table.name).copied());
        ensure!(Some(found) == expected, "the table {} has {found} rows instead of {expected:?}", table.name);
    }
    dialect::resume_references(tx, references).await.context("the backup's rows do not belong together")?;
    Ok(())
}

/// What must not come back: what users signed in with, which may have ended
/// since, enrollment tokens, invitations and mailed links that may have been
/// used since, and mails that may have been sent.
async fn settle(tx: &mut Tx, contents: &Contents, restored: &Restored, target: &Target<'_>) -> anyhow::Result<()> {
    let now = target.now;
    let key = contents.master_key.clone();
    let vault = Vault::unlock_within(tx, key, target.cost).await;
    let vault = vault.context("the backup's master key does not open its secrets")?;
    audit::unlock(tx, &vault, &Random::default(), now).await.context("the backup's audit log does not open")?;
    identity::sessions::delete_all(tx).await?;
    identity::access_tokens::delete_all(tx).await?;
    fleet::enrollment::revoke_open(tx, "the hub was restored from a backup", now).await?;
    identity::users::end_links(tx, now).await?;
    mail::give_up_all(tx, "the hub was restored from a backup", now).await?;
    settings::put(tx, RESTORED, &serde_json::to_vec(restored)?, now).await?;
    let entry = Entry::new(&Actor::System, Action::HubRestore, &contents.header.hub.to_string());
    let entry = entry.fact("backup_of", contents.header.created_at.to_string().into());
    audit::record(tx, entry, now).await?;
    Ok(())
}

impl From<AuditRecord> for Forgotten {
    fn from(record: AuditRecord) -> Self {
        let detail = record.details.0.get("detail").and_then(|detail| detail.as_str()).map(str::to_owned);
        Self { action: record.action, target_id: record.target_id, detail, at: record.at }
    }
}
