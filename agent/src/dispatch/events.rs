//! The events stream: what happened on the engine since the hub last heard of
//! it, and each event as it happens. What a hub does not take in time is told
//! later, as far as it is kept, and otherwise named as a gap.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use windflow_protocol::codec::{self, CodecError};
use windflow_protocol::limits::PREAMBLE_DEADLINE;
use windflow_protocol::message::events::{EventMark, EventsMessage, EventsRequest};
use windflow_protocol::transport::{ResetCode, Stream};

use crate::engine::{Events, Missed};

/// Bytes that are gathered before they are sent.
const BATCH: usize = 16 * 1024;

/// Serves one until the hub leaves.
pub(super) async fn serve(mut stream: Stream, events: &Events) {
    let request: EventsRequest = match timeout(PREAMBLE_DEADLINE, codec::read_message(&mut stream)).await {
        Ok(Ok(request)) => request,
        Ok(Err(_)) => return stream.reset(ResetCode::Malformed),
        Err(_) => return stream.reset(ResetCode::Deadline),
    };
    let (mut reader, mut writer) = tokio::io::split(stream);
    tokio::select! {
        told = tell(&mut writer, events, request.after) => if let Err(error) = told {
            tracing::debug!(%error, "the events stream ended");
        },
        // The hub says nothing more: it leaves, or makes no sense.
        _ = reader.read_u8() => {}
    }
    reader.unsplit(writer).reset(ResetCode::Cancelled);
}

async fn tell(to: &mut (impl AsyncWrite + Unpin), events: &Events, after: Option<EventMark>) -> Result<(), CodecError> {
    let mut newest = events.follow_for_good();
    let number_of_last = || after.as_ref().and_then(|mark| events.number_of(mark));
    let mut number = number_of_last();
    if number.is_none() {
        // What the engine kept of before has to be asked of it first.
        if newest.wait_for(|told| told.since.is_some()).await.is_err() {
            return Ok(());
        }
        number = number_of_last();
    }
    let mut known = after.as_ref().map(|mark| mark.time);
    loop {
        let since = newest.borrow_and_update().since.unwrap_or_default();
        let (told, last) = match number.map(|number| events.after(number)) {
            Some(Ok(told)) => told,
            Some(Err(Missed)) | None => events.all_kept(known, since),
        };
        send(to, &told).await?;
        number = Some(last);
        known = told.iter().filter_map(|told| time_of(told)).max().max(known);
        if newest.changed().await.is_err() {
            return Ok(());
        }
    }
}

const fn time_of(told: &EventsMessage) -> Option<i64> {
    match told {
        EventsMessage::Event(event) => Some(event.time),
        EventsMessage::Gap(_) => None,
    }
}

async fn send(to: &mut (impl AsyncWrite + Unpin), told: &[Arc<EventsMessage>]) -> Result<(), CodecError> {
    let mut batch = Vec::new();
    for message in told {
        match codec::frame(&**message) {
            Ok(framed) => batch.extend_from_slice(&framed),
            // Its texts were cut to fit; one that does not is left out.
            Err(error) => tracing::warn!(%error, "an event of the engine's cannot be told"),
        }
        if batch.len() >= BATCH {
            to.write_all(&std::mem::take(&mut batch)).await?;
        }
    }
    to.write_all(&batch).await?;
    Ok(to.flush().await?)
}
