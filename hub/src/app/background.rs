//! Every job that runs by itself, on one page.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::app::AppState;
use crate::clock::ClockGuard;
use crate::db::DbError;
use crate::db::guard::{Change, Guard};
use crate::identity::audit::{CutOff, shipping};
use crate::lifecycle::Lifecycle;
use crate::ops::health::Condition;
use crate::ops::keys;
use crate::server::{LOOK_EVERY, PortCertificate};
use crate::telemetry::{events, inventory, metrics};
use crate::workloads::containers;

/// How often what is over is deleted.
const CLEAN_EVERY: Duration = Duration::from_secs(60 * 60);

/// How often the tunnel's own certificate is renewed; it lasts 30 days.
const RENEW_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// How often the clock is looked at.
const CLOCK_EVERY: Duration = Duration::from_secs(10);
/// How often the room on the database's disk is looked at.
const ROOM_EVERY: Duration = Duration::from_secs(2);

/// Starts all jobs. They end when the hub is asked to finish.
pub fn start(app: &AppState, lifecycle: &Lifecycle) {
    lifecycle.tasks.spawn(clean(app.clone(), lifecycle.clone()));
    lifecycle.tasks.spawn(renew_own_certificate(app.clone(), lifecycle.clone()));
    lifecycle.tasks.spawn(watch_clock(app.clone(), lifecycle.clone()));
    lifecycle.tasks.spawn(end_sessions(app.clone()));
    lifecycle.tasks.spawn(inventory::keep(app.clone()));
    lifecycle.tasks.spawn(events::keep(app.clone()));
    lifecycle.tasks.spawn(metrics::keep(app.clone()));
    lifecycle.tasks.spawn(containers::keep(app.clone()));
    lifecycle.tasks.spawn(keys::keep(app.clone()));
    lifecycle.tasks.spawn(shipping::keep(app.clone()));
    lifecycle.tasks.spawn(send_mail(app.clone(), lifecycle.clone()));
    if app.peers.are_met().is_some() {
        let peers = app.peers.clone();
        app.health.watch_dispensable("redis", move || match peers.are_met() {
            Some(false) => Condition::Degraded,
            Some(true) | None => Condition::Ready,
        });
    }
    if let Some(guard) = app.db.guard() {
        lifecycle.tasks.spawn(watch_disk(guard.clone(), lifecycle.clone()));
    }
    give_memory_back();
}

/// Has the allocator give back what has been free for ten seconds, also where
/// no thread asks it for memory meanwhile. Not from the beginning: it would keep
/// as long what the master key's derivation took. A static program cannot: the
/// allocator asks the dynamic linker how to start its thread.
fn give_memory_back() {
    if cfg!(target_feature = "crt-static") {
        return;
    }
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::debug!(%error, "free memory is given back only beside other work");
    }
}

/// Looks at the files of the port's certificate for as long as the hub runs,
/// and has `/readyz` say how they do.
pub fn watch_certificate(app: &AppState, certificate: &Arc<PortCertificate>) {
    let (clock, watched) = (app.clock.clone(), certificate.clone());
    app.health.watch("certificate", move || match watched.is_well(clock.now()) {
        true => Condition::Ready,
        false => Condition::Degraded,
    });
    app.lifecycle.tasks.spawn(look_at_certificate(app.clone(), certificate.clone()));
}

async fn look_at_certificate(app: AppState, certificate: Arc<PortCertificate>) {
    let mut turns = tokio::time::interval(LOOK_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = app.lifecycle.soft.cancelled() => return,
        }
        let (certificate, now) = (certificate.clone(), app.clock.now());
        let looked = tokio::task::spawn_blocking(move || certificate.look(now)).await;
        if let Err(error) = looked {
            tracing::error!(%error, "the port's certificate could not be looked at");
        }
    }
}

/// Deletes sessions, tokens and records whose time is over. Each turn is one
/// transaction; one that is cut off is done again in the next.
async fn clean(app: AppState, lifecycle: Lifecycle) {
    let mut turns = tokio::time::interval(CLEAN_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = becomes_full(&app) => {}
            () = lifecycle.soft.cancelled() => return,
        }
        report(app.identity.delete_expired().await);
        report(app.identity.rotate_signing_keys().await);
        report(app.delete_old_records().await);
        report(app.fleet.delete_expired().await);
        report(app.jobs.end_cut_off(&CutOff).await);
        report(app.jobs.delete_expired().await);
        report(app.delete_old_events().await);
        report(app.end_broken_recordings().await);
        report(app.delete_old_recordings().await);
        report(app.mail.delete_old().await);
    }
}

/// Sends the mails that wait.
async fn send_mail(app: AppState, lifecycle: Lifecycle) {
    app.mail.send_until(lifecycle.soft).await;
}

/// What is over is deleted at once when the disk is full.
async fn becomes_full(app: &AppState) {
    match app.db.guard() {
        Some(guard) => guard.wait_until_full().await,
        None => std::future::pending().await,
    }
}

/// Keeps the ballast, and notices when there is room again.
async fn watch_disk(guard: Arc<Guard>, lifecycle: Lifecycle) {
    let mut turns = tokio::time::interval(ROOM_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = lifecycle.soft.cancelled() => return,
        }
        let looked = tokio::task::spawn_blocking({
            let guard = guard.clone();
            move || guard.look()
        });
        match looked.await {
            Ok(Ok(Change::Room)) => tracing::info!("there is room on the database's disk again: everything works"),
            Ok(Ok(Change::None | Change::Full)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the ballast file cannot be kept"),
            Err(error) => tracing::warn!(%error, "the database's disk could not be looked at"),
        }
    }
}

/// Renews the tunnel's own certificate long before it ends.
async fn renew_own_certificate(app: AppState, lifecycle: Lifecycle) {
    let mut turns = tokio::time::interval(RENEW_EVERY);
    turns.reset();
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = lifecycle.soft.cancelled() => return,
        }
        if let Err(error) = app.fleet.renew_own_certificate() {
            tracing::error!(%error, "the tunnel's certificate could not be renewed");
        }
    }
}

/// Says when the clock was set back: every session, token and certificate that
/// ends by it then lives longer.
async fn watch_clock(app: AppState, lifecycle: Lifecycle) {
    let mut guard = ClockGuard::new(app.clock.now(), Instant::now());
    let mut turns = tokio::time::interval(CLOCK_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = lifecycle.soft.cancelled() => return,
        }
        if let Some(behind) = guard.look(app.clock.now(), Instant::now()) {
            let seconds = behind.as_secs();
            tracing::warn!(seconds, "the clock was set back: what ends by it lives longer by as much");
        }
    }
}

/// Ends the sessions once the hub is asked to finish, after the jobs and the
/// terminals that need them.
pub async fn end_sessions(app: AppState) {
    let lifecycle = app.lifecycle.clone();
    lifecycle.soft.cancelled().await;
    tokio::join!(app.jobs.ended(), app.terminals.ended());
    lifecycle.links.cancel();
    app.fleet.sessions().drain().await;
}

fn report(deleted: Result<u64, DbError>) {
    match deleted {
        Ok(0) => {}
        Ok(rows) => tracing::info!(rows, "deleted what was over"),
        Err(error) => tracing::error!(%error, "what is over could not be deleted"),
    }
}
