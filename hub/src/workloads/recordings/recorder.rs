//! Makes one recording: takes what its terminal prints, and writes it down in
//! parts while it is open.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::Live;
use super::model::{NewRecording, RecordingState};
use super::service::sealed;
use super::store::{self, Progress};
use super::tape::{Course, Part, Tape};
use crate::app::App;
use crate::clock::Timestamp;
use crate::db::DbError;

/// What was printed is written down this long after at the latest: what a hub
/// that is killed loses.
const WRITE_EVERY: Duration = Duration::from_secs(2);
/// What cannot be written is tried again for this long. Then the recording is
/// broken off, and its terminal ends.
const TRY_FOR: Duration = Duration::from_secs(15);
/// The last part and the end of a recording are written within this.
const END_DEADLINE: Duration = Duration::from_secs(35);
/// How long to wait before.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// All of it is there.
    Whole,
    /// It is there as far as it may be long.
    Cut,
    /// Its end is missing.
    BrokenOff,
}

impl Kept {
    /// The name in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "complete",
            Self::Cut => "cut",
            Self::BrokenOff => "broken_off",
        }
    }
}

/// Why a part was not written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("the database did not take it in time")]
    Late,
}

/// The terminal's end of its recording.
#[derive(Debug)]
pub struct Recorder {
    id: Uuid,
    began: Instant,
    began_at: Timestamp,
    tape: watch::Sender<Tape>,
}

impl Recorder {
    /// Takes what was printed.
    pub fn print(&self, bytes: &[u8]) {
        self.tape.send_modify(|tape| tape.print(self.began.elapsed(), bytes));
    }

    /// Takes how many columns and rows the terminal has from now on.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.tape.send_modify(|tape| tape.resize(self.began.elapsed(), (columns, rows)));
    }

    /// Whether it is full: the terminal goes on without it.
    pub fn is_cut(&self) -> bool {
        self.tape.borrow().is_cut()
    }

    /// Waits until more can be taken.
    pub async fn has_room(&self) {
        // Cannot fail: the sender is here.
        self.tape.subscribe().wait_for(Tape::has_room).await.ok();
    }

    /// Waits until it cannot go on.
    pub async fn broken(&self) {
        self.tape.subscribe().wait_for(|tape| matches!(tape.course, Course::Failing | Course::Broken)).await.ok();
    }

    /// The terminal never began.
    pub fn discard(&self) {
        self.tape.send_modify(|tape| tape.course = Course::Void);
    }

    /// The terminal ended: waits until what it printed is written, and tells
    /// how that went.
    pub async fn finish(&self) -> Kept {
        self.tape.send_modify(|tape| tape.end(self.began.elapsed()));
        let mut tape = self.tape.subscribe();
        let ended = tape.wait_for(|tape| matches!(tape.course, Course::Kept | Course::Broken));
        // Whoever writes it gives up before.
        timeout(END_DEADLINE, ended).await.ok();
        let tape = self.tape.borrow();
        match (tape.course, tape.is_cut()) {
            (Course::Kept, true) => Kept::Cut,
            (Course::Kept, false) => Kept::Whole,
            (Course::On | Course::Over | Course::Void | Course::Failing | Course::Broken, _) => Kept::BrokenOff,
        }
    }
}

impl App {
    /// Begins a recording. It is written down until its terminal says that it
    /// is over.
    ///
    /// # Errors
    /// When the database does not take it: then there must be no terminal.
    pub async fn begin_recording(self: &Arc<Self>, new: NewRecording) -> Result<Arc<Recorder>, DbError> {
        let live = self.recordings.begin(new.id);
        let began_at = self.clock.now();
        let mut tx = self.db.write().await?;
        store::insert(&mut tx, &new, began_at).await?;
        tx.commit().await?;
        let tape = watch::Sender::new(Tape::new(new.size));
        let recorder = Arc::new(Recorder { id: new.id, began: Instant::now(), began_at, tape });
        let (app, shared) = (Arc::clone(self), Arc::clone(&recorder));
        self.lifecycle.tasks.spawn(async move { app.write_recording(&shared, live).await });
        Ok(recorder)
    }

