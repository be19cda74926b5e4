//! The engine's own word on what changed: its events, as far as they say what
//! to look at again.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::time::timeout;
use windflow_protocol::message::events::{Event, EventsMessage};
use windflow_protocol::message::report::ObjectId;

use super::super::events::{Events, Missed, Told};
use super::Cause;
use super::known::Kind;

/// Containers of one burst that are looked at for their own sake; after more,
/// each is.
const CONTAINERS_MAX: usize = 1024;
/// An engine that runs must be listened to within this.
const HEARD_DEADLINE: Duration = Duration::from_secs(15);

/// What to look at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspects {
    pub kinds: BTreeSet<Kind>,
    /// Containers of which more may have changed than a list shows.
    pub containers: BTreeSet<ObjectId>,
    /// Of too many containers more may have changed to name them.
    pub all: bool,
}

/// The events of an engine, and how far they were looked at.
pub struct Changes<'a> {
    events: &'a Events,
    told: watch::Receiver<Told>,
    number: u64,
    suspects: Suspects,
}

impl Suspects {
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Every list.
    pub fn everything() -> Self {
        Self { kinds: Kind::ALL.into(), ..Self::default() }
    }

    /// The list of containers.
    pub fn containers() -> Self {
        Self { kinds: [Kind::Containers].into(), ..Self::default() }
    }

    fn add(&mut self, event: &Event) {
        let kind = match event.kind.as_str() {
            "container" => Kind::Containers,
            "image" => Kind::Images,
            "volume" => Kind::Volumes,
            "network" => Kind::Networks,
            _ => return,
        };
        self.kinds.insert(kind);
        let container = match kind {
            Kind::Containers => Some(event.id.as_str()),
            Kind::Networks => event.fact("container"),
            Kind::Images | Kind::Volumes => None,
        };
        if let Some(id) = container.and_then(ObjectId::parse) {
            self.kinds.insert(Kind::Containers);
            self.containers.insert(id);
            self.all |= self.containers.len() > CONTAINERS_MAX;
            if self.all {
                self.containers.clear();
            }
        }
    }
}

impl<'a> Changes<'a> {
    /// Waits until the engine is listened to, and suspects everything at first.
    pub async fn begin(events: &'a Events) -> anyhow::Result<Self> {
        let mut told = events.follow();
        let heard = timeout(HEARD_DEADLINE, told.wait_for(|told| told.is_heard));
        let number = heard.await.context("The engine does not tell what changes")??.number;
        Ok(Self { events, told, number, suspects: Suspects::everything() })
    }

    /// What to look at now; nothing is suspected any more.
    pub fn take(&mut self) -> Suspects {
        std::mem::take(&mut self.suspects)
    }

    /// Suspects these, for this cause.
    pub fn suspect(&mut self, suspects: Suspects, cause: Cause) -> Cause {
        self.suspects = suspects;
        cause
    }

    /// Waits until the engine has told of something. Cancel safe.
    pub async fn wait(&mut self) -> anyhow::Result<()> {
        self.gather()?;
        while self.suspects.is_empty() {
            self.told.changed().await?;
            self.gather()?;
        }
        Ok(())
    }

    /// Takes in what has been told already.
    pub fn gather(&mut self) -> anyhow::Result<()> {
        let told = *self.told.borrow_and_update();
        anyhow::ensure!(told.is_heard, "The events ended");
        match self.events.after(self.number) {
            Ok((events, number)) => {
                self.number = number;
                for told in &events {
                    match &**told {
                        EventsMessage::Event(event) => self.suspects.add(event),
                        EventsMessage::Gap(_) => self.suspects.kinds.extend(Kind::ALL),
                    }
                }
            }
            Err(Missed) => {
                self.number = told.number;
                self.suspects = Suspects { all: true, ..Suspects::everything() };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suspects(kind: &str, id: &str, container: Option<&str>) -> Suspects {
        let facts = container.map(|id| ("container".to_owned(), id.to_owned())).into_iter().collect();
        let mut suspects = Suspects::default();
        suspects.add(&Event { kind: kind.to_owned(), id: id.to_owned(), facts, ..Event::default() });
        suspects
    }

    #[test]
    fn an_event_says_what_to_look_at_again() {
        let id = "ab".repeat(32);
        let container = suspects("container", &id, None);
        assert_eq!(container.kinds, [Kind::Containers].into());
        assert_eq!(container.containers.len(), 1);

        assert_eq!(suspects("network", "n", Some(&id)).kinds, [Kind::Containers, Kind::Networks].into());

        let image = suspects("image", "nginx:1", None);
        assert_eq!((image.kinds.len(), image.containers.len()), (1, 0));
        assert!(suspects("daemon", "x", None).is_empty());
    }
}
