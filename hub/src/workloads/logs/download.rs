//! A log as one text: every byte of it, at the pace of whoever reads it.

use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::time::timeout;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::logs::{LogBatch, LogPart, LogStream, LogsRequest};

use super::model::Why;
use super::source::{Ending, Event, LogReader};
use crate::app::App;
use crate::docker::EngineError;
use crate::error::{ApiError, ApiResult};
use crate::http::UserId;
use crate::http::websocket::Place;

/// The agent must have found the log's beginning within this: longer than an
/// engine may take to answer it.
const BEGIN_DEADLINE: Duration = Duration::from_secs(45);
/// How a line's time is written.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:9]Z ");

/// Whether lines have their times before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Written,
    LeftOut,
}

/// The places that a download takes: of its user, and on its environment.
type Taken = (Place<Option<UserId>>, Place<EnvironmentId>);

/// Begins to read a log. It is a good answer only if there is a log.
///
/// # Errors
/// As the session, the agent and the engine say.
pub async fn begin(
    app: &App,
    user: Option<UserId>,
    environment: EnvironmentId,
    request: LogsRequest,
    times: Times,
) -> ApiResult<Body> {
    let session = app.session(environment).await?;
    let crowded =
        || ApiError::unavailable("too_many_logs", "Too many logs are read at once. Close some of your windows.");
    let reading = app.logs.readers.take(user).ok_or_else(crowded)?;
    let place = app.logs.sources.take(environment).ok_or_else(crowded)?;
    let mut reader = LogReader::open(&session, &request).await?;
    let first = timeout(BEGIN_DEADLINE, reader.next()).await.map_err(|_| EngineError::Unresponsive)?;
    if let Event::Ended(ending) = &first
        && ending.why != Why::Complete
    {
        return Err(ending.clone().into());
    }
    let text = Text { times, open: None };
    let download = Download { reader, text, first: Some(first), _taken: (reading, place) };
    Ok(Body::from_stream(stream::try_unfold(download, Download::next)))
}

struct Download {
    reader: LogReader,
    text: Text,
    first: Option<Event>,
    _taken: Taken,
}

impl Download {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        loop {
            let event = match self.first.take() {
                Some(first) => first,
                None => self.reader.next().await,
            };
            match event {
                Event::Lines(batch) => return Ok(Some((self.text.write(&batch), self))),
                Event::CaughtUp => {}
                Event::Ended(Ending { why: Why::Complete, .. }) => return Ok(None),
                // Whoever reads sees that the text is cut off.
                Event::Ended(ending) => return Err(io::Error::other(ending.message)),
            }
        }
    }
}

/// Puts parts of lines together again.
struct Text {
    times: Times,
    /// Whose line has not ended.
    open: Option<LogStream>,
}

impl Text {
    fn write(&mut self, batch: &LogBatch) -> Bytes {
        let mut written = Vec::with_capacity(batch.text.len() + 32 * batch.lines.len());
        for (line, text) in batch.lines().into_iter().flatten() {
            if self.open != Some(line.stream) {
                // What the other stream says in the middle of a line breaks it, as in a terminal.
                if self.open.is_some() {
                    written.push(b'\n');
                }
                self.write_time(line.time, &mut written);
            }
            written.extend_from_slice(text);
            self.open = (line.part == LogPart::Continued).then_some(line.stream);
            if self.open.is_none() {
                written.push(b'\n');
            }
        }
        written.into()
    }

    fn write_time(&self, nanos: i64, written: &mut Vec<u8>) {
        if self.times == Times::Written
            && let Ok(time) = OffsetDateTime::from_unix_timestamp_nanos(nanos.into())
        {
            // Every moment that 64 bits of nanoseconds can name has this form.
            time.format_into(written, TIME).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use windflow_protocol::message::logs::LogLine;

    use super::*;

    fn text(times: Times, lines: &[(LogStream, LogPart, &str)]) -> String {
        let mut text = Text { times, open: None };
        let line = |(stream, part, text): &(LogStream, LogPart, &str)| {
            let length = u32::try_from(text.len()).unwrap();
            let lines = vec![LogLine { time: 1_750_000_000_000_000_001, stream: *stream, part: *part, length }];
            LogBatch { skipped: 0, lines, text: text.as_bytes().to_vec() }
        };
        let written: Vec<u8> = lines.iter().flat_map(|part| text.write(&line(part))).collect();
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn lines_have_their_times_where_that_is_asked_for() {
        let lines = [(LogStream::Stdout, LogPart::Whole, "a"), (LogStream::Stderr, LogPart::Whole, "")];
        assert_eq!(text(Times::LeftOut, &lines), "a\n\n");
        let time = "2025-06-15T15:06:40.000000001Z ";
        assert_eq!(text(Times::Written, &lines), format!("{time}a\n{time}\n"));
    }

    #[test]
    fn parts_of_a_line_are_one_line_unless_the_other_stream_breaks_it() {
        let (out, err) = (LogStream::Stdout, LogStream::Stderr);
        let lines = [(out, LogPart::Continued, "a"), (out, LogPart::Continued, "b"), (out, LogPart::Whole, "c")];
        assert_eq!(text(Times::LeftOut, &lines), "abc\n");
        let lines = [(out, LogPart::Continued, "a"), (err, LogPart::Whole, "x"), (out, LogPart::Whole, "b")];
        assert_eq!(text(Times::LeftOut, &lines), "a\nx\nb\n");
    }
}
