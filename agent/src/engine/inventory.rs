//! What an engine has: its containers, images, volumes and networks, kept as
//! they are while somebody follows. The engine says when something changes,
//! and is asked only then, and now and then in case it forgot to.

mod changes;
mod collect;
mod known;
mod listed;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use windflow_protocol::message::control::EngineStatus;
use windflow_protocol::message::report::{Position, Report};

use self::changes::{Changes, Suspects};
use self::collect::Collector;
use self::known::Known;
use super::EngineAddress;

/// Changes come in bursts; a burst is waited for this long.
const BURST: Duration = Duration::from_millis(200);
/// An engine may tell of a change before it shows it: this long after the last
/// one it is looked at once more.
const AFTERMATH: Duration = Duration::from_secs(3);
/// An engine that tells of nothing is looked at this often.
const RECONCILE: Duration = Duration::from_secs(60);
/// An engine that did not tell of its changes is tried again after this.
const AGAIN: Duration = Duration::from_secs(5);
/// After a look the engine is left alone for so many times as long.
const REST: u32 = 4;

/// Why an engine is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// It told of a change.
    Told,
    /// It told of one just now.
    Aftermath,
    /// It told of nothing for long.
    Routine,
}

/// What one engine has. Shared by everyone who follows it.
#[derive(Debug)]
pub struct Inventory {
    known: Mutex<Known>,
    /// The number of the last change; zero until the engine was looked at.
    newest: watch::Sender<u64>,
    /// Somebody began to follow.
    wanted: Notify,
}

impl Inventory {
    pub(super) fn new() -> Self {
        Self { known: Mutex::new(Known::new()), newest: watch::Sender::new(0), wanted: Notify::new() }
    }

    /// Follows what the engine has: the number of the last change, zero until
    /// it has been looked at. It is looked at only while somebody follows.
    pub fn follow(&self) -> watch::Receiver<u64> {
        let newest = self.newest.subscribe();
        self.wanted.notify_one();
        newest
    }

    /// What to tell somebody who has heard until `after`, the position as the
    /// last one.
    pub fn after(&self, after: Option<Position>) -> Vec<Report> {
        self.known().after(after)
    }

    /// Keeps it true for as long as it is polled.
    pub(super) async fn keep(&self, address: &EngineAddress, status: watch::Receiver<EngineStatus>) {
        loop {
            while self.newest.receiver_count() == 0 {
                self.wanted.notified().await;
            }
            tokio::select! {
                () = self.newest.closed() => {}
                () = self.keep_followed(address, status.clone()) => return,
            }
        }
    }

    async fn keep_followed(&self, address: &EngineAddress, mut status: watch::Receiver<EngineStatus>) {
        while status.wait_for(|status| matches!(status, EngineStatus::Running(_))).await.is_ok() {
            if let Err(error) = self.keep_running(address).await {
                tracing::debug!(engine.address = %address, %error, "the engine does not tell what it has");
            }
            sleep(AGAIN).await;
        }
    }

    /// Looks, and looks again after each change, until the engine stops
    /// telling.
    async fn keep_running(&self, address: &EngineAddress) -> anyhow::Result<()> {
        let (mut changes, carrier) = Changes::begin(address).await?;
        let keeping = async {
            // Asked to tell before it is looked at; what it does in between is seen
            // a little later.
            changes.gather()?;
            let (mut collector, mut cause) = (Collector::default(), Cause::Told);
            loop {
                let (begun, suspects) = (Instant::now(), changes.take());
                self.take(collector.look(address, &suspects).await?);
                let rested = Instant::now() + begun.elapsed() * REST;
                let wait = if cause == Cause::Told { AFTERMATH } else { RECONCILE };
                cause = match timeout(wait, changes.wait()).await {
                    Ok(told) => told.map(|()| Cause::Told)?,
                    Err(_) if cause == Cause::Told => changes.suspect(suspects, Cause::Aftermath),
                    Err(_) => changes.suspect(Suspects::everything(), Cause::Routine),
                };
                sleep_until(rested.max(Instant::now() + BURST)).await;
                changes.gather()?;
            }
        };
        tokio::select! {
            ended = keeping => ended,
            ended = carrier => Err(anyhow::anyhow!("The connection ended: {ended:?}")),
        }
    }

    fn take(&self, seen: Vec<collect::Seen>) {
        let mut known = self.known();
        for seen in seen {
            known.replace(seen.kind, seen.things);
        }
        let newest = known.settle();
        self.newest.send_if_modified(|number| std::mem::replace(number, newest) != newest);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
