//! The metrics stream: what was measured since the hub heard last, then each
//! measurement as it is made. A hub that takes nothing stops this stream and
//! nothing else; what is measured meanwhile waits, on the disk where there is
//! one.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use windflow_protocol::codec::{self, CodecError};
use windflow_protocol::limits::PREAMBLE_DEADLINE;
use windflow_protocol::message::metrics::deltas::{Extent, Measured, Teller};
use windflow_protocol::message::metrics::{Metrics, MetricsRequest, MetricsWish};
use windflow_protocol::message::report::Position;
use windflow_protocol::transport::{ResetCode, Stream};

use crate::engine::{Meter, Watcher};

/// Serves one until the hub leaves.
pub(super) async fn serve(mut stream: Stream, meter: &Meter) {
    let request: MetricsRequest = match timeout(PREAMBLE_DEADLINE, codec::read_message(&mut stream)).await {
        Ok(Ok(request)) => request,
        Ok(Err(_)) => return stream.reset(ResetCode::Malformed),
        Err(_) => return stream.reset(ResetCode::Deadline),
    };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let watcher = meter.watcher();
    let ended = tokio::select! {
        told = tell(&mut writer, meter, request.after) => told,
        heard = listen(&mut reader, meter, &watcher) => heard,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "the metrics stream ended");
    }
    reader.unsplit(writer).reset(ResetCode::Cancelled);
}

/// Does what the hub wishes until it leaves, or makes no sense.
async fn listen(from: &mut (impl AsyncRead + Unpin), meter: &Meter, watcher: &Watcher<'_>) -> Result<(), CodecError> {
    loop {
        match codec::read_message(from).await {
            Ok(MetricsWish::Kept(until)) => meter.forget(until).await,
            Ok(MetricsWish::Watch(subjects)) => watcher.watch(subjects),
            Err(CodecError::UnknownVariant { variant, .. }) => {
                tracing::debug!(message.variant = variant, "passed over a wish of a newer hub");
            }
            Err(error) => return Err(error),
        }
    }
}

async fn tell(to: &mut (impl AsyncWrite + Unpin), meter: &Meter, after: Option<Position>) -> Result<(), CodecError> {
    let (mut newest, mut glances) = (meter.follow(), meter.glances());
    let mut teller = Teller::default();
    let epoch = meter.epoch().await;
    send(to, &[Metrics::Epoch(epoch)]).await?;
    let mut heard = after.filter(|after| after.epoch == epoch).map_or(0, |after| after.sequence);
    glances.borrow_and_update();
    loop {
        newest.borrow_and_update();
        let (measured, last) = meter.after(heard).await;
        for measured in &measured {
            send(to, &teller.tell(measured, Extent::Everything)).await?;
        }
        if last > heard {
            heard = last;
            continue;
        }
        tokio::select! {
            changed = newest.changed() => if changed.is_err() {
                return Ok(());
            },
            changed = glances.changed() => {
                let glance = glances.borrow_and_update().clone();
                if let (Ok(()), Some(glance)) = (changed, glance) {
                    send(to, &teller.tell(&Measured::clone(&glance), Extent::Glance)).await?;
                }
            }
        }
    }
}

async fn send(to: &mut (impl AsyncWrite + Unpin), told: &[Metrics]) -> Result<(), CodecError> {
    let mut batch = Vec::new();
    for message in told {
        batch.extend_from_slice(&codec::frame(message)?);
    }
    to.write_all(&batch).await?;
    Ok(to.flush().await?)
}
