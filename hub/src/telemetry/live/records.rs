//! What users did, for the viewers who may hear of it: those who may see the
//! audit log. It is told a moment later, since the engine tells of the same by
//! then.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};
use windflow_protocol::ids::EnvironmentId;

use crate::app::App;
use crate::db::Announcement;
use crate::http::{Caller, Permission};

/// What is done within this is told at once.
const GATHER: Duration = Duration::from_millis(500);

/// Where something was done; none is in no environment.
pub type Place = Option<EnvironmentId>;

/// What was done and one viewer has not heard of yet.
#[derive(Debug)]
pub struct Records {
    /// None where the viewer may not hear of it.
    listening: Option<Receiver<Announcement>>,
    untold: HashSet<Place>,
    /// When it is to be told.
    due: Option<Instant>,
}

impl Records {
    /// What is done from now on, as far as the caller may hear of it.
    pub fn of(app: &App, caller: &Caller) -> Self {
        let listening = caller.may(Permission::AuditView).then(|| app.db.announcements());
        Self { listening, untold: HashSet::new(), due: None }
    }

    /// Where something was done that is to be told now. Cancel safe.
    pub async fn next(&mut self) -> HashSet<Place> {
        loop {
            let Some(listening) = &mut self.listening else {
                return std::future::pending().await;
            };
            tokio::select! {
                () = sleep_until(self.due.unwrap_or_else(Instant::now)), if self.due.is_some() => {
                    self.due = None;
                    return std::mem::take(&mut self.untold);
                }
                heard = listening.recv() => self.note(heard),
            }
        }
    }

    /// The viewer was told that something happened there, and asks for all of
    /// it.
    pub fn put_told(&mut self, place: Place) {
        self.untold.remove(&place);
        if self.untold.is_empty() {
            self.due = None;
        }
    }

    /// The viewer was told to ask for everything.
    pub fn put_all_told(&mut self) {
        self.untold.clear();
        self.due = None;
    }

    fn note(&mut self, heard: Result<Announcement, RecvError>) {
        let place = match heard {
            Ok(about) => about.map(EnvironmentId),
            // Whatever it was, there is something new.
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => return self.listening = None,
        };
        self.untold.insert(place);
        self.due.get_or_insert_with(|| Instant::now() + GATHER);
    }
}
