//! One open channel: a browser says which logs it wants, and gets them as one
//! for as long as it asks for more. What it does not ask for waits at the agents,
//! which hold little of it; nobody else waits.

use std::borrow::Cow;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::logs::{LogLine, LogPace, LogPart, LogStream, LogsRequest};

use super::merge::{Merge, Next};
use super::model::{Selection, Source, Why};
use super::source::{Ending, Event, LogReader};
use crate::app::{App, AppState};
use crate::error::{ApiError, ApiResult};
use crate::http::websocket::Place;
use crate::http::{Lease, Permission, Reach};

/// Largest message that a browser may send, in bytes.
pub const MESSAGE_MAX: usize = 16 * 1024;
/// Most logs in one channel.
const SOURCES_MAX: usize = 20;
/// The browser must have said what it wants within this.
const WISH_DEADLINE: Duration = Duration::from_secs(15);
/// Lines that are sent before the browser asks for more.
const CREDIT_FIRST: u64 = 2_000;
/// Most lines that a browser may have asked for.
const CREDIT_MAX: u64 = 20_000;
/// Most lines in one message.
const LINES_MAX: usize = 500;
/// A message with more bytes of text than this takes no further line.
const TEXT_MAX: usize = 128 * 1024;
/// The past of one log is waited for this long while others have theirs ready.
const PATIENCE: Duration = Duration::from_secs(3);
/// The browser hears from the hub this often.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A browser that was not heard of for this long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(65);
/// A message must have left within this, whatever the browser's network.
const SEND_DEADLINE: Duration = Duration::from_secs(30);

/// What a browser says first.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    sources: Vec<Source>,
    #[serde(default)]
    select: Selection,
    /// Whether it wants to see what comes too.
    #[serde(default)]
    follow: bool,
}

/// What a browser says later.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Heard {
    /// It has room for so many lines more.
    More { lines: u64 },
}

/// What a browser is told. `source` is a place in its wish.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Told<'a> {
    Lines { lines: &'a [Line] },
    Skipped { source: usize, lines: u64 },
    Ended { source: usize, why: Why, message: &'a str },
    CaughtUp,
    Refused { code: &'a str, message: &'a str },
    Ping,
}

/// One line, in short words, for there are many.
#[derive(Serialize)]
struct Line {
    /// Its source.
    s: usize,
    /// Its time in nanoseconds, as text: it is beyond what a browser counts.
    t: String,
    /// Whether it was said on standard error.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    e: bool,
    /// Whether its end is missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    c: bool,
    /// Its text.
    x: String,
}

impl Line {
    fn new(source: usize, line: LogLine, text: &[u8]) -> Self {
        Self {
            s: source,
            t: line.time.to_string(),
            e: line.stream == LogStream::Stderr,
            c: line.part != LogPart::Whole,
            x: String::from_utf8_lossy(text).into_owned(),
        }
    }
}

/// Why a channel ends.
enum End {
    /// The browser closed it, or does not take what it is sent.
    Gone,
    /// The hub closes it, for this reason.
    Closed(CloseCode, &'static str),
}

/// A log whose agent was asked, with its place among those of its environment.
struct Open {
    reader: LogReader,
    _place: Place<EnvironmentId>,
}

/// What came of the log with this number.
type Came = (usize, Option<Open>, Event);

struct Channel<S> {
    socket: WebSocketStream<S>,
    merge: Merge,
    /// Logs that are not being read now.
    idle: Vec<Option<Open>>,
    reading: FuturesUnordered<BoxFuture<'static, Came>>,
    /// Lines that the browser has room for.
    credit: u64,
    /// When something was last heard of a log.
    progress: Instant,
    /// When something was last heard of the browser.
    heard: Instant,
}

/// Serves one channel until all has been said, either end closes it, the lease
/// ends or the hub stops.
pub async fn serve<S>(app: &AppState, lease: Lease, reach: &Reach, mut socket: WebSocketStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let asked = match timeout(WISH_DEADLINE, wish_of(&mut socket)).await {
        Ok(Ok(wish)) => requests(&wish),
        Ok(Err(end)) => return close(&mut socket, end).await,
        Err(_) => return close(&mut socket, End::Closed(CloseCode::Policy, "nothing was wished for")).await,
    };
    let sources = match asked {
        Ok(sources) => sources,
        Err(error) => {
            let refused = Told::Refused { code: error.code(), message: &error.message };
            // Whether it is heard or not, the channel ends.
            send(&mut socket, &refused).await.ok();
            return close(&mut socket, End::Closed(CloseCode::Policy, error.code())).await;
        }
    };
    let now = Instant::now();
    let mut channel = Channel {
        socket,
        merge: Merge::new(sources.len()),
        idle: sources.iter().map(|_| None).collect(),
        reading: FuturesUnordered::new(),
        credit: CREDIT_FIRST,
        progress: now,
        heard: now,
    };
    for (number, (environment, request)) in sources.into_iter().enumerate() {
        channel.reading.push(begin(AppState::clone(app), reach.clone(), number, environment, request).boxed());
    }
    let end = channel.run(app, lease).await;
    close(&mut channel.socket, end).await;
}

/// What the browser says first.
async fn wish_of<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Result<Wish, End> {
    loop {
        if let Some(text) = text_of(socket.next().await)? {
            let wish = serde_json::from_str(&text);
            return wish.map_err(|_| End::Closed(CloseCode::Invalid, "this is not what a browser may wish"));
        }
    }
}

/// The text of a message; none for what keeps a socket alive.
fn text_of(message: Option<Result<Message, Error>>) -> Result<Option<Cow<'static, str>>, End> {
    match message {
        Some(Ok(Message::Text(text))) => Ok(Some(text.as_str().to_owned().into())),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Binary(_) | Message::Frame(_))) => Err(End::Closed(CloseCode::Unsupported, "text only")),
        Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
    }
}

