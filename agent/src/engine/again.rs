//! When an engine that failed is tried again.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use windflow_protocol::message::control::EngineStatus;

/// Waits longer after each failure, and no longer at all once an engine that
/// was away is back.
#[derive(Debug)]
pub struct Again {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Again {
    /// Waits so long after the first failure, doubled each time up to `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// Waits after a failure. What went well for long before is as good as new.
    pub async fn wait(&mut self, went_well: Duration, status: &mut watch::Receiver<EngineStatus>) {
        if went_well > self.most * 2 {
            self.next = self.first;
        }
        tokio::select! {
            () = sleep(self.next) => self.next = (self.next * 2).min(self.most),
            true = comes_back(status) => self.next = self.first,
        }
    }
}

/// Whether an engine runs.
pub const fn runs(status: &EngineStatus) -> bool {
    matches!(status, EngineStatus::Running(_))
}

/// Waits until the engine was away and runs again; false where nobody tells
/// any more.
async fn comes_back(status: &mut watch::Receiver<EngineStatus>) -> bool {
    status.wait_for(|status| !runs(status)).await.is_ok() && status.wait_for(runs).await.is_ok()
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;
    use windflow_protocol::message::control::EngineFacts;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn running() -> EngineStatus {
        EngineStatus::Running(EngineFacts::default())
    }

    async fn waited(again: &mut Again, went_well: Duration, status: &mut watch::Receiver<EngineStatus>) -> Duration {
        let begun = Instant::now();
        again.wait(went_well, status).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_is_waited_for_longer_until_something_went_well() {
        let (_engine, mut status) = watch::channel(running());
        let mut again = Again::new(SECOND, SECOND * 4);
        for seconds in [1, 2, 4, 4] {
            assert_eq!(waited(&mut again, SECOND, &mut status).await, SECOND * seconds);
        }
        assert_eq!(waited(&mut again, SECOND * 9, &mut status).await, SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_comes_back_is_not_waited_for() {
        let (engine, mut status) = watch::channel(running());
        let mut again = Again::new(SECOND * 10, SECOND * 40);
        let restart = async {
            sleep(SECOND).await;
            engine.send_replace(EngineStatus::Absent);
            sleep(SECOND).await;
            engine.send_replace(running());
        };
        let (waited_for, ()) = tokio::join!(waited(&mut again, SECOND, &mut status), restart);
        assert_eq!(waited_for, SECOND * 2);
        assert_eq!(waited(&mut again, SECOND, &mut status).await, SECOND * 10, "the first wait again");
        drop(engine);
        assert_eq!(waited(&mut again, SECOND, &mut status).await, SECOND * 20, "nobody tells any more");
    }
}
