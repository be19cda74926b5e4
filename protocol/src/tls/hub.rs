//! The hub's end: one configuration for every purpose, and who came.

use std::sync::{Arc, RwLock};

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, OtherError, ServerConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{StartHandshake, TlsAcceptor};

use super::certificate::{self, CertificateRefused, PeerCertificate, Use};
use super::{TlsError, provider};
use crate::identity::{FleetName, Purpose};
use crate::ids::HubId;

/// Plaintext the session buffers on its way out, in bytes: one flush of the
/// multiplexer.
const BUFFER_LIMIT: usize = crate::limits::FLUSH_MAX;

/// Who a hub is to its agents.
#[derive(Clone, Debug)]
pub struct HubIdentity {
    /// Its id.
    pub hub: HubId,
    /// The fleet's certificate authority.
    pub authority: CertificateDer<'static>,
    /// The certificate it shows.
    pub leaf: Arc<HubLeaf>,
}

/// The certificate a hub shows, replaceable while it runs. Sessions that stand
/// are not touched by a replacement.
#[derive(Debug)]
pub struct HubLeaf(RwLock<Arc<CertifiedKey>>);

impl HubLeaf {
    /// A certificate with its authority behind it, and its private key.
    ///
    /// # Errors
    /// [`TlsError::Identity`] when they do not fit together.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, TlsError> {
        Ok(Self(RwLock::new(certified(chain, key)?)))
    }

    /// Shows another certificate from the next handshake on.
    ///
    /// # Errors
    /// As [`new`](Self::new); the old certificate stays.
    pub fn replace(&self, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<(), TlsError> {
        let replacement = certified(chain, key)?;
        *self.0.write().expect("no holder of the lock panics") = replacement;
        Ok(())
    }
}

impl ResolvesServerCert for HubLeaf {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().expect("no holder of the lock panics")))
    }
}

/// Who came, as far as TLS can tell. Whether a certificate of these dates may
/// do this, and whether it must be there, is for the caller to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What the connection is for.
    pub purpose: Purpose,
    /// The certificate, signed by the fleet's authority; `None` where none was
    /// shown.
    pub certificate: Option<PeerCertificate>,
}

impl Peer {
    /// Reads what a finished handshake agreed on and showed.
    ///
    /// # Errors
    /// [`TlsError::NoPurpose`] without one of our application protocols.
    pub fn read(alpn: Option<&[u8]>, chain: Option<&[CertificateDer<'_>]>) -> Result<Self, TlsError> {
        let purpose = alpn.and_then(Purpose::from_alpn).ok_or(TlsError::NoPurpose)?;
        let leaf = chain.and_then(<[_]>::first);
        let certificate = leaf.map(|leaf| PeerCertificate::read(leaf)).transpose()?;
        Ok(Self { purpose, certificate })
    }
}

/// The configuration for agents, for all purposes and both transports.
///
/// # Errors
/// [`TlsError::Certificate`] when the authority is no certificate.
pub fn server_config(identity: &HubIdentity) -> Result<Arc<ServerConfig>, TlsError> {
    certificate::authority_key(&identity.authority)?;
    let provider = provider();
    let verifier = AgentVerifier {
        hub: identity.hub,
        authority: identity.authority.clone(),
        algorithms: provider.signature_verification_algorithms,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::clone(&identity.leaf) as _);
    config.alpn_protocols = Purpose::ALL.map(|purpose| purpose.alpn().to_vec()).to_vec();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// Whether a handshake that begins like this is an agent's: it says what it
/// came for.
pub fn is_agents(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.any(|alpn| Purpose::from_alpn(alpn).is_some()))
}

/// Makes `io` a session with an agent. The caller brings the deadline.
///
/// # Errors
/// [`TlsError::Handshake`], or [`TlsError::NoPurpose`] when the other end did
/// not say what it came for.
pub async fn accept<S>(io: S, config: Arc<ServerConfig>) -> Result<(TlsStream<S>, Peer), TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let acceptor = TlsAcceptor::from(config);
    let accepting = acceptor.accept_with(io, |session| session.set_buffer_limit(Some(BUFFER_LIMIT)));
    match accepting.into_fallible().await {
        Ok(stream) => with_peer(Ok(stream)),
        Err((error, mut io)) => {
            // The alert that says why may wait in what carries the session.
            io.flush().await.ok();
            with_peer(Err(error))
        }
    }
}

/// As [`accept`], where the first message of the handshake was read already.
///
/// # Errors
/// As [`accept`].
pub async fn accept_begun<S>(
    begun: StartHandshake<S>,
    config: Arc<ServerConfig>,
) -> Result<(TlsStream<S>, Peer), TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    with_peer(begun.into_stream_with(config, |session| session.set_buffer_limit(Some(BUFFER_LIMIT))).await)
}

fn with_peer<S>(accepted: std::io::Result<TlsStream<S>>) -> Result<(TlsStream<S>, Peer), TlsError> {
    let stream = accepted.map_err(TlsError::Handshake)?;
    let session = stream.get_ref().1;
    let peer = Peer::read(session.alpn_protocol(), session.peer_certificates())?;
    Ok((stream, peer))
}

fn certified(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Arc<CertifiedKey>, TlsError> {
    CertifiedKey::from_der(chain, key, &provider()).map(Arc::new).map_err(TlsError::Identity)
}

/// Checks everything about an agent's certificate but its dates.
#[derive(Debug)]
struct AgentVerifier {
    hub: HubId,
    authority: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl AgentVerifier {
    fn check(&self, leaf: &CertificateDer<'_>) -> Result<(), CertificateRefused> {
        let name = certificate::verify(leaf, &self.authority, Use::Agent, &self.algorithms)?;
        match name {
            FleetName::Agent(hub, _) if hub == self.hub => Ok(()),
            FleetName::Agent(..) | FleetName::Hub(_) => Err(CertificateRefused::Name(name.to_string())),
        }
    }
}

impl ClientCertVerifier for AgentVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match self.check(end_entity) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(refused) => Err(rustls::CertificateError::Other(OtherError(Arc::new(refused))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
