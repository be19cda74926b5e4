//! One session's metrics stream: what was measured is shown and written; the
//! agent is told what it may forget.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{ReadHalf, WriteHalf};
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
            if let Some((measured, Extent::Everything)) = hearer.hear(message)? {
                self.measurements.room(place).await;
                self.take(measured, epoch, place, session);
            }
        }
    }

    fn take(&self, measured: Measured, epoch: [u8; 8], place: &Place, session: &Session) {
        let age = Duration::from_millis(measured.age_millis);
        if age <= NOW {
            place.show(&measured.readings);
            session.note_host(host_use(&measured.readings));
        }
        let position = Position { epoch, sequence: measured.sequence };
        let at = seconds(self.clock.now()).saturating_sub(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        place.add(Timed { position, at, readings: measured.readings });
    }
}

async fn tell(to: &mut WriteHalf<Stream>, place: &Place) -> Result<std::convert::Infallible, FollowError> {
    let mut kept = place.kept.subscribe();
    loop {
        let until = *kept.borrow_and_update();
        if let Some(until) = until {
            codec::write_message(to, &MetricsWish::Kept(until)).await?;
        }
        if kept.changed().await.is_err() {
            std::future::pending::<()>().await;
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
