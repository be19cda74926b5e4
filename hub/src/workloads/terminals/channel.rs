//! One browser at a terminal. Bytes go both ways with the number of the first
//! of them before them, eight bytes, the largest first, so that a connection
//! that breaks loses, doubles and turns round nothing; all else is JSON text.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::model::{Size, Why};
use super::running::Running;
use super::screen::{Miscounted, Recorded, Screen};
use crate::app::AppState;
use crate::http::Lease;

/// Bytes of the number before the others.
const NUMBER: usize = 8;
/// Largest message that a browser may send, in bytes: input and its number.
pub const MESSAGE_MAX: usize = 32 * 1024 + NUMBER;
/// Most bytes of output in one message.
const OUTPUT_MAX: usize = 32 * 1024;
/// A browser says within this how far it is.
const FIRST_DEADLINE: Duration = Duration::from_secs(15);
/// The browser hears from the hub this often.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A browser that was not heard of for this long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(65);
/// A message must have left within this. A browser that reads slowly has the
/// whole of it for each.
const SEND_DEADLINE: Duration = Duration::from_secs(30);

/// What a browser says beside its input.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    /// The first message: all output before this was shown already.
    From { output: u64 },
    /// The terminal is shown this large.
    Resize { columns: u16, rows: u16 },
    /// All output before this was shown.
    Taken { output: u64 },
}

/// What a browser is told beside the output.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Told {
    /// What is printed is recorded, or is not any more. The first message of
    /// all, where that was asked for.
    Recorded { state: Recorded },
    /// All input before this was taken.
    Taken { input: u64 },
    /// Output before this is not kept any more: so many bytes of what was
    /// asked for.
    Lost { output: u64, bytes: u64 },
    /// The terminal is over.
    Ended { exit_code: Option<i64>, why: Why },
    /// The hub is there.
    Ping,
}

/// Why a channel ends.
enum End {
    /// The browser closed it, or does not take what it is sent.
    Gone,
    /// The hub closes it, for this reason.
    Closed(CloseCode, &'static str),
}

struct Channel<'a, S> {
    terminal: &'a Running,
    socket: WebSocketStream<S>,
    screen: watch::Receiver<Screen>,
    /// Which viewer of the terminal this is; none before it said how far it is.
    number: Option<u64>,
    /// The number of the first byte of output that was not sent yet.
    sent: u64,
    /// How much input the browser was told is taken.
    told: u64,
    /// What it was told of the recording.
    recorded: Option<Recorded>,
    /// Input that there was no room for, and the number of its first byte.
    waiting: Option<(u64, Bytes)>,
    heard: Instant,
}

