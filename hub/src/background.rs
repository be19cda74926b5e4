//! Every job that runs by itself, on one page.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::app::AppState;
use crate::db::DbError;
use crate::lifecycle::Lifecycle;

/// How often what is over is deleted.
const CLEAN_EVERY: Duration = Duration::from_secs(60 * 60);

/// Starts all jobs. They end when the hub is asked to finish.
pub fn start(app: &AppState, lifecycle: &Lifecycle) {
    lifecycle.tasks.spawn(clean(app.clone(), lifecycle.clone()));
    lifecycle.tasks.spawn(drain(app.clone(), lifecycle.clone()));
}

/// Deletes sessions, tokens and records whose time is over. Each turn is one
/// transaction; one that is cut off is done again in the next.
async fn clean(app: AppState, lifecycle: Lifecycle) {
    let mut turns = tokio::time::interval(CLEAN_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = lifecycle.soft.cancelled() => return,
        }
        report(app.identity.delete_expired().await);
        report(app.fleet.delete_expired().await);
    }
}

/// Ends the sessions once the hub is asked to finish.
async fn drain(app: AppState, lifecycle: Lifecycle) {
    lifecycle.soft.cancelled().await;
    app.fleet.sessions().drain().await;
}

fn report(deleted: Result<u64, DbError>) {
    match deleted {
        Ok(0) => {}
        Ok(rows) => tracing::info!(rows, "deleted what was over"),
        Err(error) => tracing::error!(%error, "what is over could not be deleted"),
    }
}
