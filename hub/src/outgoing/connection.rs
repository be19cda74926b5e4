//! A connection to one of the addresses that were judged, and TLS on it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::Failure;
use super::address::Reach;
use super::resolver::Resolve;

/// One address must answer within this, so that there is time for the next.
const DIAL_DEADLINE: Duration = Duration::from_secs(4);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// Certificates of one integration's authorities.
const AUTHORITIES_MAX: usize = 100;

/// How TLS is spoken.
pub(super) type TlsConfig = Arc<ClientConfig>;
/// A connection, with or without TLS.
pub type Socket = Box<dyn Io>;

/// Reads and writes.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Who may sign the other end's certificate.
#[derive(Clone, Debug)]
pub struct Authorities(TlsConfig);

/// The text holds no certificates of authorities.
#[derive(Debug, thiserror::Error)]
#[error("these are no certificates of authorities in PEM form")]
pub struct InvalidAuthorities;

impl Authorities {
    /// The certificates in a text in PEM form.
    ///
    /// # Errors
    /// [`InvalidAuthorities`] where there is none, or one that is none.
    pub fn parse(pem: &str) -> Result<Self, InvalidAuthorities> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()).take(AUTHORITIES_MAX) {
            let certificate = certificate.map_err(|_| InvalidAuthorities)?;
            roots.add(certificate).map_err(|_| InvalidAuthorities)?;
        }
        if roots.is_empty() {
            return Err(InvalidAuthorities);
        }
        let config = builder().map_err(|_| InvalidAuthorities)?.with_root_certificates(roots).with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn config(&self) -> TlsConfig {
        self.0.clone()
    }
}

/// TLS with those that the machine trusts.
pub(super) async fn trusted() -> Result<TlsConfig, Failure> {
    let read = || -> std::io::Result<TlsConfig> {
        let config = builder().map_err(std::io::Error::other)?.with_native_roots()?.with_no_client_auth();
        Ok(Arc::new(config))
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other);
    read.and_then(|read| read).map_err(Failure::Roots)
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
}

/// Connects to where the address leads, if that may be reached.
pub(super) async fn dial(resolver: &dyn Resolve, allow_private: bool, url: &Url) -> Result<TcpStream, Failure> {
    let port = url.port_or_known_default().ok_or(Failure::NotAllowed)?;
    dial_host(resolver, allow_private, url.host().ok_or(Failure::NotAllowed)?, port).await
}

/// The same by host and port.
pub(super) async fn dial_host(
    resolver: &dyn Resolve,
    allow_private: bool,
    host: Host<&str>,
    port: u16,
) -> Result<TcpStream, Failure> {
    let found = match host {
        Host::Ipv4(address) => vec![IpAddr::V4(address)],
        Host::Ipv6(address) => vec![IpAddr::V6(address)],
        Host::Domain(name) => resolver.resolve(name).await.map_err(|error| Failure::Unresolved(Some(error)))?,
    };
    if found.is_empty() {
        return Err(Failure::Unresolved(None));
    }
    let open = found.into_iter().filter(|address| Reach::of(*address).is_open(allow_private));
    let open: Vec<IpAddr> = open.take(ADDRESSES_MAX).collect();
    if open.is_empty() {
        return Err(Failure::Private);
    }
    let mut last = None;
    for address in open {
        match tokio::time::timeout(DIAL_DEADLINE, TcpStream::connect(SocketAddr::new(address, port))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Some(error),
            Err(elapsed) => last = Some(elapsed.into()),
        }
    }
    Err(Failure::Unconnected(last))
}

/// Speaks TLS, and sees that the other end is who the address names.
pub(super) async fn secure(stream: TcpStream, config: TlsConfig, url: &Url) -> Result<Socket, Failure> {
    secure_host(stream, config, url.host().ok_or(Failure::NotAllowed)?).await
}

/// The same by host.
pub(super) async fn secure_host(stream: TcpStream, config: TlsConfig, host: Host<&str>) -> Result<Socket, Failure> {
    let name = match host {
        Host::Ipv4(address) => ServerName::from(IpAddr::V4(address)),
        Host::Ipv6(address) => ServerName::from(IpAddr::V6(address)),
        Host::Domain(name) => ServerName::try_from(name.to_owned()).map_err(|_| Failure::NotAllowed)?,
    };
    let secured = TlsConnector::from(config).connect(name, stream).await.map_err(Failure::Tls)?;
    Ok(Box::new(secured))
}
