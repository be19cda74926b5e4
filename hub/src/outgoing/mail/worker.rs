//! Sends what is due, one mail after the other, until the hub finishes. What is
//! cut off is sent again by the next hub, under the same id.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::letter::Rendered;
use super::outbox::{self, Due};
use super::settings::Server;
use super::{Mail, MailAddress, MailError, place, smtp};
use crate::clock::Timestamp;

/// The first wait after a failure; each further failure doubles it.
const WAIT_FIRST: Duration = Duration::from_secs(10);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(60 * 60);
/// The outbox is looked at this often at least.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Mails that are read at once.
const BATCH_MAX: i64 = 20;

impl Mail {
    /// Sends what is due until `end`.
    pub async fn send_until(&self, end: CancellationToken) {
        loop {
            let wait = match self.send_due(&end).await {
                Ok(next) => next.map_or(LOOK_EVERY, |next| next.since(self.clock.now())).min(LOOK_EVERY),
                Err(error) => {
                    tracing::error!(%error, "the mails that wait could not be sent");
                    LOOK_EVERY
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = end.cancelled() => return,
            }
        }
    }

    /// Sends what is due now. When something is due next.
    pub(super) async fn send_due(&self, end: &CancellationToken) -> Result<Option<Timestamp>, MailError> {
        let mut tx = self.db.write_vital().await?;
        let given_up = outbox::fail_expired(&mut tx, self.clock.now()).await?;
        tx.commit().await?;
        if given_up > 0 {
            tracing::warn!(mails = given_up, "mails were given up: no server took them in time");
        }
        let due = outbox::list_due(&mut self.db.read().await?, self.clock.now(), BATCH_MAX).await?;
        for mail in due {
            // A server that hangs holds this up: what was set meanwhile counts.
            let Some(server) = self.server().await? else { return Ok(None) };
            tokio::select! {
                sent = self.send(&server, &mail) => sent?,
                () = end.cancelled() => return Ok(None),
            }
        }
        Ok(outbox::next_due(&mut self.db.read().await?).await?)
    }

    async fn send(&self, server: &Server, mail: &Due) -> Result<(), MailError> {
        let (letter, to) = match self.open(mail) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(%error, mail.id = %mail.id, "a mail that waits cannot be read");
                return self.give_up(mail, "the hub cannot read what it stored").await;
            }
        };
        let post = smtp::Post { id: mail.id, to: &to, letter: &letter, at: mail.created_at };
        let delivered = smtp::deliver(server, &post).await;
        let now = self.clock.now();
        let Some(failure) = delivered.failure() else {
            let mut tx = self.db.write_vital().await?;
            outbox::set_sent(&mut tx, mail.id, now).await?;
            tx.commit().await?;
            tracing::info!(mail.id = %mail.id, "a mail was sent");
            return Ok(());
        };
        tracing::warn!(mail.id = %mail.id, step = ?failure.step, why = failure.detail, "a mail was not sent");
        let next = now + wait_after(mail.attempts);
        if delivered.is_final || next >= mail.expires_at {
            return self.give_up(mail, &failure.detail).await;
        }
        let mut tx = self.db.write_vital().await?;
        outbox::set_retry(&mut tx, mail.id, next, &failure.detail).await?;
        Ok(tx.commit().await?)
    }

    async fn give_up(&self, mail: &Due, why: &str) -> Result<(), MailError> {
        let mut tx = self.db.write_vital().await?;
        outbox::set_failed(&mut tx, mail.id, self.clock.now(), why).await?;
        Ok(tx.commit().await?)
    }

    fn open(&self, mail: &Due) -> Result<(Rendered, MailAddress), MailError> {
        let opened = self.vault.open(&place(&mail.id.to_string()), &mail.letter_sealed)?;
        let to = mail.recipient.parse::<MailAddress>().map_err(<serde_json::Error as serde::de::Error>::custom)?;
        Ok((serde_json::from_slice(&opened)?, to))
    }
}

/// How long to wait after this many attempts and one more.
fn wait_after(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.clamp(0, 16)).unwrap_or_default();
    WAIT_FIRST.saturating_mul(1 << doublings).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let waits: Vec<u64> = [0, 1, 2, 8, 9, 60].map(wait_after).iter().map(Duration::as_secs).collect();
        assert_eq!(waits, [10, 20, 40, 2560, 3600, 3600]);
    }
}
