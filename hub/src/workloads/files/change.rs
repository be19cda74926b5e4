//! What is changed without bytes coming in: folders made, things renamed,
//! deleted, and given other permissions.
//!
//! The archive makes folders. It cannot delete or rename, so the container's own
//! `rm` and `mv` do that, while it runs. Permissions are `chmod`'s, too; where
//! that is not there a folder, or a file small enough to be held, is unpacked
//! once more with others. A larger file is not: it would be lost if the way
//! broke off in between.

use std::time::Duration;

use axum::body::Body;

use super::engine::Host;
use super::model::{FileError, FileKind, Mode};
use super::path::FilePath;
use super::tar::{END, Header, Kind, header_of};
use super::text::whole;
use crate::clock::Timestamp;

/// A program must have done it within this; it goes on if it needs longer.
const PROGRAM_DEADLINE: Duration = Duration::from_secs(120);
/// An engine must have made a folder within this.
const ARCHIVE_DEADLINE: Duration = Duration::from_secs(30);
/// Most folders that are made above something.
const ABOVE_MAX: usize = 32;
/// Most characters of a program's complaint that are passed on.
const WORDS_MAX: usize = 300;
/// What new folders and files may be used for by whom.
const FOLDER_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// Where a file is to be written, and as what.
#[derive(Clone, Debug)]
pub struct Spot {
    /// A folder that is there.
    pub folder: FilePath,
    /// The headers of the folders between it and the file, which are made.
    pub above: Vec<u8>,
    header: Header,
}

impl Spot {
    /// The place of a file that is there, and keeps its owner and permissions.
    ///
    /// # Errors
    /// [`FileError::IsRoot`].
    pub fn of(path: &FilePath, header: &Header, now: Timestamp) -> Result<Self, FileError> {
        let (folder, name) = path.parent().zip(path.name()).ok_or(FileError::IsRoot)?;
        let header = Header { name: name.to_owned(), kind: Kind::File, modified: seconds(now), ..header.clone() };
        Ok(Self { folder, above: Vec::new(), header })
    }

    /// The header of the file with so many bytes.
    pub fn file(&self, size: u64) -> Header {
        Header { size, ..self.header.clone() }
    }
}

impl Host {
    /// The place of a file that is not there yet. It belongs to whom the folder
    /// belongs.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn new_spot(&self, path: &FilePath, now: Timestamp) -> Result<Spot, FileError> {
        let (mut folder, name) = path.parent().zip(path.name()).ok_or(FileError::IsRoot)?;
        let mut missing = vec![name.to_owned()];
        let owner = loop {
            if let Some(header) = self.find_folder(&folder).await? {
                break header;
            }
            let (parent, name) = folder.parent().zip(folder.name()).ok_or(FileError::NoSuchFile)?;
            missing.push(name.to_owned());
            if missing.len() > ABOVE_MAX {
                return Err(FileError::NoSuchFile);
            }
            folder = parent;
        };
        missing.reverse();
        let new = |name: String, kind, mode| {
            let Header { owner, group, .. } = owner;
            Header { name, kind, size: 0, mode, owner, group, modified: seconds(now) }
        };
        let folders = (1..missing.len()).map(|depth| format!("{}/", missing[..depth].join("/")));
        let above = folders.flat_map(|name| header_of(&new(name, Kind::Folder, FOLDER_MODE))).collect();
        Ok(Spot { header: new(missing.join("/"), Kind::File, FILE_MODE), above, folder })
    }

    /// Makes a folder, and those above it.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn make_folder(&self, path: &FilePath, now: Timestamp) -> Result<(), FileError> {
        if self.find(path).await?.is_some() {
            return Err(FileError::Exists);
        }
        let Spot { folder, above, header } = self.new_spot(path, now).await?;
        let header = Header { name: format!("{}/", header.name), kind: Kind::Folder, mode: FOLDER_MODE, ..header };
        let archive = [&above[..], &header_of(&header), &END].concat();
        self.unpack(&folder, Body::from(archive), ARCHIVE_DEADLINE).await
    }

    /// Gives something another path.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn rename(&self, path: &FilePath, to: &FilePath) -> Result<(), FileError> {
        if path.name().is_none() || to.name().is_none() {
            return Err(FileError::IsRoot);
        }
        if self.find(to).await?.is_some() {
            return Err(FileError::Exists);
        }
        self.do_by(&["mv", "-n", "--", path.as_str(), to.as_str()]).await
    }

    /// Deletes something, and all that is in it.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn delete(&self, path: &FilePath) -> Result<(), FileError> {
        if path.name().is_none() {
            return Err(FileError::IsRoot);
        }
        self.do_by(&["rm", "-r", "--", path.as_str()]).await
    }

    /// Gives something other permissions.
    ///
    /// # Errors
    /// [`FileError`]; a link has none of its own.
    pub async fn permit(&self, path: &FilePath, mode: Mode) -> Result<(), FileError> {
        let opened = self.open(path).await?;
        let kind = FileKind::from(opened.header.kind);
        if kind == FileKind::Link {
            return Err(FileError::IsLink(opened.target));
        }
        let cannot = match self.do_by(&["chmod", "--", &mode.to_string(), path.as_str()]).await {
            Err(error @ (FileError::NotRunning | FileError::NoProgram(_))) => error,
            done => return done,
        };
        let (folder, name) = path.parent().zip(path.name()).ok_or(FileError::IsRoot)?;
        let header = Header { name: name.to_owned(), mode: mode.0, ..opened.header.clone() };
        match kind {
            FileKind::Folder => {
                let header = Header { name: format!("{name}/"), ..header };
                let archive = [&header_of(&header)[..], &END].concat();
                self.unpack(&folder, Body::from(archive), ARCHIVE_DEADLINE).await
            }
            FileKind::File => match whole(opened).await {
                Ok(bytes) => self.put(&Spot { folder, above: Vec::new(), header }, bytes).await,
                Err(FileError::TooLarge) => Err(cannot),
                Err(error) => Err(error),
            },
            FileKind::Link | FileKind::Special => Err(cannot),
        }
    }

    async fn do_by(&self, command: &[&str]) -> Result<(), FileError> {
        let ran = self.run(command, PROGRAM_DEADLINE).await?;
        if ran.exit_code == 0 {
            return Ok(());
        }
        let words: String = ran.words.trim().chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
        Err(if words.contains("No such file or directory") {
            FileError::NoSuchFile
        } else if words.contains("resource busy") {
            FileError::Mounted
        } else if words.is_empty() {
            FileError::Program(format!("it ended with code {}", ran.exit_code))
        } else {
            FileError::Program(words)
        })
    }

    /// What the archive says of a folder, also where the path is a link to it.
    async fn find_folder(&self, path: &FilePath) -> Result<Option<Header>, FileError> {
        let Some(opened) = self.find(path).await? else {
            return Ok(None);
        };
        let (header, target) = (opened.header, opened.target);
        let header = match FileKind::from(header.kind) {
            FileKind::Link => {
                let target = target.and_then(|target| FilePath::parse(&target).ok()).ok_or(FileError::NotAFolder)?;
                self.open(&target).await?.header
            }
            FileKind::Folder | FileKind::File | FileKind::Special => header,
        };
        if header.kind == Kind::Folder { Ok(Some(header)) } else { Err(FileError::NotAFolder) }
    }
}

fn seconds(now: Timestamp) -> i64 {
    now.as_micros() / 1_000_000
}
