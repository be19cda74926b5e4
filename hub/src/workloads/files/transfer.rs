//! Files on their way, out of containers and into them. A chunk is asked for
//! when the one before has been taken: whoever is slow makes the other end
//! wait, and nothing piles up here.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt, stream};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::change::Spot;
use super::engine::{Host, Things};
use super::model::{Download, FileError, Form, UPLOAD_MAX};
use super::path::FilePath;
use super::service::Target;
use super::tar::{END, Event, header_of, padding};
use super::text::must_be_file;
use crate::app::App;
use crate::docker::EngineError;
use crate::error::ApiResult;
use crate::http::Lease;
use crate::identity::audit::{Action, Entry, Outcome};

/// Chunks that wait for whoever downloads.
const WAITING_MAX: usize = 4;
/// After this long without a byte, a transfer is given up.
const STALLED_FOR: Duration = Duration::from_secs(5 * 60);
/// How long an upload may take as a whole.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(12 * 3600);

/// A download as it begins.
#[derive(Debug)]
pub struct Sent {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub content_type: &'static str,
    /// How many bytes it has, where that is known before.
    pub length: Option<u64>,
    /// Its bytes.
    pub body: Body,
}

/// Where the bytes of a download come from.
enum Source {
    /// A file in an archive, of which so many bytes are to come.
    File(Things, u64),
    /// An archive as it is.
    Tar(Incoming),
    /// An archive that is compressed; without an encoder it is over.
    TarGz(Incoming, Option<GzEncoder<Vec<u8>>>),
}

impl Source {
    /// What comes next; `None` when all has come.
    async fn next(&mut self) -> Result<Option<Bytes>, FileError> {
        match self {
            Self::File(_, 0) => Ok(None),
            Self::File(things, left) => match things.next().await? {
                Event::Data(data) => {
                    *left = left.saturating_sub(data.len() as u64);
                    Ok(Some(data))
                }
                Event::Header(_) | Event::End => Err(EngineError::Cut("a file is too short".to_owned()).into()),
            },
            Self::Tar(body) => raw(body).await,
            Self::TarGz(body, encoder) => loop {
                let Some(mut open) = encoder.take() else {
                    return Ok(None);
                };
                let broken = |error: io::Error| EngineError::Cut(error.to_string());
                let Some(data) = raw(body).await? else {
                    return Ok(Some(open.finish().map_err(broken)?.into()));
                };
                open.write_all(&data).map_err(broken)?;
                let ready = std::mem::take(open.get_mut());
                *encoder = Some(open);
                if !ready.is_empty() {
                    return Ok(Some(ready.into()));
                }
            },
        }
    }
}

async fn raw(body: &mut Incoming) -> Result<Option<Bytes>, FileError> {
    match body.frame().await {
        Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
        Some(Err(error)) => Err(EngineError::Cut(error.to_string()).into()),
        None => Ok(None),
    }
}

impl App {
    /// Begins a download. It is a good answer only if there is such a file; how
    /// it ended is recorded.
    ///
    /// # Errors
    /// [`FileError`], and as the session says.
    pub(super) async fn download_file(self: &Arc<Self>, target: &Target, asked: Download) -> ApiResult<Sent> {
        let host = self.files_of(target).await?;
        let place = self.place_for_files(&target.caller)?;
        let Download { path, form } = asked;
        let entry = self.file_entry(target, Action::FileDownload, &path);
        self.fleet.note(entry.clone().outcome(Outcome::Begun)).await?;
        let (source, length) = match source(&host, &path, form).await {
            Ok(source) => source,
            Err(error) => {
                self.record_end(entry, Some(error.to_string())).await;
                return Err(error.into());
            }
        };
        let (to, from) = mpsc::channel(WAITING_MAX);
        let app = Arc::clone(self);
        self.lifecycle.tasks.spawn(async move {
            let _place = place;
            let (moved, error) = app.pump(source, to).await;
            app.record_end(entry.fact("bytes", json!(moved)), error.map(|error| error.to_string())).await;
        });
        let chunks = stream::unfold(from, |mut from| async { from.recv().await.map(|chunk| (chunk, from)) });
        let base = path.name().unwrap_or("root");
        let (name, content_type) = match form {
            Form::File => (base.to_owned(), "application/octet-stream"),
            Form::Tar => (format!("{base}.tar"), "application/x-tar"),
            Form::TarGz => (format!("{base}.tar.gz"), "application/gzip"),
        };
        Ok(Sent { name, content_type, length, body: Body::from_stream(chunks) })
    }

