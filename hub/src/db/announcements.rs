//! What those who look on are told once it is committed, and never before.
//! Nobody is waited for; who takes nothing for too long has missed some.

use tokio::sync::broadcast;
use uuid::Uuid;

/// Announcements that wait at most for whoever is slow.
const WAITING_MAX: usize = 256;

/// What is announced: the id of what something was written about; none where
/// it is about nothing in particular.
pub type Announcement = Option<Uuid>;

/// Announces to whoever listens. Clones share the listeners.
#[derive(Clone, Debug)]
pub struct Announcer(broadcast::Sender<Announcement>);

impl Announcer {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(WAITING_MAX))
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Announcement> {
        self.0.subscribe()
    }

    pub(super) fn begin(&self) -> Announcements {
        Announcements { announcer: self.clone(), waiting: Vec::new() }
    }
}

/// What a transaction announces when it is committed.
#[derive(Debug)]
pub(super) struct Announcements {
    announcer: Announcer,
    waiting: Vec<Announcement>,
}

impl Announcements {
    /// Adds one; the same is announced once.
    pub(super) fn add(&mut self, announcement: Announcement) {
        if !self.waiting.contains(&announcement) {
            self.waiting.push(announcement);
        }
    }

    pub(super) fn send(self) {
        for announcement in self.waiting {
            // It fails where nobody listens.
            self.announcer.0.send(announcement).ok();
        }
    }
}
