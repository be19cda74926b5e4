//! How the hub ends. A first signal is a request: stop accepting, finish what
//! runs. A second one, or [`DRAIN_DEADLINE`], is an order.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long running requests, jobs and sessions may take to finish.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
/// How long tasks get to notice that they must stop at once.
const HARD_DEADLINE: Duration = Duration::from_secs(3);

/// The ends of the hub, one after the other, and the tasks that live until then.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    /// Cancelled when the hub should finish: take nothing new on.
    pub soft: CancellationToken,
    /// Cancelled once nothing needs the ways to the engines any more: what was
    /// left to do over them is done, or must be dropped.
    pub links: CancellationToken,
    /// Cancelled when the hub must stop: drop what is left.
    pub hard: CancellationToken,
    /// Every task of the hub. Nothing is spawned elsewhere.
    pub tasks: TaskTracker,
}

/// How the hub ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything finished.
    Drained,
    /// Something was cut off.
    Cut,
}

impl Lifecycle {
    /// Waits for a signal (or for `soft` to be cancelled by the hub itself),
    /// then for the tasks.
    ///
    /// # Errors
    /// When signals cannot be received.
    pub async fn run(&self) -> anyhow::Result<Ended> {
        let mut terminate = signal(SignalKind::terminate()).context("Failed to listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("Failed to listen for SIGINT")?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = self.soft.cancelled() => {}
        }
        tracing::info!("stopping; a second signal stops at once");
        let again = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        Ok(self.drain(again).await)
    }

    /// Ends the hub: `soft` now, `hard` after [`DRAIN_DEADLINE`] or when
    /// `impatient` is ready.
    pub async fn drain(&self, impatient: impl Future<Output = ()>) -> Ended {
        self.soft.cancel();
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => return Ended::Drained,
            () = impatient => {}
            () = tokio::time::sleep(DRAIN_DEADLINE) => {}
        }
        tracing::warn!(tasks = self.tasks.len(), "stopping without waiting for what still runs");
        self.links.cancel();
        self.hard.cancel();
        match tokio::time::timeout(HARD_DEADLINE, self.tasks.wait()).await {
            Ok(()) | Err(_) => Ended::Cut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_finishes_is_waited_for() {
        let lifecycle = Lifecycle::default();
        let soft = lifecycle.soft.clone();
        lifecycle.tasks.spawn(async move { soft.cancelled().await });
        assert_eq!(lifecycle.drain(std::future::pending()).await, Ended::Drained);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_finish_is_cut_after_the_deadline_or_at_once_on_demand() {
        for impatient in [false, true] {
            let lifecycle = Lifecycle::default();
            let hard = lifecycle.hard.clone();
            lifecycle.tasks.spawn(async move { hard.cancelled().await });
            let started = tokio::time::Instant::now();
            let demand = async move {
                if !impatient {
                    std::future::pending::<()>().await;
                }
            };
            assert_eq!(lifecycle.drain(demand).await, Ended::Cut);
            let expected = if impatient { Duration::ZERO } else { DRAIN_DEADLINE };
            assert_eq!(started.elapsed(), expected);
        }
    }
}