    async fn write_recording(&self, recorder: &Recorder, live: Live) {
        let written = self.write_parts(recorder).await;
        if let Err(error) = &written {
            tracing::error!(recording.id = %recorder.id, %error, "a recording could not be written, its terminal ends");
            recorder.tape.send_modify(|tape| tape.course = Course::Failing);
        }
        let state = if written.is_ok() { RecordingState::Complete } else { RecordingState::BrokenOff };
        let ended = match recorder.tape.borrow().course {
            Course::Void => None,
            Course::On | Course::Over | Course::Kept | Course::Failing | Course::Broken => Some(state),
        };
        let kept = match timeout(TRY_FOR, self.end_recording(recorder, ended)).await {
            Ok(()) if written.is_ok() => Course::Kept,
            // It is ended as broken off with the others that are.
            Ok(()) | Err(_) => Course::Broken,
        };
        drop(live);
        recorder.tape.send_modify(|tape| tape.course = kept);
        if let Err(error) = self.delete_old_recordings().await {
            tracing::warn!(%error, "old recordings could not be deleted");
        }
    }

    /// Writes part after part until the terminal is over and all is written.
    async fn write_parts(&self, recorder: &Recorder) -> Result<(), WriteError> {
        let mut tape = recorder.tape.subscribe();
        let mut progress = Progress::default();
        loop {
            // The sender is the recorder's, which is held here.
            tape.wait_for(|tape| tape.has_waiting() || tape.is_pressing()).await.ok();
            tokio::select! {
                _ = tape.wait_for(Tape::is_pressing) => {}
                () = sleep(WRITE_EVERY) => {}
            }
            let (mut part, mut is_over) = (None, false);
            recorder.tape.send_modify(|tape| {
                is_over = tape.course != Course::On;
                part = (tape.course != Course::Void).then(|| tape.take());
            });
            let Some(part) = part else {
                return Ok(());
            };
            self.write_part(recorder.id, &part, &mut progress).await?;
            if is_over {
                return Ok(());
            }
        }
    }

    async fn write_part(&self, id: Uuid, part: &Part, progress: &mut Progress) -> Result<(), WriteError> {
        progress.millis = i64::try_from(part.lasted.as_millis()).unwrap_or(i64::MAX);
        progress.bytes = i64::try_from(part.bytes).unwrap_or(i64::MAX);
        progress.is_cut = part.is_cut;
        let number = progress.chunks;
        let chunk = (!part.lines.is_empty()).then(|| sealed(&self.vault, id, number, &part.lines));
        if let Some(chunk) = &chunk {
            progress.stored_bytes += i64::try_from(chunk.len()).unwrap_or(i64::MAX);
            progress.chunks += 1;
        }
        let trying = async {
            loop {
                match self.try_write_part(id, number, chunk.as_deref(), progress).await {
                    Ok(()) => return Ok(()),
                    Err(error @ (DbError::Unavailable(_) | DbError::Locked(_))) => {
                        tracing::warn!(recording.id = %id, %error, "a recording waits for the database");
                        sleep(TRY_AGAIN).await;
                    }
                    Err(error) => return Err(WriteError::from(error)),
                }
            }
        };
        timeout(TRY_FOR, trying).await.map_err(|_| WriteError::Late)?
    }

    async fn try_write_part(
        &self,
        id: Uuid,
        number: i64,
        chunk: Option<&[u8]>,
        progress: &Progress,
    ) -> Result<(), DbError> {
        let mut tx = self.db.write().await?;
        if let Some(chunk) = chunk {
            store::insert_chunk(&mut tx, id, number, chunk).await?;
        }
        store::set_progress(&mut tx, id, progress).await?;
        tx.commit().await
    }

    /// Ends its row, or takes it away. Tries until that is done.
    async fn end_recording(&self, recorder: &Recorder, state: Option<RecordingState>) {
        let ended_at = recorder.began_at + recorder.began.elapsed();
        let end = async || {
            let mut tx = self.db.write_vital().await?;
            match state {
                Some(state) => store::end(&mut tx, recorder.id, state, ended_at).await?,
                None => store::delete(&mut tx, recorder.id).await?,
            };
            tx.commit().await
        };
        while let Err(error) = end().await {
            tracing::warn!(recording.id = %recorder.id, %error, "the end of a recording was not written");
            sleep(TRY_AGAIN).await;
        }
    }
}