/// What is asked of which agents. A container that cannot be one is asked of
/// nobody.
fn requests(wish: &Wish) -> ApiResult<Vec<(EnvironmentId, Option<LogsRequest>)>> {
    if wish.sources.is_empty() || wish.sources.len() > SOURCES_MAX {
        let message = format!("A channel shows the logs of 1 to {SOURCES_MAX} containers.");
        return Err(ApiError::bad_request("invalid_sources", message));
    }
    let select = wish.select.clone().for_channel();
    let pace = if wish.follow { LogPace::Followed } else { LogPace::Shown };
    let request = |source: &Source| {
        let (environment, container) = source.place();
        let request = container.map(|container| source.select(&select).request(&container, pace)).transpose()?;
        Ok((environment, request))
    };
    wish.sources.iter().map(request).collect()
}

/// Asks an agent for a log and gives what comes of it first.
async fn begin(
    app: AppState,
    reach: Reach,
    number: usize,
    environment: EnvironmentId,
    request: Option<LogsRequest>,
) -> Came {
    match open(&app, &reach, environment, request).await {
        Ok(open) => read(number, open).await,
        Err(ending) => (number, None, Event::Ended(ending)),
    }
}

async fn open(
    app: &App,
    reach: &Reach,
    environment: EnvironmentId,
    request: Option<LogsRequest>,
) -> Result<Open, Ending> {
    reach.require_at(Permission::ContainersLogs, environment).await?;
    let Some(request) = request else {
        return Err(Ending::new(Why::NotFound, "There is no such container."));
    };
    let session = app.session(environment).await?;
    let Some(place) = app.logs.sources.take(environment) else {
        return Err(Ending::crowded());
    };
    let reader = LogReader::open(&session, &request).await?;
    Ok(Open { reader, _place: place })
}

