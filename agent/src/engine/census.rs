//! How many containers an engine has. The engine says when that changes, and is
//! asked only then: one that rests is not asked at all.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, TryFutureExt, TryStreamExt, future, stream};
use http_body_util::{BodyStream, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use windflow_protocol::message::control::{ContainerCounts, EngineStatus};

use super::connect::connect;
use super::{CONNECT_DEADLINE, EngineAddress, probe};

/// Changes come in bursts; a burst is waited for this long.
const BURST: Duration = Duration::from_millis(200);
/// An engine must have counted within this, also on a busy host.
const COUNT_DEADLINE: Duration = Duration::from_secs(30);
/// An engine whose containers change without end is asked this often.
const COUNT_EVERY: Duration = Duration::from_secs(3);
/// An engine that did not tell of its changes is tried again after this.
const AGAIN: Duration = Duration::from_secs(5);
/// The engine's own list of changes, those that change the numbers only: a
/// health check is none. Podman has other words for two of them.
const CHANGES: &str = concat!(
    "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B",
    "%22create%22%2C%22start%22%2C%22die%22%2C%22died%22%2C%22pause%22%2C%22unpause%22%2C",
    "%22destroy%22%2C%22remove%22%5D%7D"
);

/// Keeps `counts` true for as long as it is polled: none while the engine does
/// not run or does not tell.
pub(super) async fn keep(
    address: &EngineAddress,
    mut status: watch::Receiver<EngineStatus>,
    counts: &watch::Sender<Option<ContainerCounts>>,
) {
    while status.wait_for(|status| matches!(status, EngineStatus::Running(_))).await.is_ok() {
        if let Err(error) = follow(address, counts).await {
            tracing::debug!(engine.address = %address, %error, "the engine's containers are not counted");
        }
        counts.send_replace(None);
        sleep(AGAIN).await;
    }
}

/// Counts, and counts again after each change, until the engine stops telling.
async fn follow(address: &EngineAddress, counts: &watch::Sender<Option<ContainerCounts>>) -> anyhow::Result<()> {
    let stream = timeout(CONNECT_DEADLINE, connect(address)).await.context("The engine takes no connection")??;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let counting = async {
        let request = Request::get(CHANGES).header(http::header::HOST, "docker").body(Empty::<Bytes>::new())?;
        let mut changes = std::pin::pin!(changes(sender.send_request(request)));
        let mut look_again = true;
        loop {
            let counted = Instant::now();
            let found = timeout(COUNT_DEADLINE, probe::count(address)).await.context("No count in time")??;
            counts.send_if_modified(|known| known.replace(found) != Some(found));
            // An engine may tell of a change before it shows it: after the last
            // one it is looked at once more.
            let wait = if look_again { COUNT_EVERY } else { Duration::MAX };
            look_again = match timeout(wait, wait_for_change(&mut changes)).await {
                Ok(changed) => changed.map(|()| true)?,
                Err(_) => false,
            };
            if look_again {
                sleep_until((counted + COUNT_EVERY).max(Instant::now() + BURST)).await;
                forget_burst(&mut changes)?;
            }
        }
    };
    tokio::select! {
        ended = counting => ended,
        ended = connection => Err(anyhow::anyhow!("The connection ended: {ended:?}")),
    }
}

/// Each change that the engine tells of, and first that it listens: Podman says
/// so only with the first change.
fn changes(
    answering: impl Future<Output = hyper::Result<Response<Incoming>>>,
) -> impl Stream<Item = anyhow::Result<()>> {
    let told = answering.map(|answer| {
        let answer = answer?;
        anyhow::ensure!(answer.status().is_success(), "The engine answered {}", answer.status());
        let frames = BodyStream::new(answer.into_body()).map_ok(drop).err_into();
        Ok(stream::once(future::ok(())).chain(frames))
    });
    told.try_flatten_stream()
}

async fn wait_for_change(changes: &mut (impl Stream<Item = anyhow::Result<()>> + Unpin)) -> anyhow::Result<()> {
    changes.next().await.context("The list of changes ended")?
}

/// Passes over the changes that the next count has in it.
fn forget_burst(changes: &mut (impl Stream<Item = anyhow::Result<()>> + Unpin)) -> anyhow::Result<()> {
    while let Some(change) = changes.next().now_or_never() {
        change.context("The list of changes ended")??;
    }
    Ok(())
}
