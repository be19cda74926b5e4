//! The way to a syslog server: datagrams, or a stream with the length before
//! each message (RFC 6587 §3.4.1), which may be TLS (RFC 5425).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;

use super::{Syslog, Transport};

/// A connection, TLS included, must stand within this.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// What is sent must be taken within this.
const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// A stream that is still open so long after the last message has taken it, as
/// far as anybody can know: syslog has no answers.
const SETTLE: Duration = Duration::from_millis(500);

/// A stream, whatever it goes over.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A way that stands.
pub enum Way {
    /// Datagrams.
    Datagrams(UdpSocket),
    /// A stream.
    Stream(Box<dyn Wire>),
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Datagrams(_) => "Datagrams",
            Self::Stream(_) => "Stream",
        })
    }
}

impl Way {
    /// Opens the way.
    ///
    /// # Errors
    /// When the server cannot be reached in time, or shows no certificate that
    /// is trusted.
    pub async fn open(syslog: &Syslog) -> io::Result<Self> {
        within(CONNECT_DEADLINE, Self::dial(syslog)).await
    }

    async fn dial(syslog: &Syslog) -> io::Result<Self> {
        let server = (syslog.host.as_str(), syslog.port);
        match &syslog.transport {
            Transport::Udp => {
                let address = tokio::net::lookup_host(server).await?.next();
                let address = address.ok_or_else(|| io::Error::other("the name has no address"))?;
                let own = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(own).await?;
                socket.connect(address).await?;
                Ok(Self::Datagrams(socket))
            }
            Transport::Tcp => Ok(Self::Stream(Box::new(TcpStream::connect(server).await?))),
            Transport::Tls => {
                let connector = TlsConnector::from(Arc::new(trust(syslog.authority.as_deref())?));
                let name = ServerName::try_from(syslog.host.clone()).map_err(io::Error::other)?;
                let stream = connector.connect(name, TcpStream::connect(server).await?).await?;
                Ok(Self::Stream(Box::new(stream)))
            }
        }
    }

    /// Sends messages, and comes back once the server has them as far as can be
    /// known.
    ///
    /// # Errors
    /// When it does not take them in time, or has closed the connection.
    pub async fn send(&mut self, messages: &[Vec<u8>]) -> io::Result<()> {
        match self {
            Self::Datagrams(socket) => {
                for message in messages {
                    within(SEND_DEADLINE, socket.send(message)).await?;
                }
                Ok(())
            }
            Self::Stream(stream) => {
                within(SEND_DEADLINE, async {
                    for message in messages {
                        stream.write_all(format!("{} ", message.len()).as_bytes()).await?;
                        stream.write_all(message).await?;
                    }
                    stream.flush().await
                })
                .await?;
                still_open(stream).await
            }
        }
    }
}

/// A server says nothing: what is read is its end.
async fn still_open(stream: &mut Box<dyn Wire>) -> io::Result<()> {
    let mut byte = [0; 64];
    match tokio::time::timeout(SETTLE, stream.read(&mut byte)).await {
        Err(_) => Ok(()),
        Ok(Ok(0)) => Err(io::Error::other("the server closed the connection")),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error),
    }
}

async fn within<T>(deadline: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "it took longer than 10 s");
    tokio::time::timeout(deadline, work).await.map_err(late)?
}

/// Whom the server's certificate must come from.
fn trust(authority: Option<&str>) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(io::Error::other)?;
    let Some(pem) = authority else {
        return Ok(config.with_native_roots()?.with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
