//! A container's log, read from the engine and passed on to the hub: split into
//! lines with their times, filtered here so that only what is wanted crosses the
//! link, and bounded whatever the container says and however slow the hub is.

mod ask;
mod filter;
mod lines;
mod outbox;
mod parse;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until, timeout};
use windflow_protocol::codec::read_message;
use windflow_protocol::limits::PREAMBLE_DEADLINE;
use windflow_protocol::message::logs::{LogPace, LogsEnd, LogsRequest};
use windflow_protocol::transport::{ResetCode, Stream};

use self::ask::Answer;
pub use self::filter::{Filter, FilterError};
use self::lines::{Lines, Rest};
use self::outbox::Outbox;
use self::parse::Parser;
use crate::engine::Engine;

/// The hub has this long to take note of the end before the stream is let go.
const LINGER: Duration = Duration::from_secs(5);
/// An engine that has said nothing yet for this long has nothing old to say.
const QUIET_FIRST: Duration = Duration::from_millis(500);
/// The same between two pieces of what it says.
const QUIET: Duration = Duration::from_millis(150);

/// Answers one request for logs, and ends with it: with the words of the host's
/// policy, where that refuses them.
pub(super) async fn serve(mut stream: Stream, engine: &Engine, refused: Option<String>) {
    let request: LogsRequest = match timeout(PREAMBLE_DEADLINE, read_message(&mut stream)).await {
        Ok(Ok(request)) => request,
        Ok(Err(error)) => {
            tracing::debug!(%error, "refused a stream without a request for logs");
            return stream.reset(ResetCode::Malformed);
        }
        Err(_) => return stream.reset(ResetCode::Deadline),
    };
    let mut outbox = Outbox::default();
    if let Some(message) = refused {
        outbox.end(LogsEnd::Unreadable { message });
        return say_goodbye(stream, outbox).await;
    }
    let filter = match Filter::new(&request.filter) {
        Ok(filter) => filter,
        Err(error) => {
            outbox.end(LogsEnd::BadFilter { message: error.to_string() });
            return say_goodbye(stream, outbox).await;
        }
    };
    let answer = match ask::open(engine, &request).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(end)) => {
            outbox.end(end);
            return say_goodbye(stream, outbox).await;
        }
        Err(error) => {
            tracing::debug!(%error, "engine cannot be reached");
            return stream.reset(ResetCode::EngineUnavailable);
        }
    };
    let (hub_says, to_hub) = tokio::io::split(stream);
    let mut reading = Reading::new(&request, filter, answer, outbox);
    let mut ways = Ways { hub_says, to_hub };
    let Ok(ended) = reading.run(&mut ways).await else {
        // The hub has no more interest, or the session has ended.
        return;
    };
    let end = match ended {
        Ended::Engine if request.pace == LogPace::Followed => {
            tokio::select! {
                end = ask::fate(engine, &request.container) => end,
                _ = ways.gone() => return,
            }
        }
        Ended::Engine => LogsEnd::Complete,
        Ended::Broken => LogsEnd::EngineGone,
    };
    reading.outbox.end(end);
    say_goodbye(ways.hub_says.unsplit(ways.to_hub), reading.outbox).await;
}

/// Writes what is left, at the hub's pace, and ends the stream once the hub has
/// let it go.
async fn say_goodbye(mut stream: Stream, mut outbox: Outbox) {
    let writing = async {
        loop {
            let bytes = outbox.unwritten().map_err(io::Error::other)?;
            if bytes.is_empty() {
                stream.shutdown().await?;
                // Letting go first would cut it.
                timeout(LINGER, stream.read_u8()).await.ok();
                return Ok(());
            }
            let written = stream.write(bytes).await?;
            outbox.wrote(written);
        }
    };
    let written: io::Result<()> = writing.await;
    if let Err(error) = written {
        tracing::debug!(%error, "the hub did not hear a log to its end");
    }
}

/// The two directions of the stream.
struct Ways {
    hub_says: ReadHalf<Stream>,
    to_hub: WriteHalf<Stream>,
}

