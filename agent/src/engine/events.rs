//! What happens on an engine, as it tells it: one connection follows its events
//! for everybody, and the last ones are kept for those who come back. What
//! happened while the engine could not be heard is asked of it afterwards.

mod kept;
mod parse;
mod telling;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context;
use http::header;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use windflow_protocol::message::control::EngineStatus;
use windflow_protocol::message::events::{Event, EventGap, EventMark, EventsMessage};

use self::kept::Kept;
pub use self::kept::Missed;
use self::telling::Telling;
use super::again::{Again, runs};
use super::inquiry::{self, Sender, carried_by};
use super::{CONNECT_DEADLINE, EngineAddress, PROBE_DEADLINE, connect};
use crate::host;

/// Most events that are taken of what an engine kept while nobody listened, and
/// that are kept for those who come back: some hundred bytes each.
pub const KEPT_MAX: usize = 2048;
/// An agent that starts asks for what happened up to so long before.
const BACK: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// An engine must have told what it kept within this.
const KEPT_DEADLINE: Duration = Duration::from_secs(15);
/// An engine that stopped telling is listened to again after the first, doubled
/// each time up to the second, or as soon as it is back.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(32));
/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;
/// Largest answer to a ping, in bytes.
const PONG_MAX: usize = 64 * 1024;

/// How far an engine's events have been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The number of the last one.
    pub number: u64,
    /// Whether the engine is listened to: what happens from then on is told,
    /// maybe a little later.
    pub is_heard: bool,
    /// When it was listened to for the first time, in nanoseconds since 1970 by
    /// the engine's clock. What it kept of before has been told then.
    pub since: Option<i64>,
}

/// The events of one engine. Shared by everyone who follows them.
#[derive(Debug)]
pub struct Events {
    kept: Mutex<Kept>,
    told: watch::Sender<Told>,
    /// Somebody began to follow.
    wanted: Notify,
    /// The engine stopped telling: it may be another from now on.
    broke: Notify,
    /// Follows for good once somebody wants to come back.
    lasting: OnceLock<watch::Receiver<Told>>,
}

impl Events {
    pub(super) fn new() -> Self {
        let (kept, told) = (Mutex::default(), watch::Sender::new(Told::default()));
        Self { kept, told, wanted: Notify::new(), broke: Notify::new(), lasting: OnceLock::new() }
    }

    /// Follows the events. The engine is listened to only while somebody does.
    pub fn follow(&self) -> watch::Receiver<Told> {
        let told = self.told.subscribe();
        self.wanted.notify_one();
        told
    }

    /// Follows the events, which are kept from now on also while nobody does.
    pub fn follow_for_good(&self) -> watch::Receiver<Told> {
        self.lasting.get_or_init(|| self.told.subscribe());
        self.follow()
    }

    /// What was told after this number, and the number of the last of it.
    ///
    /// # Errors
    /// [`Missed`] where some of it is no longer kept.
    pub fn after(&self, number: u64) -> Result<(Vec<Arc<EventsMessage>>, u64), Missed> {
        self.kept().after(number)
    }

    /// The number of an event; `None` where it is not kept.
    pub fn number_of(&self, mark: &EventMark) -> Option<u64> {
        self.kept().number_of(mark)
    }

    /// All that is kept, and the number of the last of it. Who has heard until
    /// `known` is told first what is missing in between; where nothing is kept
    /// that is until `since`.
    pub fn all_kept(&self, known: Option<i64>, since: i64) -> (Vec<Arc<EventsMessage>>, u64) {
        self.kept().all(known, since)
    }

    /// Waits until an engine that was listened to stops telling. Cancel safe.
    pub(super) async fn break_off(&self) {
        self.broke.notified().await;
    }

    /// Listens while it is polled and somebody follows.
    pub(super) async fn keep(&self, address: &EngineAddress, status: watch::Receiver<EngineStatus>) {
        loop {
            while self.told.receiver_count() == 0 {
                self.wanted.notified().await;
            }
            tokio::select! {
                () = self.told.closed() => {}
                () = self.keep_followed(address, status.clone()) => return,
            }
            self.note(|told| told.is_heard = false);
        }
    }

