//! The report stream: what the engine has, and each change as it happens. A
//! hub that takes nothing stops this stream and nothing else; what changed
//! meanwhile it hears once, as it is then.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use windflow_protocol::codec::{self, CodecError};
use windflow_protocol::limits::PREAMBLE_DEADLINE;
use windflow_protocol::message::report::{Position, Report, ReportRequest};
use windflow_protocol::transport::{ResetCode, Stream};

use crate::engine::Inventory;

/// Bytes that are gathered before they are sent.
const BATCH: usize = 16 * 1024;

/// Serves one until the hub leaves.
pub(super) async fn serve(mut stream: Stream, inventory: &Inventory) {
    let request: ReportRequest = match timeout(PREAMBLE_DEADLINE, codec::read_message(&mut stream)).await {
        Ok(Ok(request)) => request,
        Ok(Err(_)) => return stream.reset(ResetCode::Malformed),
        Err(_) => return stream.reset(ResetCode::Deadline),
    };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let telling = tell(&mut writer, inventory, request.after);
    tokio::select! {
        told = telling => if let Err(error) = told {
            tracing::debug!(%error, "the report stream ended");
        },
        // The hub says nothing more: it leaves, or makes no sense.
        _ = reader.read_u8() => {}
    }
    reader.unsplit(writer).reset(ResetCode::Cancelled);
}

async fn tell(
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    inventory: &Inventory,
    mut heard: Option<Position>,
) -> Result<(), CodecError> {
    let mut newest = inventory.follow();
    let mut is_stale = true;
    loop {
        let now = *newest.borrow_and_update();
        if now.is_stale && !is_stale {
            send(to, &[Report::Stale]).await?;
        } else if now.number > 0 && !now.is_stale {
            let told = inventory.after(heard);
            // A hub that knows everything already is told that it is so now.
            if is_stale || told.len() > 1 {
                send(to, &told).await?;
            }
            heard = told.last().and_then(Report::position).or(heard);
        }
        is_stale = now.is_stale || now.number == 0;
        if newest.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn send(to: &mut (impl tokio::io::AsyncWrite + Unpin), told: &[Report]) -> Result<(), CodecError> {
    let mut batch = Vec::new();
    for report in told {
        match codec::frame(report) {
            Ok(framed) => batch.extend_from_slice(&framed),
            // It was cut to fit; one that does not is left out.
            Err(error) => tracing::warn!(%error, "something of the engine's cannot be told"),
        }
        if batch.len() >= BATCH {
            to.write_all(&std::mem::take(&mut batch)).await?;
        }
    }
    to.write_all(&batch).await?;
    Ok(to.flush().await?)
}
