//! Connections for another protocol than HTTP, by the same rules: what a name
//! leads to is judged, the connection goes to the very address that was judged,
//! and TLS is always verified. Who asks sets the deadline.

use std::fmt;

use rustls::CertificateError;
use tokio::net::TcpStream;
use url::Host;

use super::connection::{self, Socket};
use super::{Failure, Outgoing, Rules};

/// The other end of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: Host,
    port: u16,
}

impl Target {
    /// The end in a text such as `host`, `host:389` or `[::1]:389`; without a
    /// port it is `port`.
    pub fn parse(text: &str, port: u16) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, digits)) if !digits.contains(']') => {
                let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                (host, digits.parse().ok().filter(|port| is_number && *port != 0)?)
            }
            Some(_) | None => (text, port),
        };
        let host = Host::parse(host).ok()?;
        Some(Self { host, port })
    }

    fn host(&self) -> Host<&str> {
        match &self.host {
            Host::Domain(name) => Host::Domain(name),
            Host::Ipv4(address) => Host::Ipv4(*address),
            Host::Ipv6(address) => Host::Ipv6(*address),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Why there is no line. It is told to those who look after the hub, and to
/// nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The name has no address.
    #[error("the name does not resolve")]
    Unresolved,
    /// It leads only to addresses that may not be reached.
    #[error("the name leads to this machine or into a private network, which this may not reach")]
    Private,
    /// Nobody answers there.
    #[error("nobody answers there")]
    Unconnected,
    /// The certificate is signed by nobody who is trusted.
    #[error("the certificate is signed by nobody who is trusted for it")]
    Untrusted,
    /// The certificate is another name's.
    #[error("the certificate is not for this name")]
    OtherName,
    /// The certificate is over, or begins later.
    #[error("the certificate is over or begins later")]
    Expired,
    /// There is no TLS.
    #[error("there is no TLS")]
    NoTls,
}

impl Outgoing {
    /// Connects to where a target leads, if that may be reached.
    ///
    /// # Errors
    /// [`LineError`].
    pub async fn dial(&self, rules: &Rules, target: &Target) -> Result<TcpStream, LineError> {
        let dialled = connection::dial_host(&*self.resolver, rules.allow_private, target.host(), target.port).await;
        dialled.map_err(|failure| told(target, failure))
    }

    /// Speaks TLS on a connection, and sees that the other end is who it should
    /// be.
    ///
    /// # Errors
    /// [`LineError`].
    pub async fn secure(&self, rules: &Rules, stream: TcpStream, target: &Target) -> Result<Socket, LineError> {
        let config = self.tls_config(rules).await.map_err(|failure| told(target, failure))?;
        let secured = connection::secure_host(stream, config, target.host()).await;
        secured.map_err(|failure| told(target, failure))
    }
}

fn told(target: &Target, failure: Failure) -> LineError {
    let told = match &failure {
        Failure::Private => LineError::Private,
        Failure::Unresolved(_) => LineError::Unresolved,
        Failure::Tls(error) => tls_trouble(error),
        Failure::Roots(_) => LineError::Untrusted,
        Failure::NotAllowed
        | Failure::Unconnected(_)
        | Failure::Http(_)
        | Failure::Body(_)
        | Failure::Request(_)
        | Failure::Slow => LineError::Unconnected,
    };
    let cause = anyhow::Error::new(failure);
    tracing::warn!(%target, cause = %format_args!("{cause:#}"), "an outgoing line cannot be had");
    told
}

fn tls_trouble(error: &std::io::Error) -> LineError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(wrong)) = inner else { return LineError::NoTls };
    match wrong {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => LineError::OtherName,
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => LineError::Expired,
        _ => LineError::Untrusted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_and_a_port_and_nothing_else() {
        for (text, shown) in [
            ("dc1.corp.example", "dc1.corp.example:389"),
            ("DC1.corp.example:3268", "dc1.corp.example:3268"),
            ("10.0.0.1", "10.0.0.1:389"),
            ("[::1]", "[::1]:389"),
            ("[fd00::1]:636", "[fd00::1]:636"),
        ] {
            assert_eq!(Target::parse(text, 389).unwrap().to_string(), shown);
        }
        for text in ["", ":389", "a b", "a/b", "a:0", "a:65536", "a:+1", "a:", "::1", "user@host", "a?x", "a#x", "[::1"]
        {
            assert_eq!(Target::parse(text, 389), None, "{text}");
        }
    }
}
