//! What is inside the envelope: one JSON document a line. First the secrets,
//! then each table with its rows, last what must have been there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use data_encoding::HEXLOWER;
use ring::digest;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::seal::{Header, Opener, Sealer};
use crate::db::tables::Value;
use crate::vault::MasterKey;

/// Longest line, in bytes: one row of one table.
pub const LINE_MAX: usize = 32 * 1024 * 1024;

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// What the database alone does not hold. The first line.
    Secrets {
        /// The master key, in base64.
        master_key: Zeroizing<String>,
    },
    /// The rows that follow are of this table.
    Table {
        /// Its name.
        name: String,
        /// The columns, in the order of the values.
        columns: Vec<String>,
    },
    /// One row.
    Row(Vec<Value>),
    /// The last line.
    End(End),
}

/// What must have been there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How many rows each table has.
    pub rows: BTreeMap<String, u64>,
    /// SHA-256 of all lines before this one.
    sha256: String,
}

/// A row is too long to be backed up.
#[derive(Debug, thiserror::Error)]
#[error("a row of the table {0} is longer than {LINE_MAX} bytes")]
pub struct TooLong(String);

/// Writes lines into the envelope and counts them.
pub struct Writer {
    sealer: Sealer,
    digest: digest::Context,
    rows: BTreeMap<String, u64>,
    table: String,
}

impl Writer {
    /// Begins a backup. Slow by intent: it derives the key.
    pub fn new(header: &Header, passphrase: &SecretString) -> Self {
        let digest = digest::Context::new(&digest::SHA256);
        Self { sealer: Sealer::new(header, passphrase), digest, rows: BTreeMap::new(), table: String::new() }
    }

    /// Adds a line.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn push(&mut self, record: &Record) -> Result<(), TooLong> {
        match record {
            Record::Table { name, .. } => {
                self.table.clone_from(name);
                self.rows.insert(name.clone(), 0);
            }
            Record::Row(_) => *self.rows.entry(self.table.clone()).or_default() += 1,
            Record::Secrets { .. } | Record::End(_) => {}
        }
        let mut line = Zeroizing::new(serde_json::to_vec(record).expect("a record is JSON"));
        line.push(b'\n');
        if line.len() > LINE_MAX {
            return Err(TooLong(self.table.clone()));
        }
        self.digest.update(&line);
        self.sealer.push(&line);
        Ok(())
    }

    /// What is ready to be written to the file.
    pub fn take(&mut self) -> Vec<u8> {
        self.sealer.take()
    }

    /// Ends the backup: the rest of the file, and what is in it.
    pub fn finish(mut self) -> (Vec<u8>, End) {
        let sha256 = HEXLOWER.encode(self.digest.finish().as_ref());
        let end = End { rows: self.rows, sha256 };
        let mut line = serde_json::to_vec(&Record::End(end.clone())).expect("a record is JSON");
        line.push(b'\n');
        self.sealer.push(&line);
        (self.sealer.finish(), end)
    }
}

/// A backup in a file, and what opens it.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    passphrase: SecretString,
}

/// What a backup holds besides its rows.
#[derive(Debug)]
pub struct Contents {
    /// Its head.
    pub header: Header,
    /// The master key.
    pub master_key: MasterKey,
    /// How many rows each table has.
    pub rows: BTreeMap<String, u64>,
}

impl Archive {
    /// The backup at `path`; nothing is read yet.
    pub fn new(path: &Path, passphrase: SecretString) -> Self {
        Self { path: path.to_owned(), passphrase }
    }

    /// Reads everything and sees that it is whole and unchanged.
    ///
    /// # Errors
    /// When it is not, or the passphrase is wrong.
    pub fn verify(&self) -> anyhow::Result<Contents> {
        let mut lines = self.lines()?;
        while lines.next()?.is_some() {}
        let Lines { header, end: Some(end), master_key: Some(master_key), .. } = lines else {
            bail!("the backup has no end or no secrets: use another one");
        };
        Ok(Contents { header, master_key, rows: end.rows })
    }

    /// The lines, from the beginning. Each is authentic, but only the end tells
    /// that none is missing.
    ///
    /// # Errors
    /// When the file cannot be read, or is no backup.
    pub(super) fn lines(&self) -> anyhow::Result<Lines> {
        let file = File::open(&self.path).with_context(|| format!("Failed to open {}", self.path.display()))?;
        let (header, opener) = Opener::new(BufReader::new(file), &self.passphrase)
            .with_context(|| format!("Failed to open {}", self.path.display()))?;
        Ok(Lines {
            header,
            reader: BufReader::new(opener),
            digest: digest::Context::new(&digest::SHA256),
            rows: BTreeMap::new(),
            table: None,
            master_key: None,
            end: None,
        })
    }
}

/// A table, or a row of the one before.
pub(super) enum Item {
    /// The rows that follow are of this table.
    Table {
        /// Its name.
        name: String,
        /// The columns, in the order of the values.
        columns: Vec<String>,
    },
    /// One row.
    Row(Vec<Value>),
}

/// The lines of a backup, checked as they come.
pub(super) struct Lines {
    header: Header,
    reader: BufReader<Opener<BufReader<File>>>,
    digest: digest::Context,
    rows: BTreeMap<String, u64>,
    table: Option<String>,
    master_key: Option<MasterKey>,
    end: Option<End>,
}

impl Lines {
    /// The next table or row; `None` at an end that holds what it should.
    ///
    /// # Errors
    /// When the backup is damaged or its order is wrong.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Item>> {
        loop {
            let line = self.line()?;
            if line.is_empty() {
                ensure!(self.end.is_some(), "the backup has no end: use another one");
                return Ok(None);
            }
            ensure!(self.end.is_none(), "the backup goes on after its end: use another one");
            let record = serde_json::from_slice(&line).context("the backup has a line that is no record")?;
            match record {
                Record::Secrets { master_key } => {
                    ensure!(self.table.is_none(), "the backup's secrets are not where they belong");
                    let key =
                        data_encoding::BASE64.decode(master_key.as_bytes()).context("the master key is damaged")?;
                    self.master_key = Some(MasterKey::from_backup(&Zeroizing::new(key)));
                }
                Record::Table { name, columns } => {
                    ensure!(!self.rows.contains_key(&name), "the backup has the table {name} twice");
                    self.rows.insert(name.clone(), 0);
                    self.table = Some(name.clone());
                    self.digest.update(&line);
                    return Ok(Some(Item::Table { name, columns }));
                }
                Record::Row(values) => {
                    let table = self.table.as_ref().context("the backup has a row of no table")?;
                    *self.rows.entry(table.clone()).or_default() += 1;
                    self.digest.update(&line);
                    return Ok(Some(Item::Row(values)));
                }
                Record::End(end) => {
                    let sha256 = HEXLOWER.encode(self.digest.clone().finish().as_ref());
                    ensure!(end.sha256 == sha256 && end.rows == self.rows, "the backup does not hold what it should");
                    self.end = Some(end);
                    continue;
                }
            }
            self.digest.update(&line);
        }
    }

    fn line(&mut self) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        let mut line = Zeroizing::new(Vec::new());
        self.reader.by_ref().take(LINE_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        ensure!(line.len() <= LINE_MAX, "the backup has a line of more than {LINE_MAX} bytes");
        Ok(line)
    }
}
