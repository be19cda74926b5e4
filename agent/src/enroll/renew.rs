//! A fresh certificate for one that has expired, on the protocol name that
//! does nothing else. A certificate that is still good is renewed over the
//! live session, see [`EdgeCredentials`].

use anyhow::Context;
use tokio::time::timeout;
use windflow_protocol::codec;
use windflow_protocol::identity::Purpose;
use windflow_protocol::limits::EXCHANGE_DEADLINE;
use windflow_protocol::message::enroll::{RenewReply, RenewRequest};
use windflow_protocol::message::hello::Rejected;
use windflow_protocol::tls::client_config;

use crate::identity::EdgeCredentials;
use crate::link::{Link, LinkError};
use crate::serve::Credentials;

/// Why there is no fresh certificate.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The hub refuses.
    #[error("the hub refuses to renew the certificate: {}", .0.message)]
    Refused(Rejected),
    /// The hub cannot be reached.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Something else went wrong on the way.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// Exchanges the identity's certificate, expired or not, for a fresh one and
/// keeps it.
///
/// # Errors
/// [`RenewError`]; the old certificate is still there then.
pub async fn renew(link: &mut Link, credentials: &EdgeCredentials) -> Result<(), RenewError> {
    let tls = || {
        let (identity, trust) = credentials.for_handshake();
        client_config(Purpose::Renew, trust, Some(identity))
    };
    let mut hub = link.exchange(&tls).await?;
    let request = RenewRequest { ticket: credentials.claim().ticket, csr: credentials.certificate_request()? };
    let exchange = async {
        codec::write_message(&mut hub, &request).await?;
        codec::read_message(&mut hub).await
    };
    let reply = timeout(EXCHANGE_DEADLINE, exchange).await.map_err(|_| LinkError::Deadline)?;
    match reply.context("The hub's answer was lost")? {
        RenewReply::Renewed(certificate) => Ok(credentials.keep(certificate).await?),
        RenewReply::Refused { reason, message } => {
            Err(RenewError::Refused(Rejected { reason, message, retry_after_secs: 0 }))
        }
    }
}