impl Ways {
    /// Ends when the hub lets the stream go: it has nothing more to say.
    async fn gone(&mut self) -> io::Error {
        match self.hub_says.read_u8().await {
            Ok(_) => io::ErrorKind::InvalidData.into(),
            Err(error) => error,
        }
    }
}

/// Why nothing more is read.
enum Ended {
    /// The engine has said all.
    Engine,
    /// What the engine said broke off, or was no log.
    Broken,
}

/// One log on its way.
struct Reading {
    answer: Answer,
    parser: Parser,
    lines: Lines,
    outbox: Outbox,
    backlog: Backlog,
}

/// When a log that is followed has no more to say of the past.
struct Backlog {
    /// The log is followed, and the hub was not told yet.
    is_awaited: bool,
    /// More lines than these are not of the past.
    tail: Option<u64>,
    /// When the engine was asked, by its own clock.
    asked: Option<i64>,
    /// It is over when the engine says nothing until then.
    quiet_at: Instant,
}

impl Reading {
    fn new(request: &LogsRequest, filter: Filter, answer: Answer, outbox: Outbox) -> Self {
        let rest = match request.pace {
            LogPace::Whole => Rest::Sent,
            LogPace::Followed | LogPace::Shown => Rest::Cut,
        };
        let backlog = Backlog {
            is_awaited: request.pace == LogPace::Followed,
            tail: request.tail.map(u64::from),
            asked: answer.begun,
            quiet_at: Instant::now() + QUIET_FIRST,
        };
        Self { answer, parser: Parser::new(), lines: Lines::new(filter, rest), outbox, backlog }
    }

    /// Reads and passes on until the engine ends.
    ///
    /// # Errors
    /// When the hub lets the stream go.
    async fn run(&mut self, ways: &mut Ways) -> io::Result<Ended> {
        loop {
            let (has_room, due) = (self.outbox.has_room(), self.outbox.due());
            let quiet_at = self.backlog.quiet_at;
            let Self { answer, outbox, .. } = self;
            let unwritten = outbox.unwritten().map_err(io::Error::other)?;
            let is_idle = unwritten.is_empty();
            tokio::select! {
                read = answer.next(), if has_room => match read {
                    Ok(Some(data)) => {
                        if let Some(ended) = self.take(&data) {
                            return Ok(ended);
                        }
                    }
                    Ok(None) => {
                        self.finish();
                        return Ok(Ended::Engine);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a log broke off");
                        self.finish();
                        return Ok(Ended::Broken);
                    }
                },
                written = ways.to_hub.write(unwritten), if !is_idle => outbox.wrote(written?),
                () = sleep_until(due.unwrap_or(quiet_at)), if due.is_some() => outbox.close_batch(),
                () = sleep_until(quiet_at), if self.backlog.is_awaited && has_room => self.catch_up(),
                cut = ways.hub_says.read_u8() => return Err(cut.err().unwrap_or(io::ErrorKind::InvalidData.into())),
            }
        }
    }

    fn take(&mut self, data: &[u8]) -> Option<Ended> {
        let Self { parser, lines, outbox, backlog, .. } = self;
        let now = Instant::now();
        let mut is_new = false;
        let read = parser.feed(data, &mut |piece| {
            is_new |= backlog.asked.is_some_and(|asked| piece.time >= asked);
            lines.add(piece, &mut |line| outbox.push(line, now));
        });
        self.backlog.quiet_at = now + QUIET;
        let is_beyond_tail = self.backlog.tail.is_some_and(|tail| self.lines.begun() > tail);
        if self.backlog.is_awaited && (is_new || is_beyond_tail) {
            self.catch_up();
        }
        if read.is_err() {
            tracing::debug!("what the engine sent is no log");
            self.finish();
            return Some(Ended::Broken);
        }
        None
    }

    fn catch_up(&mut self) {
        self.backlog.is_awaited = false;
        self.outbox.catch_up();
    }

    fn finish(&mut self) {
        let Self { lines, outbox, .. } = self;
        let now = Instant::now();
        lines.finish(&mut |line| outbox.push(line, now));
    }
}
