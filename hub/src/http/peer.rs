//! The other end of a connection, as the server saw it.

use std::net::{IpAddr, SocketAddr};

/// Who is at the other end of a connection. The server puts one into the
/// extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP connection.
    Tcp {
        /// The other end's address.
        address: SocketAddr,
        /// Whether the hub ended TLS on it.
        scheme: Scheme,
    },
    /// The Unix socket in the data directory, whose file mode and peer check
    /// let only root and the hub's own user through.
    Local {
        /// The peer's user id.
        uid: u32,
    },
}

/// How a TCP connection carries HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS that ends in this process.
    Https,
}

/// In the extensions of a request that came over TLS with a certificate which
/// is not of the hub's own making. Only then may a browser be told to insist on
/// it: a warning that it cannot pass would shut its user out.
#[derive(Clone, Copy, Debug)]
pub struct LastingTls;

impl Scheme {
    /// The scheme of a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl Peer {
    /// The address, where there is one.
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::Tcp { address, .. } => Some(address.ip().to_canonical()),
            Self::Local { .. } => None,
        }
    }

    /// Whether the peer is on this machine.
    pub fn is_loopback(self) -> bool {
        self.address().is_none_or(|address| address.is_loopback())
    }

    /// The scheme in the URL that the peer used.
    pub fn scheme(self) -> Scheme {
        match self {
            Self::Tcp { scheme, .. } => scheme,
            Self::Local { .. } => Scheme::Http,
        }
    }
}
