//! One open live channel. It reads the feed at its own pace: what it could not
//! take in time it is told to ask for again, and nobody else waits for it.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use super::records::{Place, Records};
use super::sight::Sight;
use super::usage::{Looking, MetricsWish, Usage};
use crate::app::AppState;
use crate::http::{Lease, Reach};
use crate::tunnel::News;

/// Largest message that a browser may send, in bytes.
pub const MESSAGE_MAX: usize = 4 * 1024;
/// What changes within this is told at once.
const PACE: Duration = Duration::from_millis(100);
/// More changes than this at once are not told one by one.
const BATCH_MAX: usize = 200;
/// The browser hears from the hub this often.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A browser that was not heard of for this long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(65);
/// Messages must have left within this.
const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// Wishes taken between two pings.
const WISHES_MAX: u32 = 120;

/// What a browser wants to be told.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// Whole lists.
    #[serde(default)]
    watch: HashSet<Topic>,
    /// The environment whose containers it shows.
    #[serde(default)]
    environment: Option<Uuid>,
    /// The number of the last change it has taken in.
    #[serde(default)]
    after: Option<u64>,
    /// What it shows the use of, as it is measured.
    #[serde(default)]
    metrics: Option<MetricsWish>,
}

/// A list that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Topic {
    /// All environments, their groups, and agents.
    Environments,
    /// The containers of all environments.
    Containers,
    /// The images, volumes and networks of all environments.
    Resources,
    /// All jobs.
    Jobs,
    /// What happens on all engines, and to those who may see it also what users did.
    Events,
}

/// What the browser is told.
#[derive(Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Told<'a> {
    Environment {
        environment_id: EnvironmentId,
    },
    Agent {
        agent_id: String,
        environment_id: EnvironmentId,
    },
    Container {
        environment_id: EnvironmentId,
        container_id: &'a str,
    },
    Containers {
        environment_id: EnvironmentId,
    },
    Resources {
        environment_id: EnvironmentId,
    },
    Job {
        job_id: Uuid,
        environment_id: Option<EnvironmentId>,
    },
    Events {
        environment_id: Place,
    },
    Groups,
    /// A part of the wish cannot be fulfilled; the rest is.
    Refused {
        wish: &'static str,
        code: &'static str,
        message: &'a str,
    },
    Reset,
    Ping,
}

/// A message and its number, after which the browser may go on.
#[derive(Serialize)]
struct Numbered<'a, T> {
    id: u64,
    #[serde(flatten)]
    told: &'a T,
}

/// Why a channel ends.
enum End {
    /// The browser closed it, or does not take what it is sent.
    Gone,
    /// The hub closes it, for this reason.
    Closed(CloseCode, &'static str),
}

/// What a viewer may hear of.
#[derive(Debug)]
pub struct MayHear {
    /// What users did.
    pub records: Records,
    /// What happens in environments.
    pub sight: Sight,
    /// By what that is known.
    pub reach: Reach,
}

struct Viewer<'a, S> {
    app: &'a AppState,
    socket: WebSocketStream<S>,
    wish: Option<Wish>,
    /// What is measured for it.
    looking: Option<Looking>,
    may_hear: MayHear,
    /// The last change that was told or passed over.
    position: u64,
    wishes_left: u32,
    heard: Instant,
}

