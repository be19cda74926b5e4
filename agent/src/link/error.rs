//! Why a hub could not be reached: a code for programs, a cause and an advice
//! for people.

use std::io;

use windflow_protocol::tls::{HubRefused, TlsError};
use windflow_protocol::transport::CloseReason;
use windflow_protocol::transport::websocket::ConnectError;

use super::proxy::ProxyError;

/// Why there is no connection to a hub.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no hub address to try.
    #[error("no hub address is known")]
    NoAddress,
    /// The host's name has no address.
    #[error("the name {host} cannot be resolved: {source}")]
    Dns {
        /// The hub's or the proxy's host.
        host: String,
        /// Why not.
        source: io::Error,
    },
    /// No address of the host accepts TCP.
    #[error("{target} does not accept a connection: {source}")]
    Tcp {
        /// Host and port.
        target: String,
        /// Why the last attempt failed.
        source: io::Error,
    },
    /// Nothing came back over UDP.
    #[error("no answer over UDP from {target}")]
    Udp {
        /// Host and port.
        target: String,
    },
    /// The proxy did not let the agent through.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The outermost TLS session failed.
    #[error("the outer TLS session failed: {0}")]
    OuterTls(io::Error),
    /// There was no WebSocket.
    #[error(transparent)]
    Upgrade(#[from] ConnectError),
    /// The tunnel's own TLS session failed.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The hub closed at once.
    #[error(transparent)]
    Closed(#[from] CloseReason),
    /// All of it took too long.
    #[error("the hub could not be reached in time")]
    Deadline,
}

impl LinkError {
    /// The code for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoAddress => "NO_ADDRESS",
            Self::Dns { .. } => "DNS_FAILED",
            Self::Tcp { .. } => "CONNECT_FAILED",
            Self::Udp { .. } => "UDP_BLOCKED",
            Self::Proxy(_) => "PROXY_REFUSED",
            Self::OuterTls(_) => "TLS_FAILED",
            Self::Upgrade(ConnectError::Io(_)) => "CONNECT_FAILED",
            Self::Upgrade(ConnectError::Status { .. }) => "PROXY_BLOCKS_UPGRADE",
            Self::Upgrade(ConnectError::Redirect { .. } | ConnectError::NotAHub(_)) => "NOT_A_HUB",
            Self::Tls(TlsError::Refused(HubRefused::PinMismatch { .. })) => "PIN_MISMATCH",
            Self::Tls(TlsError::Refused(_)) => "WRONG_HUB",
            Self::Tls(TlsError::Identity(_) | TlsError::Certificate(_)) => "IDENTITY_UNUSABLE",
            Self::Tls(TlsError::NoPurpose | TlsError::Handshake(_)) => "TLS_FAILED",
            Self::Closed(_) => "CLOSED_BY_HUB",
            Self::Deadline => "TIMEOUT",
        }
    }

    /// What to do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::NoAddress => "enroll again with --hub",
            Self::Dns { .. } => "check the hub's name and this host's DNS",
            Self::Tcp { .. } => "check that the hub runs, its port, and the firewalls on the way",
            Self::Udp { .. } => "UDP seems to be blocked on the way: use --transport auto or websocket",
            Self::Proxy(ProxyError::Unauthorized(_)) => "put USER:PASSWORD@ into the proxy's address",
            Self::Proxy(_) => "ask the proxy's owner to allow CONNECT to the hub, or exempt it with NO_PROXY",
            Self::OuterTls(_) => "check the scheme and port of the hub's address: http:// goes without outer TLS",
            Self::Upgrade(ConnectError::Io(_)) => "check that the hub runs, and the firewalls on the way",
            Self::Upgrade(ConnectError::Status { .. }) => "let the reverse proxy before the hub pass WebSockets",
            Self::Upgrade(ConnectError::Redirect { .. } | ConnectError::NotAHub(_)) => "check the hub's address",
            Self::Tls(TlsError::Refused(HubRefused::PinMismatch { .. })) => {
                "do not go on: this is another hub, or somebody is in between; make a token on the hub that is meant"
            }
            Self::Tls(TlsError::Refused(_)) => "check the hub's address: another server answered",
            Self::Tls(TlsError::Identity(_) | TlsError::Certificate(_)) => "enroll again with a new token",
            Self::Tls(TlsError::NoPurpose | TlsError::Handshake(_)) => "check the hub's address, version and log",
            Self::Closed(_) => "look into the hub's log",
            Self::Deadline => "check the network between this host and the hub",
        }
    }

    /// Whether trying again by itself is wrong: the hub is not the one that
    /// was meant.
    pub const fn is_distrust(&self) -> bool {
        matches!(self, Self::Tls(TlsError::Refused(_)))
    }

    /// Of two failures the one that says more.
    pub(super) fn or(self, other: Self) -> Self {
        if other.is_distrust() && !self.is_distrust() { other } else { self }
    }
}
