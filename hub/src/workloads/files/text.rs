//! Texts that are read and written as a whole. A version names the bytes that
//! were read: whoever writes gives it back, and two who edit the same file do
//! not undo each other's work.

use std::time::Duration;

use axum::body::Body;
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use tokio::time::timeout;

use super::change::Spot;
use super::engine::{Host, Opened};
use super::model::{FileEntry, FileError, FileKind, TEXT_MAX, TextFile};
use super::path::FilePath;
use super::tar::{END, Event, header_of, padding};
use crate::clock::Timestamp;
use crate::docker::EngineError;

/// A text must have come, or been written, within this.
const DEADLINE: Duration = Duration::from_secs(30);

impl Host {
    /// Reads a text.
    ///
    /// # Errors
    /// [`FileError`], also where it is none.
    pub async fn read_text(&self, path: &FilePath) -> Result<TextFile, FileError> {
        let name = path.name().ok_or(FileError::NotAFile)?;
        let opened = self.open(path).await?;
        let entry = FileEntry::of(name, &opened.header);
        let bytes = whole(opened).await?;
        let version = version_of(&bytes);
        let text = String::from_utf8(bytes).map_err(|_| FileError::NotText)?;
        if text.contains('\0') {
            return Err(FileError::NotText);
        }
        Ok(TextFile { entry, text, version })
    }

    /// Writes a text in the place of the one with this version, or a new one
    /// where none is given. Gives its version. Owner and permissions stay; a
    /// new file belongs to whom its folder belongs.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn write_text(
        &self,
        path: &FilePath,
        version: Option<&str>,
        text: Vec<u8>,
        now: Timestamp,
    ) -> Result<String, FileError> {
        if text.len() > TEXT_MAX {
            return Err(FileError::TooLarge);
        }
        let found = self.find(path).await?;
        let spot = match (found, version) {
            (None, None) => self.new_spot(path, now).await?,
            (Some(_), None) => return Err(FileError::Exists),
            (None, Some(_)) => return Err(FileError::NoSuchFile),
            (Some(opened), Some(version)) => {
                let header = opened.header.clone();
                if version_of(&whole(opened).await?) != version {
                    return Err(FileError::Changed);
                }
                Spot::of(path, &header, now)?
            }
        };
        let version = version_of(&text);
        self.put(&spot, text).await?;
        Ok(version)
    }

    /// Writes a file of these bytes.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn put(&self, spot: &Spot, bytes: Vec<u8>) -> Result<(), FileError> {
        let mut archive = spot.above.clone();
        let size = bytes.len() as u64;
        archive.extend(header_of(&spot.file(size)));
        archive.extend(bytes);
        archive.extend_from_slice(padding(size));
        archive.extend_from_slice(&END);
        self.unpack(&spot.folder, Body::from(archive), DEADLINE).await
    }
}

/// The bytes of a file that is small enough to be held.
///
/// # Errors
/// [`FileError`].
pub async fn whole(opened: Opened) -> Result<Vec<u8>, FileError> {
    must_be_file(&opened)?;
    let Opened { header, mut things, .. } = opened;
    let size = usize::try_from(header.size).ok().filter(|size| *size <= TEXT_MAX).ok_or(FileError::TooLarge)?;
    let reading = async {
        let mut bytes = Vec::with_capacity(size);
        while bytes.len() < size {
            match things.next().await? {
                Event::Data(data) => bytes.extend_from_slice(&data),
                Event::Header(_) | Event::End => return Err(EngineError::Cut("a file is too short".to_owned()).into()),
            }
        }
        Ok(bytes)
    };
    timeout(DEADLINE, reading).await.unwrap_or(Err(EngineError::Unresponsive.into()))
}

/// # Errors
/// [`FileError::IsLink`] and [`FileError::NotAFile`].
pub fn must_be_file(opened: &Opened) -> Result<(), FileError> {
    match opened.header.kind.into() {
        FileKind::File => Ok(()),
        FileKind::Link => Err(FileError::IsLink(opened.target.clone())),
        FileKind::Folder | FileKind::Special => Err(FileError::NotAFile),
    }
}

fn version_of(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}
