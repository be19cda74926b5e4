//! From the database into a backup: one moment of it, whatever is written
//! meanwhile.

use std::io;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::TryStreamExt;
use secrecy::SecretString;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::archive::{End, Record, Writer};
use super::seal::Header;
use crate::clock::Timestamp;
use crate::db::{Db, Tx, tables};
use crate::fleet;
use crate::vault::{KeyCost, MasterKey, Vault};

/// Parts of the file that may wait for whoever takes them.
pub const PARTS_WAITING: usize = 4;
/// Whoever takes the file must take the next part within this: the database
/// keeps the moment for as long.
const TAKE_DEADLINE: Duration = Duration::from_secs(60);

/// Where the parts of the file go.
pub type Sink = mpsc::Sender<io::Result<Bytes>>;

/// What a backup is made of.
#[derive(Debug)]
pub struct Source {
    /// The database.
    pub db: Db,
    /// Its master key.
    pub master_key: MasterKey,
    /// The present moment.
    pub now: Timestamp,
    /// What deriving keys costs.
    pub cost: KeyCost,
}

/// Writes the backup to `sink`, sealed with the passphrase.
///
/// # Errors
/// When the database or the master key fails, or nobody takes the parts.
pub async fn write(source: Source, passphrase: SecretString, sink: &Sink) -> anyhow::Result<End> {
    let Source { db, master_key, now, cost } = source;
    let secrets = Record::Secrets { master_key: Zeroizing::new(BASE64.encode(master_key.expose())) };
    let mut tx = db.read().await?;
    // In the moment that is backed up: the key may be changed right after.
    let opened = Vault::unlock_within(&mut tx, master_key, cost).await;
    opened.context("the master key in the file is not the one in use")?;
    let hub = fleet::find_hub_id(&mut tx).await?.context("this hub was never started: there is nothing to back up")?;
    let schema = tables::schema_version(&mut tx).await?.context("the database has no schema")?;
    let header = Header::new(hub.0, schema, now, cost);
    let writer = tokio::task::spawn_blocking(move || Writer::new(&header, &passphrase));
    let mut writer = writer.await.context("deriving the key failed")?;
    writer.push(&secrets)?;
    drop(secrets);
    for table in tables::list(&mut tx).await? {
        write_table(&table, &mut tx, &mut writer, sink).await?;
    }
    let (rest, end) = writer.finish();
    give(sink, rest).await?;
    Ok(end)
}

async fn write_table(table: &tables::Table, tx: &mut Tx, writer: &mut Writer, sink: &Sink) -> anyhow::Result<()> {
    let columns = table.columns.iter().map(|column| column.name.clone()).collect();
    writer.push(&Record::Table { name: table.name.clone(), columns })?;
    let mut rows = table.rows(tx);
    while let Some(row) = rows.try_next().await? {
        writer.push(&Record::Row(row))?;
        give(sink, writer.take()).await?;
    }
    Ok(())
}

async fn give(sink: &Sink, part: Vec<u8>) -> anyhow::Result<()> {
    if part.is_empty() {
        return Ok(());
    }
    let given = tokio::time::timeout(TAKE_DEADLINE, sink.send(Ok(part.into()))).await;
    given.context("nobody took the next part of the backup within 60 s")?.context("whoever took the backup went away")
}
