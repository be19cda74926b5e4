//! A way to where records are sent, whatever that is.

use super::ShipError;
use super::settings::{Destination, Stored};
use super::syslog::message::Writer;
use super::syslog::transport;
use super::webhook::Hook;
use crate::app::AppState;
use crate::identity::audit::store::AuditRecord;

/// A way that stands.
#[derive(Debug)]
pub enum Way {
    /// To a syslog server.
    Syslog(transport::Way, Writer),
    /// To an address of HTTP.
    Webhook(Hook),
}

impl Way {
    /// Opens the way.
    ///
    /// # Errors
    /// When nobody can be reached there.
    pub async fn open(to: Stored) -> Result<Self, ShipError> {
        Ok(match &to.destination {
            Destination::Syslog(syslog) => Self::Syslog(transport::Way::open(syslog).await?, Writer::of_this_machine()),
            Destination::Webhook(webhook) => Self::Webhook(Hook::new(webhook, to.secret)?),
        })
    }

    /// Sends records, and comes back once they are there as far as can be known.
    ///
    /// # Errors
    /// When they are not taken.
    pub async fn send(&mut self, app: &AppState, records: &[AuditRecord]) -> Result<(), ShipError> {
        match self {
            Self::Syslog(way, writer) => {
                let messages: Vec<Vec<u8>> = records.iter().map(|record| writer.record(record)).collect();
                Ok(way.send(&messages).await?)
            }
            Self::Webhook(hook) => Ok(hook.records(&app.outgoing, records, app.clock.now()).await?),
        }
    }

    /// Sends one message, to see whether it arrives.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn attempt(&mut self, app: &AppState) -> Result<(), ShipError> {
        let now = app.clock.now();
        match self {
            Self::Syslog(way, writer) => Ok(way.send(&[writer.trial(now)]).await?),
            Self::Webhook(hook) => Ok(hook.trial(&app.outgoing, now).await?),
        }
    }
}