    async fn keep_followed(&self, address: &EngineAddress, mut status: watch::Receiver<EngineStatus>) {
        let mut again = Again::new(AGAIN.0, AGAIN.1);
        let mut silent_from = None;
        while status.wait_for(runs).await.is_ok() {
            let begun = Instant::now();
            let Err(error) = self.listen(address, silent_from).await;
            tracing::debug!(engine.address = %address, %error, "the engine does not tell what happens");
            if self.told.borrow().is_heard {
                silent_from = Some(now());
                self.broke.notify_one();
            }
            self.note(|told| told.is_heard = false);
            again.wait(begun.elapsed(), &mut status).await;
        }
    }

    /// Takes in what was told since the last time, then what is told now, until
    /// the engine stops telling.
    async fn listen(
        &self,
        address: &EngineAddress,
        silent_from: Option<i64>,
    ) -> anyhow::Result<std::convert::Infallible> {
        let last = self.kept().last().map(Event::mark);
        let begun = engine_clock(address).await?;
        let since = last.as_ref().map_or(begun, |last| last.time) / SECOND;
        let (mut telling, carrier) = Telling::begin(address, &format!("since={since}")).await?;
        // Listened to from the second on in which it was asked for the time, so
        // that nothing is lost until it answers.
        self.note(|told| told.is_heard = true);
        let listening = async {
            self.catch_up(address, last, Silence { from: silent_from, until: begun }).await;
            self.note(|told| told.since = told.since.or(Some(begun)));
            loop {
                let event = telling.next().await?.context("The events ended")?;
                self.take(event);
            }
        };
        tokio::select! {
            ended = listening => ended,
            ended = carrier => Err(anyhow::anyhow!("The connection ended: {ended:?}")),
        }
    }

    /// Asks for what the engine kept since the last event. Where that event is
    /// not among it, others may be missing too.
    async fn catch_up(&self, address: &EngineAddress, last: Option<EventMark>, silence: Silence) {
        let back = i64::try_from(BACK.as_secs()).unwrap_or_default();
        let until = silence.until / SECOND + 1;
        let since = last.as_ref().map_or(until - back, |last| last.time / SECOND);
        let time = format!("since={since}&until={until}");
        let asking = timeout(KEPT_DEADLINE, telling::read_past(address, &time));
        let past = match asking.await {
            Ok(Ok(past)) => past,
            Ok(Err(error)) => {
                tracing::debug!(engine.address = %address, %error, "the engine does not tell what happened before");
                Vec::new()
            }
            Err(_) => {
                tracing::debug!(engine.address = %address, "the engine does not tell in time what happened before");
                Vec::new()
            }
        };
        if let Some(last) = last
            && !past.iter().any(|event| last.is_of(event))
        {
            let from = silence.from.unwrap_or(last.time).max(last.time);
            let next = past.iter().map(|event| event.time).find(|time| *time > from);
            let until = next.unwrap_or(silence.until).max(from);
            self.add(|kept| kept.add_gap(EventGap { from, until }));
        }
        for event in past {
            self.take(event);
        }
    }

    fn take(&self, event: Event) {
        self.add(|kept| kept.add_event(event));
    }

    fn add(&self, add: impl FnOnce(&mut Kept)) {
        let number = {
            let mut kept = self.kept();
            add(&mut kept);
            kept.number()
        };
        self.note(|told| told.number = number);
    }

    fn note(&self, change: impl FnOnce(&mut Told)) {
        self.told.send_if_modified(|told| {
            let before = *told;
            change(told);
            *told != before
        });
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A time in which the engine was not listened to, by its own clock.
struct Silence {
    /// Its begin, where that is known.
    from: Option<i64>,
    until: i64,
}

fn now() -> i64 {
    host::clock_micros().saturating_mul(1000)
}

/// The engine's clock, in nanoseconds since 1970 and cut to its second; the
/// host's where the engine does not say.
async fn engine_clock(address: &EngineAddress) -> anyhow::Result<i64> {
    let connecting = timeout(CONNECT_DEADLINE, connect::connect(address));
    let stream = connecting.await.context("The engine takes no connection")??;
    let (mut sender, carrier) = inquiry::begin(stream).await?;
    let asking = timeout(PROBE_DEADLINE, carried_by(carrier, ask_clock(&mut sender)));
    asking.await.context("The engine does not answer a ping in time")?
}

async fn ask_clock(sender: &mut Sender) -> anyhow::Result<i64> {
    let request = hyper::Request::get("/_ping").header(header::HOST, "docker").body(http_body_util::Empty::new())?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    inquiry::read(body, PONG_MAX).await?;
    let date = head.headers.get(header::DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok());
    Ok(date.map_or_else(|| now() / SECOND * SECOND, |date| date.unix_timestamp().saturating_mul(SECOND)))
}
