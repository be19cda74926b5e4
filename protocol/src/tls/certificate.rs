//! What a fleet's certificates say, and whether the fleet's authority signed
//! them. Dates are read and reported, never judged here.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::identity::{FleetName, KeyDigest};
use crate::ids::{AgentId, HubId};

/// Why a certificate does not belong to the fleet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefused {
    /// It is no X.509 certificate.
    #[error("malformed certificate")]
    Malformed,
    /// The authority did not sign it, or did not sign it for this use.
    #[error("certificate refused: {0}")]
    Untrusted(String),
    /// It does not carry exactly the one name it should.
    #[error("certificate carries the wrong name: {0}")]
    Name(String),
}

/// What a verified client certificate says. Its dates have not been judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The hub that the agent belongs to.
    pub hub: HubId,
    /// The agent.
    pub agent: AgentId,
    /// The agent's key, which is what the agent is.
    pub key: KeyDigest,
    /// The serial number, big-endian, without leading zeros.
    pub serial: Vec<u8>,
    /// When it begins, in microseconds since 1970.
    pub not_before_micros: i64,
    /// When it ends, in microseconds since 1970.
    pub not_after_micros: i64,
}

impl PeerCertificate {
    /// Reads an agent's certificate without verifying who signed it.
    ///
    /// # Errors
    /// [`CertificateRefused`] when it is malformed or does not name an agent.
    pub fn read(der: &[u8]) -> Result<Self, CertificateRefused> {
        let certificate = parse(der)?;
        let FleetName::Agent(hub, agent) = fleet_name(&certificate)? else {
            return Err(CertificateRefused::Name("a hub's, not an agent's".to_owned()));
        };
        let micros = |time: x509_parser::time::ASN1Time| time.timestamp().saturating_mul(1_000_000);
        Ok(Self {
            hub,
            agent,
            key: spki_digest(certificate.public_key().raw),
            serial: certificate.serial.to_bytes_be(),
            not_before_micros: micros(certificate.validity().not_before),
            not_after_micros: micros(certificate.validity().not_after),
        })
    }
}

/// The digest of a DER SubjectPublicKeyInfo: a pin, or an agent's identity.
pub fn spki_digest(spki: &[u8]) -> KeyDigest {
    let digest = ring::digest::digest(&ring::digest::SHA256, spki);
    KeyDigest(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// The digest of a certificate's public key: of an authority, its pin.
///
/// # Errors
/// [`CertificateRefused::Malformed`] when it is no certificate.
pub fn authority_key(der: &[u8]) -> Result<KeyDigest, CertificateRefused> {
    Ok(spki_digest(parse(der)?.public_key().raw))
}

/// What a leaf must be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Hub,
    Agent,
}

impl Use {
    /// The extended key usage (RFC 5280 §4.2.1.12) as an encoded OID: server
    /// or client authentication. A leaf without any is refused.
    const fn required(self) -> KeyUsage {
        match self {
            Self::Hub => KeyUsage::required(&[43, 6, 1, 5, 5, 7, 3, 1]),
            Self::Agent => KeyUsage::required(&[43, 6, 1, 5, 5, 7, 3, 2]),
        }
    }
}

/// Checks that `authority` itself signed `leaf` for this use, and gives the
/// leaf's name. The moment of judgement is the leaf's own first one, so that
/// dates decide nothing.
pub(super) fn verify(
    leaf: &CertificateDer<'_>,
    authority: &CertificateDer<'_>,
    made_for: Use,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<FleetName, CertificateRefused> {
    let parsed = parse(leaf)?;
    let untrusted = |error: webpki::Error| CertificateRefused::Untrusted(error.to_string());
    let anchor = webpki::anchor_from_trusted_cert(authority).map_err(untrusted)?;
    let end_entity = EndEntityCert::try_from(leaf).map_err(untrusted)?;
    let at = first_moment(&parsed)?;
    end_entity
        .verify_for_usage(algorithms.all, &[anchor], &[], at, made_for.required(), None, None)
        .map_err(untrusted)?;
    fleet_name(&parsed)
}

fn first_moment(certificate: &X509Certificate<'_>) -> Result<UnixTime, CertificateRefused> {
    let seconds = u64::try_from(certificate.validity().not_before.timestamp());
    let seconds = seconds.map_err(|_| CertificateRefused::Malformed)?;
    Ok(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateRefused> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) | Err(_) => Err(CertificateRefused::Malformed),
    }
}

fn fleet_name(certificate: &X509Certificate<'_>) -> Result<FleetName, CertificateRefused> {
    let names = certificate.subject_alternative_name().map_err(|_| CertificateRefused::Malformed)?;
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let [GeneralName::URI(uri)] = names else {
        return Err(CertificateRefused::Name(format!("{} names, one URI was expected", names.len())));
    };
    FleetName::parse(uri).ok_or_else(|| CertificateRefused::Name("not a name of a fleet".to_owned()))
}
