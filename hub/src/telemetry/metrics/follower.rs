//! One session's metrics stream: what was measured is shown and written; the
//! agent is told what it may forget, and what somebody looks at.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, ReadHalf};
use tokio::sync::watch;
use windflow_protocol::codec::{self, CodecError};
use windflow_protocol::message::metrics::deltas::{DeltaError, Extent, Hearer, Measured};
use windflow_protocol::message::metrics::{Metrics, MetricsRequest, MetricsWish};
use windflow_protocol::message::preamble::StreamKind;
use windflow_protocol::message::report::Position;
use windflow_protocol::transport::{Priority, Stream};

use super::latest::{Measurements, Place, Timed, host_use};
use super::subject::seconds;
use crate::clock::Clock;
use crate::tunnel::{Session, StreamError};

/// A measurement that is older is none of now.
const NOW: Duration = Duration::from_secs(45);

/// Why a metrics stream ended, or never began.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// No stream could be opened.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// What came cannot be read.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// What came cannot be understood.
    #[error(transparent)]
    Delta(#[from] DeltaError),
}

/// What a follower works on.
#[derive(Clone, Debug)]
pub struct Follower {
    pub measurements: Measurements,
    pub clock: Arc<dyn Clock>,
}

impl Follower {
    /// Takes what the agent measures for as long as the session lives.
    ///
    /// # Errors
    /// Why that ended.
    pub async fn follow(&self, session: &Session) -> Result<std::convert::Infallible, FollowError> {
        let mut stream = session.open(StreamKind::Metrics, Priority::Normal).await?;
        let place = self.measurements.place(session.environment);
        codec::write_message(&mut stream, &MetricsRequest { after: place.position() }).await?;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let _shown = Shown { place: &place, session };
        tokio::select! {
            ended = self.listen(&mut reader, &place, session) => ended,
            ended = tell(&mut writer, &place) => ended,
        }
    }

    async fn listen(
        &self,
        from: &mut ReadHalf<Stream>,
        place: &Place,
        session: &Session,
    ) -> Result<std::convert::Infallible, FollowError> {
        let (mut hearer, mut epoch) = (Hearer::default(), [0; 8]);
        loop {
            let message = match codec::read_message(from).await {
                Err(CodecError::UnknownVariant { variant, .. }) => {
                    tracing::debug!(session.id = %session.id, variant, "passed over metrics of a newer agent");
                    continue;
                }
                message => message?,
            };
            if let Metrics::Epoch(begun) = message {
                epoch = begun;
            }
            match hearer.hear(message)? {
                Some((measured, Extent::Everything)) => {
                    self.measurements.room(place).await;
                    self.take(measured, epoch, place, session);
                }
                Some((measured, Extent::Glance)) => {
                    self.measurements.glances().inc();
                    place.watched.tell(self.time_of(&measured), Extent::Glance, &measured.readings);
                }
                None => {}
            }
        }
    }

    fn take(&self, measured: Measured, epoch: [u8; 8], place: &Place, session: &Session) {
        let at = self.time_of(&measured);
        if Duration::from_millis(measured.age_millis) <= NOW {
            place.show(&measured.readings);
            place.watched.tell(at, Extent::Everything, &measured.readings);
            session.note_host(host_use(&measured.readings));
        }
        let position = Position { epoch, sequence: measured.sequence };
        place.add(Timed { position, at, readings: measured.readings });
    }

    /// When it was made, in seconds since 1970 by the hub's clock.
    fn time_of(&self, measured: &Measured) -> i64 {
        let age = i64::try_from(measured.age_millis / 1000).unwrap_or(i64::MAX);
        seconds(self.clock.now()).saturating_sub(age)
    }
}

/// Tells an agent what is kept and what somebody looks at, for as long as it
/// listens.
async fn tell(to: &mut (impl AsyncWrite + Unpin), place: &Place) -> Result<std::convert::Infallible, FollowError> {
    let (mut kept, mut wanted) = (place.kept.subscribe(), place.watched.follow());
    if kept.borrow_and_update().is_some() {
        kept.mark_changed();
    }
    loop {
        let wish = tokio::select! {
            until = next_kept(&mut kept) => MetricsWish::Kept(until),
            subjects = wanted.changed() => MetricsWish::Watch(subjects),
        };
        codec::write_message(to, &wish).await?;
    }
}

async fn next_kept(kept: &mut watch::Receiver<Option<Position>>) -> Position {
    loop {
        if kept.changed().await.is_err() {
            return std::future::pending().await;
        }
        let until = *kept.borrow_and_update();
        if let Some(until) = until {
            return until;
        }
    }
}

/// What is shown of a session goes with it.
struct Shown<'a> {
    place: &'a Place,
    session: &'a Session,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.place.hide();
        self.session.note_host(None);
    }
}

#[cfg(test)]
mod tests {
    use windflow_protocol::message::metrics::Subject;
    use windflow_protocol::message::report::ObjectId;

    use super::*;

    fn container() -> Subject {
        Subject::Container(ObjectId([1; 32]))
    }

    #[tokio::test]
    async fn an_agent_is_told_what_somebody_looks_at_and_the_next_session_again() {
        let place = Arc::new(Place::default());
        let begun = Position { epoch: [1; 8], sequence: 4 };
        place.kept.send_replace(Some(begun));
        let host = place.look(Subject::Host);
        let session = async |also: &mut (dyn FnMut() + Send)| {
            let (mut hub, mut agent) = tokio::io::duplex(4096);
            let listen = async {
                let mut told = Vec::new();
                for turn in 0..3 {
                    let wish: MetricsWish = codec::read_message(&mut agent).await.unwrap();
                    told.push(wish);
                    if turn == 1 {
                        also();
                    }
                }
                // Either may come first where both are there at once.
                told[..2].sort_by_key(|wish| matches!(wish, MetricsWish::Watch(_)));
                told
            };
            tokio::select! {
                told = listen => told,
                ended = tell(&mut hub, &place) => panic!("{ended:?}"),
            }
        };
        let mut more = None;
        let told = session(&mut || more = Some(place.look(container()))).await;
        let watch = |subjects: &[Subject]| MetricsWish::Watch(subjects.to_vec());
        let both = [Subject::Host, container()];
        assert_eq!(told, [MetricsWish::Kept(begun), watch(&[Subject::Host]), watch(&both)]);
        let mut all = Some((host, more));
        let told = session(&mut || drop(all.take())).await;
        assert_eq!(told, [MetricsWish::Kept(begun), watch(&both), watch(&[])]);
    }
}
