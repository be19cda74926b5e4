//! The agent's end: whom it trusts, and how it says who it is.

use std::sync::{Arc, Mutex};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::certificate::{self, CertificateRefused, Use};
use super::{TlsError, provider, server_name};
use crate::identity::{FleetName, KeyDigest, Purpose};
use crate::ids::HubId;

/// The session's outgoing plaintext buffer, in bytes: one flush of the
/// multiplexer.
const BUFFER_LIMIT: usize = crate::limits::FLUSH_MAX;

/// Which hub an agent trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetTrust {
    /// Keys of the fleet's certificate authority, any of which will do.
    pub pins: Vec<KeyDigest>,
    /// The hub, once it is known; a token does not name it.
    pub hub: Option<HubId>,
}

/// The certificate an agent shows, and its key.
#[derive(Debug)]
pub struct ClientIdentity {
    /// The leaf, then the authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's private key.
    pub key: PrivateKeyDer<'static>,
}

/// Why a hub was not trusted. Nothing but the first message of the handshake
/// has been sent to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubRefused {
    /// The authority's key is none of the pinned ones.
    #[error("the hub's key does not match: expected {}, found {actual}", list(expected))]
    PinMismatch {
        /// What the token or the state directory says.
        expected: Vec<KeyDigest>,
        /// What the other end showed.
        actual: KeyDigest,
    },
    /// It did not show a leaf and its authority, as every hub does.
    #[error("the other end is not a hub: it showed {0} certificates, not two")]
    NotAHub(usize),
    /// Its certificate was not made for a hub by the pinned authority.
    #[error(transparent)]
    Certificate(#[from] CertificateRefused),
    /// It is another hub of the same authority, or none.
    #[error("the other end is {actual}, not the hub this agent belongs to")]
    WrongHub {
        /// The name it showed.
        actual: String,
    },
}

/// What one dial needs to become a TLS session. Make a new one for each dial,
/// so that [`refusal`](Self::refusal) speaks of that dial alone.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    purpose: Purpose,
    refusal: Arc<Mutex<Option<HubRefused>>>,
}

/// Prepares a dial for `purpose`, to a hub that `trust` names.
///
/// # Errors
/// [`TlsError::Identity`] when the certificate and key do not fit together.
pub fn client_config(
    purpose: Purpose,
    trust: FleetTrust,
    identity: Option<ClientIdentity>,
) -> Result<ClientTls, TlsError> {
    let provider = provider();
    let refusal = Arc::default();
    let verifier =
        HubVerifier { trust, algorithms: provider.signature_verification_algorithms, refusal: Arc::clone(&refusal) };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(identity) => config.with_client_auth_cert(identity.chain, identity.key).map_err(TlsError::Identity)?,
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![purpose.alpn().to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(ClientTls { config: Arc::new(config), purpose, refusal })
}

impl ClientTls {
    /// The configuration, for a transport that brings its own handshake.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// What the connection is for.
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Why the last handshake was refused by this end, if it was.
    pub fn refusal(&self) -> Option<HubRefused> {
        self.refusal.lock().expect("no holder of the lock panics").clone()
    }

    /// Makes `io` a session with the hub. The caller brings the deadline.
    ///
    /// # Errors
    /// [`TlsError::Refused`] when the hub is not trusted, [`TlsError::NoPurpose`]
    /// when it did not confirm what the connection is for, otherwise
    /// [`TlsError::Handshake`].
    pub async fn handshake<S>(&self, io: S) -> Result<tokio_rustls::client::TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = TlsConnector::from(self.config());
        let connected =
            connector.connect_with(server_name(), io, |session| session.set_buffer_limit(Some(BUFFER_LIMIT))).await;
        let stream = connected.map_err(|error| self.explain(error))?;
        self.confirm(stream.get_ref().1.alpn_protocol())?;
        Ok(stream)
    }

    /// Checks the application protocol that the other end chose.
    ///
    /// # Errors
    /// [`TlsError::NoPurpose`] unless it is the one that was asked for.
    pub fn confirm(&self, alpn: Option<&[u8]>) -> Result<(), TlsError> {
        if alpn == Some(self.purpose.alpn()) { Ok(()) } else { Err(TlsError::NoPurpose) }
    }

    fn explain(&self, error: std::io::Error) -> TlsError {
        self.refusal().map_or(TlsError::Handshake(error), TlsError::Refused)
    }
}

#[derive(Debug)]
struct HubVerifier {
    trust: FleetTrust,
    algorithms: WebPkiSupportedAlgorithms,
    refusal: Arc<Mutex<Option<HubRefused>>>,
}

impl HubVerifier {
    fn check(&self, leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Result<(), HubRefused> {
        let [authority] = rest else {
            return Err(HubRefused::NotAHub(1 + rest.len()));
        };
        let actual = certificate::authority_key(authority)?;
        if !self.trust.pins.contains(&actual) {
            return Err(HubRefused::PinMismatch { expected: self.trust.pins.clone(), actual });
        }
        let name = certificate::verify(leaf, authority, Use::Hub, &self.algorithms)?;
        match name {
            FleetName::Hub(hub) if self.trust.hub.is_none_or(|known| known == hub) => Ok(()),
            FleetName::Hub(_) | FleetName::Agent(..) => Err(HubRefused::WrongHub { actual: name.to_string() }),
        }
    }
}

impl ServerCertVerifier for HubVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Err(refused) = self.check(end_entity, intermediates) else {
            return Ok(ServerCertVerified::assertion());
        };
        *self.refusal.lock().expect("no holder of the lock panics") = Some(refused.clone());
        Err(rustls::CertificateError::Other(OtherError(Arc::new(refused))).into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn list(pins: &[KeyDigest]) -> String {
    pins.iter().map(KeyDigest::to_string).collect::<Vec<_>>().join(" or ")
}
