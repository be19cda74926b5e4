//! What a stream of kind Events carries: the hub says up to where it knows what
//! happened on the engine; what happened since flows back, then each event as it
//! happens.

use serde::{Deserialize, Serialize};

use crate::codec::{Message, Tail};
use crate::limits::{EVENT_MAX, EVENTS_REQUEST_MAX};

/// The first message on the stream, from the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsRequest {
    /// The last event that the hub knows; none wants all that are still known.
    pub after: Option<EventMark>,
}

/// Which event it is. Two events of one engine differ in this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMark {
    /// When it happened, in nanoseconds since 1970 by the engine's clock.
    pub time: i64,
    /// The kind of what it happened to.
    pub kind: String,
    /// What happened.
    pub action: String,
    /// What it happened to.
    pub id: String,
}

/// A message from the agent. New variants are appended; a hub passes over the
/// ones it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventsMessage {
    /// Something happened. Events come in the order in which the engine told of
    /// them; one that the hub knows already may come again.
    Event(Event),
    /// Nobody knows what happened in this time: the engine did not tell, and
    /// keeps it no more.
    Gap(EventGap),
}

/// Something that happened on the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in nanoseconds since 1970 by the engine's clock.
    pub time: i64,
    /// `container`, `image`, `volume`, `network` or `daemon`.
    pub kind: String,
    /// What happened, in Docker's word, such as `start`.
    pub action: String,
    /// The id of what it happened to; a volume's name, an image's reference.
    pub id: String,
    /// Its name; empty where it has none.
    pub name: String,
    /// What else there is to say, by name, such as `exit_code`. At most
    /// [`EVENT_FACTS_MAX`](crate::limits::EVENT_FACTS_MAX).
    pub facts: Vec<(String, String)>,
}

/// A time of which nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventGap {
    /// Its begin, in nanoseconds since 1970 by the engine's clock.
    pub from: i64,
    /// Its end.
    pub until: i64,
}

impl Event {
    /// Which event it is.
    pub fn mark(&self) -> EventMark {
        let Self { time, kind, action, id, .. } = self.clone();
        EventMark { time, kind, action, id }
    }

    /// What this fact says.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl EventMark {
    /// Whether `event` is the one.
    pub fn is_of(&self, event: &Event) -> bool {
        let Self { time, kind, action, id } = self;
        *time == event.time && *kind == event.kind && *action == event.action && *id == event.id
    }
}

impl Message for EventsRequest {
    const NAME: &'static str = "request for events";
    const LIMIT: usize = EVENTS_REQUEST_MAX;
    const TAIL: Tail = Tail::Ignored;
}

impl Message for EventsMessage {
    const NAME: &'static str = "event";
    const LIMIT: usize = EVENT_MAX;
    const TAIL: Tail = Tail::Ignored;
    const VARIANTS: Option<u32> = Some(2);
}
