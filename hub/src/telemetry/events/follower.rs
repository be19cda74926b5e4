//! One session's events, written in batches. What is not written was not heard:
//! it is asked for again.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tokio::time::sleep;
use windflow_protocol::codec::{self, CodecError};
use windflow_protocol::message::events::{Event, EventGap, EventsMessage, EventsRequest};
use windflow_protocol::message::preamble::StreamKind;
use windflow_protocol::text::sanitize;
use windflow_protocol::transport::{Priority, Stream as Tunnelled};

use super::model::GAP;
use super::store::{self, Row};
use crate::app::AppState;
use crate::clock::Timestamp;
use crate::db::DbError;
use crate::tunnel::{News, Session, StreamError};

/// Most events that are written at once.
const BATCH_MAX: usize = 500;
/// Between two batches others may write, and what happens is gathered.
const PACE: Duration = Duration::from_millis(250);
/// After so many new rows of one session its environment is cut to its bound.
const TRIM_EVERY: u64 = 1000;

/// Why events of a session do not come.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// No stream could be opened.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// What came is no event, or nothing comes any more.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// They could not be written.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Takes in and writes what the agent tells for as long as the session lives.
///
/// # Errors
/// Why that ended.
pub async fn follow(app: &AppState, session: &Session) -> Result<Infallible, FollowError> {
    let environment = session.environment;
    let after = store::find_last(&mut app.db.read().await?, environment).await?;
    let mut stream = session.open(StreamKind::Events, Priority::Normal).await?;
    codec::write_message(&mut stream, &EventsRequest { after: after.map(Row::into_mark) }).await?;
    let _listening = app.events.listen(environment, app.clock.clone());
    take_all(app, session, stream).await
}

async fn take_all(app: &AppState, session: &Session, stream: Tunnelled) -> Result<Infallible, FollowError> {
    let mut batches = std::pin::pin!(messages(stream).ready_chunks(BATCH_MAX));
    let mut untrimmed = 0;
    loop {
        let batch = batches.next().await.unwrap_or_default();
        let mut rows = Vec::new();
        let mut end = None;
        for message in batch {
            match message {
                Ok(message) => rows.extend(row(app, session, message)),
                Err(CodecError::UnknownVariant { variant, .. }) => {
                    tracing::debug!(session.id = %session.id, variant, "passed over an event of a newer agent");
                }
                Err(error) => end = Some(error),
            }
        }
        untrimmed += write(app, session, &rows).await?;
        if let Some(error) = end {
            return Err(error.into());
        }
        if untrimmed >= TRIM_EVERY {
            untrimmed = 0;
            app.trim_events(session.environment).await?;
        }
        sleep(PACE).await;
    }
}

/// The messages one after the other, the reason of the end as the last.
fn messages(stream: Tunnelled) -> impl Stream<Item = Result<EventsMessage, CodecError>> {
    stream::unfold(Some(stream), |stream| async {
        let mut stream = stream?;
        let message = codec::read_message(&mut stream).await;
        let goes_on = matches!(message, Ok(_) | Err(CodecError::UnknownVariant { .. }));
        Some((message, goes_on.then_some(stream)))
    })
}

/// Writes what is not there yet, and tells those who look on. How much it was.
async fn write(app: &AppState, session: &Session, rows: &[Row]) -> Result<u64, DbError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let mut tx = app.db.write().await?;
    let mut new = 0;
    for row in rows {
        new += store::insert(&mut tx, row).await?;
    }
    tx.commit().await?;
    if new > 0 {
        if let Some(last) = rows.iter().filter(|row| row.kind != GAP).max_by_key(|row| row.nanos) {
            app.fleet.told().put_event(session.environment, last.summary());
        }
        app.sessions.feed().post(News::Events(session.environment));
    }
    Ok(new)
}

/// What is written of a message; `None` where it is too old to be kept, or its
/// time is none.
fn row(app: &AppState, session: &Session, message: EventsMessage) -> Option<Row> {
    let row = match message {
        EventsMessage::Event(event) => of_event(session, event),
        EventsMessage::Gap(gap) => of_gap(session, gap, app.events.heard_until(session.environment)),
    };
    row.filter(|row| row.at > app.clock.now() - app.events.options.life())
}

fn of_event(session: &Session, event: Event) -> Option<Row> {
    let facts: BTreeMap<String, String> =
        event.facts.iter().map(|(name, value)| (sanitize(name), sanitize(value))).collect();
    let id = sanitize(&event.id);
    let container = if event.kind == "container" { Some(id.clone()) } else { facts.get("container").cloned() };
    Some(Row {
        id: uuid::Uuid::now_v7(),
        environment_id: session.environment.0,
        at: time_of(event.time)?,
        nanos: event.time,
        kind: sanitize(&event.kind),
        action: sanitize(&event.action),
        object_id: id,
        object_name: sanitize(&event.name),
        container_id: container,
        facts: sqlx::types::Json(facts),
    })
}

/// A gap stands where it ends. What was heard in it is cut off.
fn of_gap(session: &Session, gap: EventGap, heard: Option<Timestamp>) -> Option<Row> {
    let (from, until) = (time_of(gap.from)?, time_of(gap.until)?);
    let from = heard.map_or(from, |heard| heard.max(from)).min(until);
    let facts = BTreeMap::from([("from".to_owned(), from.to_string())]);
    Some(Row {
        id: uuid::Uuid::now_v7(),
        environment_id: session.environment.0,
        at: until,
        nanos: gap.until,
        kind: GAP.to_owned(),
        action: GAP.to_owned(),
        object_id: String::new(),
        object_name: String::new(),
        container_id: None,
        facts: sqlx::types::Json(facts),
    })
}

fn time_of(nanos: i64) -> Option<Timestamp> {
    Timestamp::from_micros(nanos / 1000).ok()
}