/// Serves one channel until either end closes it, the terminal or the lease
/// ends, or the hub stops.
pub async fn serve<S>(app: &AppState, lease: Lease, terminal: &Running, socket: WebSocketStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let screen = terminal.screen.subscribe();
    let (number, waiting, heard) = (None, None, Instant::now());
    let mut channel = Channel { terminal, socket, screen, number, sent: 0, told: 0, recorded: None, waiting, heard };
    let end = tokio::select! {
        end = channel.run() => end,
        () = lease.ended() => End::Closed(CloseCode::Policy, "signed out"),
        () = app.lifecycle.soft.cancelled() => End::Closed(CloseCode::Away, "the hub stops"),
    };
    if let Some(number) = channel.number {
        terminal.screen.send_modify(|screen| screen.detach(number));
    }
    if let End::Closed(code, reason) = end {
        let frame = CloseFrame { code, reason: reason.into() };
        // A browser that does not take the farewell is gone all the same.
        timeout(SEND_DEADLINE, channel.socket.close(Some(frame))).await.ok();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channel<'_, S> {
    async fn run(&mut self) -> End {
        match timeout(FIRST_DEADLINE, self.begin()).await {
            Ok(Ok(())) => {}
            Ok(Err(end)) => return end,
            Err(_) => return End::Closed(CloseCode::Policy, "nothing was said"),
        }
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let step = match self.look().await {
                Ok(()) => tokio::select! {
                    message = self.socket.next(), if self.waiting.is_none() => self.hear(message).await,
                    _ = pings.tick() => self.ping().await,
                    // The sender is the terminal's, which is held here.
                    _ = self.screen.changed() => Ok(()),
                },
                Err(end) => Err(end),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Waits for how far the browser is, and says how far the hub is.
    async fn begin(&mut self) -> Result<(), End> {
        while self.number.is_none() {
            let message = self.socket.next().await;
            self.hear(message).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, message: Option<Result<Message, Error>>) -> Result<(), End> {
        self.heard = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(said) => self.note(said).await,
                Err(_) => Err(End::Closed(CloseCode::Invalid, "this is not what a terminal is told")),
            },
            Some(Ok(Message::Binary(bytes))) => self.type_in(bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
        }
    }

    async fn note(&mut self, said: Said) -> Result<(), End> {
        match (said, self.number) {
            (Said::From { output }, None) => self.attach(output).await,
            (Said::Resize { columns, rows }, Some(_)) => {
                let size = Size::new(columns, rows).ok_or(End::Closed(CloseCode::Invalid, "there is no such size"))?;
                self.terminal.screen.send_if_modified(|screen| std::mem::replace(&mut screen.size, size) != size);
                Ok(())
            }
            (Said::Taken { output }, Some(number)) => Ok(self.modify(|screen| screen.note_shown(number, output))?),
            (Said::From { .. }, Some(_)) | (Said::Resize { .. } | Said::Taken { .. }, None) => {
                Err(End::Closed(CloseCode::Policy, "this is said first, and once"))
            }
        }
    }

    async fn attach(&mut self, output: u64) -> Result<(), End> {
        let attached = self.modify(|screen| screen.attach(output))?;
        (self.number, self.sent, self.told) = (Some(attached.number), attached.from, attached.taken);
        self.tell_recorded().await?;
        self.tell(Told::Taken { input: attached.taken }).await?;
        if attached.lost > 0 {
            self.tell(Told::Lost { output: attached.from, bytes: attached.lost }).await?;
        }
        Ok(())
    }

    fn type_in(&mut self, mut bytes: Bytes) -> Result<(), End> {
        if bytes.len() <= NUMBER || self.number.is_none() {
            return Err(End::Closed(CloseCode::Invalid, "this is no input"));
        }
        let rest = bytes.split_off(NUMBER);
        let offset = u64::from_be_bytes(bytes[..].try_into().expect("it was split there"));
        self.waiting = Some((offset, rest));
        Ok(())
    }

    /// Does what there is to do: takes input that waits, sends what was
    /// printed, and says how it ended.
    async fn look(&mut self) -> Result<(), End> {
        let seen = self.number.is_some_and(|number| self.screen.borrow_and_update().is_seen_by(number));
        if !seen {
            return Err(End::Closed(CloseCode::Policy, "opened elsewhere"));
        }
        self.tell_recorded().await?;
        self.take_input().await?;
        loop {
            let (from, output) = self.screen.borrow_and_update().output(self.sent, OUTPUT_MAX);
            if output.is_empty() {
                break;
            }
            self.sent = from + output.len() as u64;
            self.send(Message::Binary(numbered(from, &output))).await?;
        }
        let ended = {
            let screen = self.screen.borrow();
            screen.ended.filter(|_| self.sent == screen.printed())
        };
        match ended {
            None => Ok(()),
            Some(ending) => {
                self.tell(Told::Ended { exit_code: ending.exit_code, why: ending.why }).await?;
                Err(End::Closed(CloseCode::Normal, "ended"))
            }
        }
    }

    async fn tell_recorded(&mut self) -> Result<(), End> {
        let recorded = self.screen.borrow().recorded;
        match recorded.filter(|_| recorded != self.recorded) {
            Some(state) => {
                self.recorded = recorded;
                self.tell(Told::Recorded { state }).await
            }
            None => Ok(()),
        }
    }

    async fn take_input(&mut self) -> Result<(), End> {
        if let Some((offset, bytes)) = self.waiting.take() {
            let taken = match self.terminal.program.takes_input {
                true => self.modify(|screen| screen.type_in(offset, &bytes))?,
                // What nobody can take is not kept.
                false => offset + bytes.len() as u64,
            };
            if taken < offset + bytes.len() as u64 {
                self.waiting = Some((offset, bytes));
            }
            if taken != self.told {
                self.told = taken;
                self.tell(Told::Taken { input: taken }).await?;
            }
        }
        Ok(())
    }

    /// Changes the screen, which has no room for those who miscount.
    fn modify<T>(&self, change: impl FnOnce(&mut Screen) -> Result<T, Miscounted>) -> Result<T, Miscounted> {
        let mut changed = Err(Miscounted);
        self.terminal.screen.send_modify(|screen| changed = change(screen));
        changed
    }

    async fn ping(&mut self) -> Result<(), End> {
        // Nothing is heard of it while input waits.
        if self.waiting.is_none() && self.heard.elapsed() > SILENCE_MAX {
            return Err(End::Gone);
        }
        // The first is for the page, the second for the browser, which answers.
        self.tell(Told::Ping).await?;
        self.send(Message::Ping(Bytes::new())).await
    }

    async fn tell(&mut self, told: Told) -> Result<(), End> {
        self.send(Message::text(serde_json::to_string(&told).expect("numbers and words have a JSON form"))).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(SEND_DEADLINE, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

impl From<Miscounted> for End {
    fn from(_: Miscounted) -> Self {
        Self::Closed(CloseCode::Policy, "miscounted")
    }
}

fn numbered(from: u64, output: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(NUMBER + output.len());
    message.put_u64(from);
    message.put_slice(output);
    message.freeze()
}
