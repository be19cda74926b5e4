//! Giving recordings to those who may see them, and taking away what is over.

use std::io::{self, Read, Write};
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use futures_util::stream;
use serde_json::json;
use uuid::Uuid;
use windflow_protocol::asciicast::Head;
use windflow_protocol::ids::EnvironmentId;

use super::model::{Recording, RecordingFilter, RecordingState};
use super::store;
use super::tape::CHUNK_MAX;
use crate::app::App;
use crate::db::DbError;
use crate::error::{ApiError, ApiResult};
use crate::http::{Caller, List, Page, Visible};
use crate::identity::audit::{self, Action, Actor, Entry};
use crate::vault::{Place, Vault, VaultError};

/// Recordings that are deleted in one transaction where they take too much
/// room.
const DELETED_AT_ONCE: i64 = 100;

/// Why a part of a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// There is no such part.
    #[error("a part of the recording is not there any more")]
    Missing,
    /// It was not sealed for this place.
    #[error(transparent)]
    Sealed(#[from] VaultError),
    /// It is not what was packed.
    #[error("a part of the recording cannot be unpacked")]
    Packed(#[from] io::Error),
}

impl App {
    /// The recordings that match, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn list_recordings(
        &self,
        filter: &RecordingFilter,
        visible: &Visible,
        page: Page,
    ) -> Result<List<Recording>, DbError> {
        let mut tx = self.db.read().await?;
        let items = store::list(&mut tx, filter, visible, page).await?;
        Ok(List { items, total: store::count(&mut tx, filter, visible).await? })
    }

    /// One recording.
    ///
    /// # Errors
    /// 404 where there is none.
    pub(super) async fn recording(&self, id: Uuid) -> ApiResult<Recording> {
        let found = store::find(&mut self.db.read().await?, id).await?;
        found.ok_or_else(|| ApiError::not_found("recording"))
    }

    /// A recording as asciicast, as it is at this moment. That it was given is
    /// recorded first.
    ///
    /// # Errors
    /// 404 where there is none.
    pub(super) async fn cast(self: &Arc<Self>, id: Uuid, caller: &Caller) -> ApiResult<Body> {
        let recording = self.recording(id).await?;
        self.fleet.note(entry(&recording, Action::RecordingRead, caller)).await?;
        let app = Arc::clone(self);
        let head = stream::iter([Ok(Bytes::from(head(&recording).line()))]);
        let parts = stream::unfold(0, move |number| {
            let app = Arc::clone(&app);
            async move {
                if number >= recording.chunks {
                    return None;
                }
                let part = app.read_part(id, number).await.map_err(|error| {
                    tracing::error!(recording.id = %id, number, %error, "a recording cannot be read to its end");
                    io::Error::other(error)
                });
                // Nothing follows what could not be read.
                let next = if part.is_ok() { number + 1 } else { recording.chunks };
                Some((part, next))
            }
        });
        Ok(Body::from_stream(futures_util::StreamExt::chain(head, parts)))
    }

    /// The lines of one part.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(super) async fn read_part(&self, id: Uuid, number: i64) -> Result<Bytes, ReadError> {
        let sealed = store::find_chunk(&mut self.db.read().await?, id, number).await?.ok_or(ReadError::Missing)?;
        opened(&self.vault, id, number, &sealed)
    }

    /// Deletes a recording.
    ///
    /// # Errors
    /// 404 where there is none, 409 while its terminal is open.
    pub(super) async fn delete_recording(&self, id: Uuid, caller: &Caller) -> ApiResult<()> {
        let mut tx = self.db.write_vital().await?;
        let found = store::find(&mut tx, id).await?.ok_or_else(|| ApiError::not_found("recording"))?;
        if found.state == RecordingState::Running {
            let message = "Its terminal is open. Close the terminal first.";
            return Err(ApiError::conflict("recording_running", message));
        }
        store::delete(&mut tx, id).await?;
        audit::record(&mut tx, entry(&found, Action::RecordingDelete, caller), self.clock.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Ends the recordings whose hub did not live to: they are as long as what
    /// was written of them. How many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_broken_recordings(&self) -> Result<u64, DbError> {
        let left = store::list_running(&mut self.db.read().await?).await?;
        // After the rows: what ends in between is over there, too.
        let live = self.recordings.live();
        let mut ended = 0;
        for recording in left.into_iter().filter(|recording| !live.contains(&recording.id)) {
            let lasted = std::time::Duration::from_secs_f64(recording.seconds.max(0.0));
            let mut tx = self.db.write_vital().await?;
            let broken = RecordingState::BrokenOff;
            ended += u64::from(store::end(&mut tx, recording.id, broken, recording.began_at + lasted).await?);
            tx.commit().await?;
        }
        Ok(ended)
    }

    /// Deletes the recordings whose time is over, the oldest of environments
    /// with too many, and the oldest of all where they take too much room. How
    /// many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_old_recordings(&self) -> Result<u64, DbError> {
        let options = self.recordings.options;
        let mut tx = self.db.write_vital().await?;
        let mut deleted = store::delete_before(&mut tx, self.clock.now() - options.life()).await?;
        for environment in store::list_above(&mut tx, options.recordings_max.into()).await? {
            deleted += store::delete_above(&mut tx, environment, options.recordings_max.into()).await?;
        }
        tx.commit().await?;
        loop {
            match self.delete_excess(options.bytes_max()).await? {
                0 => return Ok(deleted),
                more => deleted += more,
            }
        }
    }

    /// Deletes some of the oldest recordings, where all together take more than
    /// `most` bytes. How many.
    async fn delete_excess(&self, most: i64) -> Result<u64, DbError> {
        let mut tx = self.db.write_vital().await?;
        let mut excess = store::stored_bytes(&mut tx).await? - most;
        let mut deleted = 0;
        if excess > 0 {
            for (id, bytes) in store::list_oldest(&mut tx, DELETED_AT_ONCE).await? {
                if excess <= 0 {
                    break;
                }
                deleted += u64::from(store::delete(&mut tx, id).await?);
                excess -= bytes;
            }
        }
        tx.commit().await?;
        Ok(deleted)
    }
}