/// Serves one channel until either end closes it, the lease ends or the hub
/// stops.
pub async fn serve<S>(app: &AppState, lease: Lease, may_hear: MayHear, socket: WebSocketStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let position = *app.live.feed.newest().borrow();
    let (wishes_left, heard) = (WISHES_MAX, Instant::now());
    let mut viewer = Viewer { app, socket, wish: None, looking: None, may_hear, position, wishes_left, heard };
    let end = viewer.run(lease).await;
    if let End::Closed(code, reason) = end {
        let frame = CloseFrame { code, reason: reason.into() };
        // A browser that does not take the farewell is gone all the same.
        timeout(SEND_DEADLINE, viewer.socket.close(Some(frame))).await.ok();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Viewer<'_, S> {
    async fn run(&mut self, lease: Lease) -> End {
        let mut newest = self.app.live.feed.newest();
        let mut ended = std::pin::pin!(lease.ended());
        let stop = self.app.lifecycle.soft.clone();
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = None;
        loop {
            let step = tokio::select! {
                () = stop.cancelled() => Err(End::Closed(CloseCode::Away, "the hub stops")),
                message = self.socket.next() => self.hear(message).await,
                _ = pings.tick() => self.ping().await,
                usage = next_of(&mut self.looking) => self.tell_usage(&usage).await,
                places = self.may_hear.records.next() => self.tell_records(&places).await,
                () = &mut ended => Err(End::Closed(CloseCode::Policy, "signed out")),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    due = None;
                    self.tell_news().await
                }
                _ = newest.changed(), if due.is_none() => {
                    due = Some(Instant::now() + PACE);
                    Ok(())
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn hear(&mut self, message: Option<Result<Message, Error>>) -> Result<(), End> {
        self.heard = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(wish) => self.take(wish).await,
                Err(_) => Err(End::Closed(CloseCode::Invalid, "this is not what a browser may wish")),
            },
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Ok(Message::Binary(_) | Message::Frame(_))) => Err(End::Closed(CloseCode::Unsupported, "text only")),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
        }
    }

    async fn take(&mut self, wish: Wish) -> Result<(), End> {
        let left = self.wishes_left.checked_sub(1);
        self.wishes_left = left.ok_or(End::Closed(CloseCode::Policy, "too many wishes"))?;
        let now = self.now();
        let after = wish.after;
        let before = self.wish.replace(wish);
        self.look_at_wished().await?;
        let wider = self.wish.as_ref().is_some_and(|wish| before.as_ref().is_none_or(|before| wish.sees_more(before)));
        match after.filter(|after| self.app.live.feed.after(*after).is_ok()) {
            Some(after) => {
                self.position = after;
                self.tell_news().await
            }
            // Without a number the browser knows nothing yet, or goes on; and
            // what happened before where it looks only now it has not been told.
            None if wider || after.is_some() => self.reset(now).await,
            None => Ok(()),
        }
    }

    /// Has measured what the wish names, and nothing else any more.
    async fn look_at_wished(&mut self) -> Result<(), End> {
        let Some(wished) = self.wish.as_ref().and_then(|wish| wish.metrics.as_ref()) else {
            self.looking = None;
            return Ok(());
        };
        if self.looking.as_ref().is_some_and(|looking| looking.fulfils(wished)) {
            return Ok(());
        }
        match Looking::begin(self.app, &self.may_hear.reach, wished).await {
            Ok(looking) => {
                self.looking = Some(looking);
                Ok(())
            }
            Err(error) => {
                self.looking = None;
                if let Some(cause) = &error.cause {
                    tracing::warn!(error = format!("{cause:#}"), "a live channel is told nothing of what is used");
                }
                let refused = Told::Refused { wish: "metrics", code: error.code, message: &error.message };
                self.send(vec![message(self.position, &refused)]).await
            }
        }
    }

    async fn tell_usage(&mut self, usage: &Usage) -> Result<(), End> {
        self.send(vec![message(self.position, usage)]).await
    }

    async fn tell_records(&mut self, places: &HashSet<Place>) -> Result<(), End> {
        let wanted = |place: &&Place| self.wish.as_ref().is_some_and(|wish| wish.sees_events(**place));
        let told = places.iter().filter(wanted).map(|place| Told::Events { environment_id: *place });
        let messages: Vec<Message> = told.map(|told| message(self.position, &told)).collect();
        self.send(messages).await
    }

    async fn tell_news(&mut self) -> Result<(), End> {
        let Some(wish) = &self.wish else {
            return Ok(());
        };
        let Ok(news) = self.app.live.feed.after(self.position) else {
            return self.reset(self.now()).await;
        };
        let Some((last, _)) = news.last() else {
            return Ok(());
        };
        self.position = *last;
        if self.may_hear.look_around(&news).await {
            return self.reset(self.now()).await;
        }
        let heard = news.iter().filter(|(_, news)| self.may_hear.sight.has(news));
        let told: Vec<(u64, Told<'_>)> = heard.filter_map(|(id, news)| Some((*id, wish.tell(news)?))).collect();
        if told.len() > BATCH_MAX || told.iter().any(|(_, told)| *told == Told::Reset) {
            return self.reset(self.now()).await;
        }
        for (_, told) in &told {
            if let Told::Events { environment_id } = told {
                self.may_hear.records.put_told(*environment_id);
            }
        }
        let mut seen = HashSet::new();
        let fresh = told.iter().filter(|(_, told)| seen.insert(told));
        let messages: Vec<Message> = fresh.map(|(id, told)| message(*id, told)).collect();
        self.send(messages).await
    }

    /// The number of the last change.
    fn now(&self) -> u64 {
        *self.app.live.feed.newest().borrow()
    }

    /// Makes the browser ask for everything again, and goes on from `position`.
    async fn reset(&mut self, position: u64) -> Result<(), End> {
        self.position = position;
        self.may_hear.records.put_all_told();
        self.send(vec![message(self.position, &Told::Reset)]).await
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.heard.elapsed() > SILENCE_MAX {
            return Err(End::Gone);
        }
        self.wishes_left = WISHES_MAX;
        // The first is for the page, the second for the browser, which answers.
        self.send(vec![message(self.position, &Told::Ping), Message::Ping(Default::default())]).await
    }

    async fn send(&mut self, messages: Vec<Message>) -> Result<(), End> {
        let sending = async {
            for message in messages {
                self.socket.feed(message).await?;
            }
            self.socket.flush().await
        };
        match timeout(SEND_DEADLINE, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

impl MayHear {
    /// Looks again where the news tell of environments that are new. Whether
    /// the viewer sees more than before.
    async fn look_around(&mut self, news: &[(u64, News)]) -> bool {
        let strangers = news.iter().filter(|(_, news)| self.sight.meets_stranger(news)).count();
        if strangers == 0 {
            return false;
        }
        match Sight::of(&self.reach).await {
            Ok(newer) => self.sight.renew(newer),
            Err(error) => {
                tracing::warn!(code = error.code(), "a viewer may not be told of a new environment");
                false
            }
        }
    }
}

impl Wish {
    /// Whether something is told now that was not told before.
    fn sees_more(&self, before: &Self) -> bool {
        let moved = self.environment.is_some() && self.environment != before.environment;
        moved || !self.watch.is_subset(&before.watch)
    }

    /// Whether it shows what happens there.
    fn sees_events(&self, place: Place) -> bool {
        let shown = place.is_some_and(|environment| self.environment == Some(environment.0));
        shown || self.watch.contains(&Topic::Events)
    }

    /// What the browser is told of this change; `None` where it is nothing to
    /// it.
    fn tell<'a>(&self, news: &'a News) -> Option<Told<'a>> {
        let lists = self.watch.contains(&Topic::Environments);
        let shown = |environment: &EnvironmentId| self.environment == Some(environment.0);
        let inside = |environment: &EnvironmentId| self.watch.contains(&Topic::Containers) || shown(environment);
        match news {
            News::Environment(id) => (lists || shown(id)).then_some(Told::Environment { environment_id: *id }),
            News::Agent(agent, id) => {
                (lists || shown(id)).then(|| Told::Agent { agent_id: agent.to_string(), environment_id: *id })
            }
            News::Container { environment, container } => {
                inside(environment).then_some(Told::Container { environment_id: *environment, container_id: container })
            }
            News::Containers(id) => inside(id).then_some(Told::Containers { environment_id: *id }),
            News::Resources(id) => {
                self.watch.contains(&Topic::Resources).then_some(Told::Resources { environment_id: *id })
            }
            News::Job { job, environment } => {
                let wanted = self.watch.contains(&Topic::Jobs);
                wanted.then_some(Told::Job { job_id: *job, environment_id: *environment })
            }
            News::Events(id) => self.sees_events(Some(*id)).then_some(Told::Events { environment_id: Some(*id) }),
            News::Groups => lists.then_some(Told::Groups),
        }
    }
}

/// What is measured next; nothing ever where nothing is looked at.
async fn next_of(looking: &mut Option<Looking>) -> Usage {
    match looking {
        Some(looking) => looking.next().await,
        None => std::future::pending().await,
    }
}

fn message(id: u64, told: &impl Serialize) -> Message {
    Message::text(serde_json::to_string(&Numbered { id, told }).expect("ids, words and numbers have a JSON form"))
}
