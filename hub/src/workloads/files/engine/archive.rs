//! An engine's archive of a container: the way to its files that needs neither
//! a running container nor a program in it. It sees what is on disk, volumes
//! included; what lies in memory only (tmpfs, `/proc`) it does not.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use data_encoding::BASE64;
use http::{Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::timeout;

use super::Host;
use crate::docker::EngineError;
use crate::workloads::files::model::FileError;
use crate::workloads::files::path::FilePath;
use crate::workloads::files::tar::{Event, Header, Reader};

/// An engine must have begun to answer within this.
const BEGIN_DEADLINE: Duration = Duration::from_secs(20);
/// Longest description of a file that an engine gives in a header.
const STAT_MAX: usize = 16 * 1024;

/// What an engine says of a path before its archive.
#[derive(Debug, Default, Deserialize)]
struct Stat {
    #[serde(rename = "linkTarget", default)]
    link_target: String,
}

/// The archive of one path, as it comes.
#[derive(Debug)]
pub struct Opened {
    /// The thing at the path itself.
    pub header: Header,
    /// Where it leads, if it is a link, as the engine resolves it.
    pub target: Option<String>,
    /// What follows: its bytes, or what is in it.
    pub things: Things,
}

/// What stands in an archive, read as it comes.
#[derive(Debug)]
pub struct Things {
    body: Incoming,
    rest: Bytes,
    reader: Reader,
    /// Bytes that came so far.
    pub received: u64,
}

impl Things {
    fn of(answer: Response<Incoming>) -> Self {
        Self { body: answer.into_body(), rest: Bytes::new(), reader: Reader::default(), received: 0 }
    }

    /// What comes next. It waits for as long as the engine lets it.
    ///
    /// # Errors
    /// [`FileError`] when the archive is cut off, or is none.
    pub async fn next(&mut self) -> Result<Event, FileError> {
        loop {
            if let Some(event) = self.reader.next(&mut self.rest)? {
                return Ok(event);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    self.rest = frame.into_data().unwrap_or_default();
                    self.received += self.rest.len() as u64;
                }
                Some(Err(error)) => return Err(EngineError::Cut(error.to_string()).into()),
                None => return Err(EngineError::Cut("the archive has no end".to_owned()).into()),
            }
        }
    }
}

impl Host {
    /// The archive of what is at `path`, as the engine sends it. Links on the
    /// way are followed inside the container; a link at its end is not.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn archive(&self, path: &FilePath) -> Result<Response<Incoming>, FileError> {
        let target = self.target(path, "");
        let opening = self.engines.open(&self.session, &target);
        Ok(timeout(BEGIN_DEADLINE, opening).await.unwrap_or(Err(EngineError::Unresponsive))?)
    }

    /// What is at `path`, with its bytes or what is in it to be read.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn open(&self, path: &FilePath) -> Result<Opened, FileError> {
        let answer = self.archive(path).await?;
        let target = link_target(&answer);
        let mut things = Things::of(answer);
        let first = timeout(BEGIN_DEADLINE, things.next()).await.map_err(|_| EngineError::Unresponsive)?;
        match first? {
            Event::Header(header) => Ok(Opened { header, target, things }),
            Event::Data(_) | Event::End => Err(EngineError::Cut("the archive is empty".to_owned()).into()),
        }
    }

    /// The same where there may be nothing.
    ///
    /// # Errors
    /// [`FileError`], but for its absence.
    pub async fn find(&self, path: &FilePath) -> Result<Option<Opened>, FileError> {
        match self.open(path).await {
            Ok(opened) => Ok(Some(opened)),
            Err(FileError::NoSuchFile) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Unpacks an archive in a folder that is there. A file takes the place of
    /// a file or a link, and never that of a folder.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn unpack(&self, folder: &FilePath, archive: Body, deadline: Duration) -> Result<(), FileError> {
        let request = Request::put(self.target(folder, "&noOverwriteDirNonDir=true"));
        let request = request.header(header::HOST, "docker").header(header::CONTENT_TYPE, "application/x-tar");
        let request = request.body(archive).map_err(|error| EngineError::Cut(error.to_string()))?;
        let unpacking = self.engines.submit(&self.session, request);
        timeout(deadline, unpacking).await.unwrap_or(Err(EngineError::Slow))?;
        Ok(())
    }

    fn target(&self, path: &FilePath, more: &str) -> String {
        let path: String = url::form_urlencoded::byte_serialize(path.as_str().as_bytes()).collect();
        format!("/containers/{}/archive?path={path}{more}", self.container.as_str())
    }
}

fn link_target(answer: &Response<Incoming>) -> Option<String> {
    let stat = answer.headers().get("x-docker-container-path-stat")?.as_bytes();
    if stat.len() > STAT_MAX {
        return None;
    }
    let stat: Stat = serde_json::from_slice(&BASE64.decode(stat).ok()?).ok()?;
    Some(stat.link_target).filter(|target| !target.is_empty())
}
