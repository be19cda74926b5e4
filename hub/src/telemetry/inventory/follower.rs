//! One session's report stream: what the agent tells is taken in at each
//! position, and those who look on are told what changed.

use std::sync::Arc;

use windflow_protocol::codec::{self, CodecError};
use windflow_protocol::message::control::ContainerCounts;
use windflow_protocol::message::preamble::StreamKind;
use windflow_protocol::message::report::{ObjectId, Report, ReportRequest};
use windflow_protocol::transport::Priority;

use super::Inventories;
use super::things::{Changed, Containers, Heard, Pending, ReportError};
use crate::clock::Clock;
use crate::tunnel::{Feed, News, Session, StreamError};

/// More containers than these at once are not told one by one.
const TOLD_MAX: usize = 50;

/// Why a report stream ended, or never began.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// No stream could be opened.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// What came is not taken.
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl From<CodecError> for FollowError {
    fn from(error: CodecError) -> Self {
        Self::Report(error.into())
    }
}

/// What a follower works on.
#[derive(Clone, Debug)]
pub struct Follower {
    pub inventories: Inventories,
    pub feed: Feed,
    pub clock: Arc<dyn Clock>,
}

impl Follower {
    /// Takes in what the agent tells for as long as the session lives.
    ///
    /// # Errors
    /// Why that ended.
    pub async fn follow(&self, session: &Session) -> Result<std::convert::Infallible, FollowError> {
        let mut stream = session.open(StreamKind::Report, Priority::Normal).await?;
        // Until the agent has said so, nothing is known to be as it was.
        self.inventories.put_stale(session.environment);
        let before = self.inventories.of(session.environment);
        let after = before.as_ref().map(|heard| heard.position);
        codec::write_message(&mut stream, &ReportRequest { after }).await?;
        let mut things = before.map(|heard| heard.things.clone()).unwrap_or_default();
        let mut pending = Pending::default();
        loop {
            let encoded = codec::read_encoded::<Report, _>(&mut stream).await?;
            let report = match codec::decode::<Report>(&encoded) {
                Ok(report) => report,
                Err(CodecError::UnknownVariant { variant, .. }) => {
                    tracing::debug!(session.id = %session.id, variant, "passed over a report of a newer agent");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match report {
                Report::Position(position) => {
                    let changed = pending.settle(&mut things);
                    let heard = Heard { things: things.clone(), position, at: self.clock.now(), is_stale: false };
                    let counts = heard.things.counts();
                    let was_stale = self.inventories.put(session.environment, heard);
                    self.note_counts(session, Some(counts));
                    let changed = if was_stale { Changed::everything() } else { changed };
                    self.tell(session, &changed);
                }
                Report::Stale => {
                    self.inventories.put_stale(session.environment);
                    self.note_counts(session, None);
                    self.tell(session, &Changed::everything());
                }
                report => pending.add(report, encoded.len())?,
            }
        }
    }

    fn note_counts(&self, session: &Session, counts: Option<ContainerCounts>) {
        if session.note_containers(counts) {
            self.feed.post(News::Environment(session.environment));
        }
    }

    fn tell(&self, session: &Session, changed: &Changed) {
        let environment = session.environment;
        if changed.resources {
            self.feed.post(News::Resources(environment));
        }
        match &changed.containers {
            Containers::These(containers) if containers.len() <= TOLD_MAX => {
                for container in containers.iter().map(ObjectId::to_string) {
                    self.feed.post(News::Container { environment, container });
                }
            }
            Containers::Any | Containers::These(_) => self.feed.post(News::Containers(environment)),
        }
    }
}
