//! Sends each record to a syslog server or a webhook elsewhere, in the order of
//! the chain and at least once: what was sent is written down after it was, so
//! that a record that is sent again shows by its number. One batch at a time is
//! in memory.

mod routes;
mod settings;
mod syslog;
#[cfg(test)]
mod tests;
mod way;
mod webhook;

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;
use tokio::time::sleep;
use utoipa::ToSchema;

pub use self::routes::routes;
use self::settings::SettingsError;
use self::way::Way;
use self::webhook::{PostError, UnfitWebhook};
use super::store::list_chained;
use crate::app::AppState;
use crate::clock::Timestamp;
use crate::db::{Announcement, DbError, Tx};
use crate::on_tx;

/// Records that are read and sent at once.
const BATCH: i64 = 100;
/// Where nothing says that there is a record, it is looked so often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After a failure it is tried again after this, and after twice as long each
/// time, up to the last.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_LAST: Duration = Duration::from_secs(5 * 60);

/// How the sending of records does.
#[derive(Debug, Default)]
pub struct Shipping {
    status: Mutex<ShippingStatus>,
    changed: Notify,
    sent: Counter,
    failures: Counter,
    lag: Gauge,
}

/// How it does, for those who look at it.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct ShippingStatus {
    /// Records that are not sent yet.
    lag: i64,
    /// The number of the last record that was sent.
    last_seq: Option<i64>,
    /// When that was.
    last_sent_at: Option<Timestamp>,
    /// Why nothing is sent at the moment.
    error: Option<String>,
}

/// Why nothing is sent at the moment.
#[derive(Debug, thiserror::Error)]
enum ShipError {
    /// The syslog server.
    #[error("the syslog server: {0}")]
    Syslog(#[from] io::Error),
    /// The webhook.
    #[error(transparent)]
    Webhook(#[from] PostError),
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<UnfitWebhook> for ShipError {
    fn from(unfit: UnfitWebhook) -> Self {
        Self::Webhook(unfit.into())
    }
}

impl Shipping {
    /// Has its numbers shown among those of the hub.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Audit records that are not sent elsewhere yet";
        registry.register("audit_shipping_lag_records", help, self.lag.clone());
        registry.register("audit_shipping_sent", "Audit records sent elsewhere", self.sent.clone());
        let help = "Attempts to send audit records elsewhere that failed";
        registry.register("audit_shipping_failures", help, self.failures.clone());
    }

    fn status(&self) -> MutexGuard<'_, ShippingStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_lag(&self, lag: i64) {
        self.status().lag = lag;
        self.lag.set(lag);
    }
}

/// Sends what there is to be sent, for as long as the hub runs.
pub async fn keep(app: AppState) {
    let (mut news, shipping) = (app.db.announcements(), &app.audit.shipping);
    let mut again = AGAIN_FIRST;
    loop {
        let shipped = tokio::select! {
            shipped = ship(&app, &mut news, &mut again) => shipped,
            () = app.lifecycle.soft.cancelled() => return,
        };
        let Err(error) = shipped else { continue };
        tracing::warn!(%error, again_seconds = again.as_secs(), "audit records could not be sent");
        shipping.failures.inc();
        shipping.status().error = Some(error.to_string());
        tokio::select! {
            () = sleep(again) => {}
            () = shipping.changed.notified() => {}
            () = app.lifecycle.soft.cancelled() => return,
        }
        again = (again * 2).min(AGAIN_LAST);
    }
}

/// Sends until the settings change.
async fn ship(app: &AppState, news: &mut Receiver<Announcement>, again: &mut Duration) -> Result<(), ShipError> {
    let shipping = &app.audit.shipping;
    // What was changed until now is read now.
    let _changed_before = shipping.changed.notified().now_or_never();
    let found = settings::read(&mut app.db.read().await?, &app.vault).await?;
    let Some(stored) = found else {
        *shipping.status() = ShippingStatus::default();
        shipping.lag.set(0);
        shipping.changed.notified().await;
        return Ok(());
    };
    look(app).await?;
    let mut way = Way::open(stored).await?;
    loop {
        // What is done after a change goes where that says.
        if shipping.changed.notified().now_or_never().is_some() {
            return Ok(());
        }
        let after = look(app).await?;
        let records = list_chained(&mut app.db.read().await?, after, BATCH).await?;
        let Some(last) = records.last().and_then(|record| record.seq) else {
            shipping.status().error = None;
            tokio::select! {
                _ = news.recv() => {}
                () = sleep(LOOK_EVERY) => {}
                () = shipping.changed.notified() => return Ok(()),
            }
            continue;
        };
        way.send(app, &records).await?;
        let now = app.clock.now();
        let mut tx = app.db.write_vital().await?;
        settings::set_cursor(&mut tx, last, now).await?;
        tx.commit().await?;
        *again = AGAIN_FIRST;
        shipping.sent.inc_by(records.len() as u64);
        let mut status = shipping.status();
        (status.last_sent_at, status.error) = (Some(now), None);
    }
}

/// The last record that was sent; how many are behind it is told.
async fn look(app: &AppState) -> Result<i64, DbError> {
    let mut tx = app.db.read().await?;
    let after = settings::cursor(&mut tx).await?.unwrap_or_default();
    let newest = newest(&mut tx).await?;
    drop(tx);
    app.audit.shipping.status().last_seq = Some(after);
    app.audit.shipping.set_lag((newest - after).max(0));
    Ok(after)
}

/// The newest record's number.
async fn newest(tx: &mut Tx) -> Result<i64, DbError> {
    let seq: Option<i64> = on_tx!(tx, |c| sqlx::query_scalar("SELECT seq FROM audit_head").fetch_optional(c).await)?;
    Ok(seq.unwrap_or_default())
}