fn entry(recording: &Recording, action: Action, caller: &Caller) -> Entry {
    Entry::new(&Actor::from(caller), action, &recording.id.to_string())
        .environment(EnvironmentId(recording.environment_id))
        .called(recording.container_name.as_deref())
        .fact("container", json!(recording.container))
        .fact("user", json!(recording.user_name))
        .fact("began_at", json!(recording.began_at))
}

fn head(recording: &Recording) -> Head {
    let command = recording.command.as_ref().map(|command| command.join(" "));
    let what = command.as_deref().unwrap_or("main process");
    let container = recording.container_name.as_ref().unwrap_or(&recording.container);
    let title = format!("{what} in {container} on {} by {}", recording.environment_name, recording.user_name);
    let began = recording.began_at.as_datetime().unix_timestamp();
    Head::new((recording.columns, recording.rows), began, Some(recording.seconds), title).command(command)
}

/// Lines as they are stored: packed, then sealed for their place.
pub fn sealed(vault: &Vault, id: Uuid, number: i64, lines: &str) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    let packed = encoder.write_all(lines.as_bytes()).and_then(|()| encoder.finish());
    let packed = packed.expect("writing into memory cannot fail");
    let row = row(id, number);
    vault.seal(&place(&row), &packed)
}

/// The lines again.
fn opened(vault: &Vault, id: Uuid, number: i64, sealed: &[u8]) -> Result<Bytes, ReadError> {
    let row = row(id, number);
    let packed = vault.open(&place(&row), sealed)?;
    let mut lines = Vec::new();
    // Nothing longer was ever packed.
    ZlibDecoder::new(&packed[..]).take(CHUNK_MAX as u64 + 1).read_to_end(&mut lines)?;
    if lines.len() > CHUNK_MAX {
        return Err(io::Error::other("it is longer than any part").into());
    }
    Ok(lines.into())
}

fn row(id: Uuid, number: i64) -> String {
    format!("{id}/{number}")
}

fn place(row: &str) -> Place<'_> {
    Place { table: "recording_chunks", row, column: "content_sealed" }
}
