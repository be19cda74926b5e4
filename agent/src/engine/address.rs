//! Where an engine is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The address of an engine.
#[derive(Clone, Debug)]
pub enum EngineAddress {
    /// A Unix socket on this host.
    Unix(PathBuf),
    /// A TCP port, with TLS where it is given.
    Tcp {
        /// Host name or IP address.
        host: String,
        /// Port number.
        port: u16,
        /// How to prove who each end is; `None` is plain HTTP.
        tls: Option<EngineTls>,
    },
}

/// A text that is no engine address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not an engine address: use unix:///path/to/docker.sock or tcp://HOST:PORT")]
pub struct AddressError(String);

impl FromStr for EngineAddress {
    type Err = AddressError;

    /// Reads `unix:///path` or `tcp://host:port`; a port left out is 2375.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix://") {
            return path.starts_with('/').then(|| Self::Unix(path.into())).ok_or_else(error);
        }
        let url = url::Url::parse(text).map_err(|_| error())?;
        let bare = url.scheme() == "tcp" && matches!(url.path(), "" | "/") && url.query().is_none();
        let host = url.host_str().filter(|host| bare && !host.is_empty()).ok_or_else(error)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self::Tcp { host, port: url.port().unwrap_or(2375), tls: None })
    }
}

impl EngineAddress {
    /// The same TCP address with TLS; a Unix socket stays as it is.
    pub fn with_tls(self, tls: EngineTls) -> Self {
        match self {
            Self::Unix(path) => Self::Unix(path),
            Self::Tcp { host, port, .. } => Self::Tcp { host, port, tls: Some(tls) },
        }
    }
}

impl fmt::Display for EngineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

/// Mutual TLS with an engine, as `dockerd --tlsverify` wants it.
#[derive(Clone)]
pub struct EngineTls(Arc<ClientConfig>);

/// Why certificates and key make no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A text holds no PEM block of its kind.
    #[error("the {what} is not PEM")]
    Pem {
        /// Which of the three texts.
        what: &'static str,
    },
    /// They are PEM, and do not fit together.
    #[error("the certificates and the key do not fit together: {0}")]
    Rejected(#[from] rustls::Error),
}

impl EngineTls {
    /// From PEM texts: whom to trust, what to show, and the key to it.
    ///
    /// # Errors
    /// [`TlsError`] says which text is wrong; no text is repeated.
    pub fn from_pem(authority: &str, certificate: &str, key: &str) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for root in certificates(authority, "CA certificate")? {
            roots.add(root)?;
        }
        let chain = certificates(certificate, "client certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| TlsError::Pem { what: "client key" })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for EngineTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineTls")
    }
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or(TlsError::Pem { what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_two_forms() {
        for (text, shown) in [
            ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
            ("tcp://10.0.0.7:2376", "tcp://10.0.0.7:2376"),
            ("tcp://docker.example", "tcp://docker.example:2375"),
            ("tcp://[::1]:2375/", "tcp://[::1]:2375"),
        ] {
            assert_eq!(text.parse::<EngineAddress>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_two_forms() {
        for text in ["", "unix://relative", "/var/run/docker.sock", "http://host:1", "tcp://", "tcp://host:1/path"] {
            let error = text.parse::<EngineAddress>().unwrap_err().to_string();
            assert!(error.contains("tcp://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn a_wrong_pem_is_named_and_not_repeated() {
        let error = EngineTls::from_pem("secret nonsense", "", "").unwrap_err().to_string();
        assert_eq!(error, "the CA certificate is not PEM");
    }
}