    /// Moves all that comes until either end is gone. Gives how much it was.
    async fn pump(&self, mut source: Source, to: mpsc::Sender<io::Result<Bytes>>) -> (u64, Option<FileError>) {
        let mut moved = 0;
        let error = loop {
            let next = tokio::select! {
                next = timeout(STALLED_FOR, source.next()) => next.unwrap_or(Err(EngineError::Unresponsive.into())),
                () = to.closed() => return (moved, Some(FileError::Left)),
                () = self.lifecycle.soft.cancelled() => Err(FileError::HubStops),
            };
            let chunk = match next {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return (moved, None),
                Err(error) => break error,
            };
            moved += chunk.len() as u64;
            if to.send_timeout(Ok(chunk), STALLED_FOR).await.is_err() {
                return (moved, Some(FileError::Left));
            }
        };
        // Whoever reads sees that it is cut off.
        let seen = io::Error::other(error.to_string());
        if to.send_timeout(Err(seen), STALLED_FOR).await.is_err() {
            tracing::debug!("a download was cut off and nobody waits for it");
        }
        (moved, Some(error))
    }

    /// Takes in a file of a known length. One that is there is replaced only
    /// where that is wanted, and keeps its owner and permissions.
    ///
    /// # Errors
    /// [`FileError`], and as the session says.
    pub(super) async fn upload_file(
        self: &Arc<Self>,
        target: &Target,
        path: FilePath,
        replaces: Replaces,
        (body, lease): (Body, Lease),
    ) -> ApiResult<()> {
        let size = body.size_hint().exact().filter(|size| *size <= UPLOAD_MAX).ok_or(FileError::Length)?;
        let host = self.files_of(target).await?;
        let place = self.place_for_files(&target.caller)?;
        let entry: Entry = self.file_entry(target, Action::FileWrite, &path).fact("bytes", json!(size));
        let now = self.clock.now();
        let uploading = async move {
            let _place = place;
            let spot = match (host.find(&path).await?, replaces) {
                (None, _) => host.new_spot(&path, now).await?,
                (Some(_), Replaces::Nothing) => return Err(FileError::Exists),
                (Some(opened), Replaces::File) => {
                    must_be_file(&opened)?;
                    Spot::of(&path, &opened.header, now)?
                }
            };
            let (archive, is_broken) = archive_of(&spot, size, body);
            tokio::select! {
                done = host.unpack(&spot.folder, archive, UPLOAD_DEADLINE) => match done {
                    Err(_) if is_broken.load(Ordering::Relaxed) => Err(FileError::Incomplete),
                    done => done,
                },
                () = lease.ended() => Err(FileError::Incomplete),
            }
        };
        self.recorded(entry, uploading).await
    }
}

/// What an upload may take the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaces {
    /// There must be nothing.
    Nothing,
    /// A file.
    File,
}

async fn source(host: &Host, path: &FilePath, form: Form) -> Result<(Source, Option<u64>), FileError> {
    match form {
        Form::File => {
            let opened = host.open(path).await?;
            must_be_file(&opened)?;
            let size = opened.header.size;
            Ok((Source::File(opened.things, size), Some(size)))
        }
        Form::Tar | Form::TarGz => {
            let opened = host.archive(path).await?;
            let body = opened.into_body();
            let encoder = GzEncoder::new(Vec::new(), Compression::fast());
            Ok((if form == Form::Tar { Source::Tar(body) } else { Source::TarGz(body, Some(encoder)) }, None))
        }
    }
}

/// An archive of one file whose bytes come from a request, and whether they
/// did not come whole.
fn archive_of(spot: &Spot, size: u64, body: Body) -> (Body, Arc<AtomicBool>) {
    let is_broken = Arc::new(AtomicBool::new(false));
    let head = [&spot.above[..], &header_of(&spot.file(size))].concat();
    let tail = [padding(size), &END].concat();
    let middle = Middle { from: body.into_data_stream(), left: size, is_broken: Arc::clone(&is_broken) };
    let middle = stream::try_unfold(middle, Middle::next);
    let archive = stream::iter([Ok(Bytes::from(head))]).chain(middle).chain(stream::iter([Ok(Bytes::from(tail))]));
    (Body::from_stream(archive), is_broken)
}

/// The bytes of an upload.
struct Middle {
    from: BodyDataStream,
    left: u64,
    is_broken: Arc<AtomicBool>,
}

impl Middle {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.left == 0 {
            return Ok(None);
        }
        match timeout(STALLED_FOR, self.from.next()).await {
            Ok(Some(Ok(data))) if data.len() as u64 <= self.left => {
                self.left -= data.len() as u64;
                Ok(Some((data, self)))
            }
            Ok(Some(_) | None) | Err(_) => {
                self.is_broken.store(true, Ordering::Relaxed);
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}