async fn read(number: usize, mut open: Open) -> Came {
    let event = open.reader.next().await;
    (number, Some(open), event)
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channel<S> {
    async fn run(&mut self, app: &AppState, lease: Lease) -> End {
        let mut ended = std::pin::pin!(lease.ended());
        let stop = app.lifecycle.soft.clone();
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Err(end) = self.tell_all().await {
                return end;
            }
            if self.merge.is_over() {
                return End::Closed(CloseCode::Normal, "all has been said");
            }
            self.read_on();
            let is_held_up = self.merge.is_held_up();
            let step = tokio::select! {
                () = stop.cancelled() => Err(End::Closed(CloseCode::Away, "the hub stops")),
                () = &mut ended => Err(End::Closed(CloseCode::Policy, "signed out")),
                message = self.socket.next() => self.hear(message),
                _ = pings.tick() => self.ping().await,
                Some((number, open, event)) = self.reading.next() => {
                    self.progress = Instant::now();
                    self.idle[number] = open;
                    self.merge.take(number, event);
                    Ok(())
                }
                () = sleep_until(self.progress + PATIENCE), if is_held_up => {
                    self.merge.go_on();
                    Ok(())
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Tells what is known, as far as the browser has room.
    async fn tell_all(&mut self) -> Result<(), End> {
        let mut lines = Vec::new();
        let mut text = 0;
        while self.credit > 0 {
            let Some(next) = self.merge.advance() else { break };
            let told = match next {
                Next::Line(source, line, bytes) => {
                    self.credit -= 1;
                    text += bytes.len();
                    lines.push(Line::new(source, line, bytes));
                    if lines.len() >= LINES_MAX || text >= TEXT_MAX {
                        text = 0;
                        send(&mut self.socket, &Told::Lines { lines: &std::mem::take(&mut lines) }).await?;
                    }
                    continue;
                }
                other => other,
            };
            if !lines.is_empty() {
                text = 0;
                send(&mut self.socket, &Told::Lines { lines: &std::mem::take(&mut lines) }).await?;
            }
            match told {
                Next::Line(..) => {}
                Next::Skipped(source, lines) => send(&mut self.socket, &Told::Skipped { source, lines }).await?,
                Next::Ended(source, Ending { why, message }) => {
                    send(&mut self.socket, &Told::Ended { source, why, message: &message }).await?;
                }
                Next::CaughtUp => send(&mut self.socket, &Told::CaughtUp).await?,
            }
        }
        if lines.is_empty() { Ok(()) } else { send(&mut self.socket, &Told::Lines { lines: &lines }).await }
    }

    /// Reads each log of which more is wanted.
    fn read_on(&mut self) {
        for (number, idle) in self.idle.iter_mut().enumerate() {
            if self.merge.wants(number)
                && let Some(open) = idle.take()
            {
                self.reading.push(read(number, open).boxed());
            }
        }
    }

    fn hear(&mut self, message: Option<Result<Message, Error>>) -> Result<(), End> {
        self.heard = Instant::now();
        let Some(text) = text_of(message)? else {
            return Ok(());
        };
        match serde_json::from_str(&text) {
            Ok(Heard::More { lines }) => {
                self.credit = self.credit.saturating_add(lines).min(CREDIT_MAX);
                Ok(())
            }
            Err(_) => Err(End::Closed(CloseCode::Invalid, "this is not what a browser may say")),
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.heard.elapsed() > SILENCE_MAX {
            return Err(End::Gone);
        }
        // The first is for the page, the second for the browser, which answers.
        send(&mut self.socket, &Told::Ping).await?;
        write(&mut self.socket, Message::Ping(Default::default())).await
    }
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>, told: &Told<'_>) -> Result<(), End> {
    let text = serde_json::to_string(told).expect("numbers and texts have a JSON form");
    write(socket, Message::text(text)).await
}

async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    message: Message,
) -> Result<(), End> {
    match timeout(SEND_DEADLINE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}

async fn close<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>, end: End) {
    if let End::Closed(code, reason) = end {
        let frame = CloseFrame { code, reason: reason.into() };
        // A browser that does not take the farewell is gone all the same.
        timeout(SEND_DEADLINE, socket.close(Some(frame))).await.ok();
    }
}
