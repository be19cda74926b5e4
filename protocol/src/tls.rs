//! The one TLS 1.3 session between an agent and a hub, with certificates at
//! both ends. QUIC uses it as its own; on a WebSocket it runs inside the binary
//! messages. No older version, no tickets, no resumption, no early data.
//!
//! [`agent`] trusts exactly the key that a pin names. [`hub`] checks who signed
//! a certificate and what it may be used for; dates and standing are policy,
//! decided by the hub's own clock and database after the handshake.

pub mod agent;
mod certificate;
pub mod hub;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;

pub use agent::{ClientIdentity, ClientTls, FleetTrust, HubRefused, client_config};
pub use certificate::{CertificateRefused, PeerCertificate, authority_key, spki_digest};
pub use hub::{HubIdentity, HubLeaf, Peer, server_config};

/// The server name that TLS libraries want. It is never sent, and it decides
/// nothing: a hub is known by its key.
pub const SERVER_NAME: &str = "hub.windflow.invalid";

/// Why there is no TLS session.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The hub is not the one that the pins name.
    #[error(transparent)]
    Refused(#[from] HubRefused),
    /// The other end did not agree on what the connection is for.
    #[error("the other end does not speak this protocol: no application protocol was agreed on")]
    NoPurpose,
    /// This end's own certificate or key cannot be used.
    #[error("own certificate or key is not usable: {0}")]
    Identity(rustls::Error),
    /// A certificate of the fleet cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateRefused),
    /// The handshake failed or was cut.
    #[error("TLS handshake failed: {0}")]
    Handshake(std::io::Error),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn server_name() -> ServerName<'static> {
    ServerName::try_from(SERVER_NAME).expect("the constant is a valid DNS name")
}
