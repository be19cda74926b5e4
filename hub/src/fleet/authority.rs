//! The fleet's certificate authority: the one key that every agent trusts, and
//! the certificates it signs.

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};
use windflow_protocol::identity::{FleetName, KeyDigest};
use windflow_protocol::ids::{AgentId, HubId};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

/// How long an agent's certificate lasts.
pub const AGENT_CERTIFICATE_LIFE: Duration = Duration::days(7);
/// How long the hub's own certificate lasts; it is made anew at each start and every day.
pub const HUB_CERTIFICATE_LIFE: Duration = Duration::days(30);
/// Certificates begin this long ago, so that a hub whose clock steps back does
/// not refuse its own.
const BACKDATE: Duration = Duration::hours(24);
/// Object identifier of an elliptic curve public key (RFC 5480 §2.1.1).
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
/// Object identifier of the curve P-256 (RFC 5480 §2.1.1.1).
const CURVE_P256: &str = "1.2.840.10045.3.1.7";

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The request is not a certificate request, or not signed by its own key.
    #[error("the certificate request is malformed or not signed by its own key")]
    BadRequest,
    /// The request's key is not one the fleet uses.
    #[error("the key of a certificate request must be ECDSA P-256")]
    BadKey,
    /// The authority's own key or certificate cannot be used.
    #[error("the fleet's certificate authority cannot be used: {0}")]
    Unusable(#[from] rcgen::Error),
}

/// The authority with its key.
pub struct Authority {
    hub: HubId,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pin: KeyDigest,
}

/// An agent's public key, taken from a certificate request whose signature
/// proved possession. Everything else in the request is ignored.
#[derive(Clone, Debug)]
pub struct AgentKey {
    spki: Vec<u8>,
    /// SHA-256 of the key: the agent's identity.
    pub digest: KeyDigest,
}

/// A signed agent certificate.
#[derive(Clone, Debug)]
pub struct IssuedCertificate {
    /// X.509 DER.
    pub der: Vec<u8>,
    /// Its serial number, lowercase hexadecimal.
    pub serial: String,
    /// First moment it is valid.
    pub not_before: OffsetDateTime,
    /// Last moment it is valid.
    pub not_after: OffsetDateTime,
}

/// The hub's own certificate with its key, for the tunnel's TLS.
#[derive(Debug)]
pub struct HubCertificate {
    /// Leaf first, then the authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    /// Makes a new authority for a hub.
    ///
    /// # Errors
    /// [`AuthorityError::Unusable`] when the system gives no random key.
    pub fn generate(hub: HubId) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let certificate = authority_params(hub).self_signed(&key)?.der().clone();
        Self::assemble(hub, key, certificate)
    }

    /// The authority that [`key_der`](Self::key_der) and
    /// [`certificate`](Self::certificate) were stored of.
    ///
    /// # Errors
    /// [`AuthorityError::Unusable`] when they are not a key and its certificate.
    pub fn load(hub: HubId, key: &[u8], certificate: Vec<u8>) -> Result<Self, AuthorityError> {
        Self::assemble(hub, KeyPair::try_from(key)?, CertificateDer::from(certificate))
    }

    fn assemble(hub: HubId, key: KeyPair, certificate: CertificateDer<'static>) -> Result<Self, AuthorityError> {
        let pin = key_digest(&key.subject_public_key_info());
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { hub, issuer, certificate, pin })
    }

    /// The authority's private key, PKCS #8 DER, to be sealed and stored.
    pub fn key_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.issuer.key().serialize_der())
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What agents pin: the digest of the authority's public key.
    pub const fn pin(&self) -> KeyDigest {
        self.pin
    }

    /// The hub whose authority it is.
    pub const fn hub(&self) -> HubId {
        self.hub
    }

    /// Signs a certificate for an agent's key.
    ///
    /// # Errors
    /// [`AuthorityError::Unusable`] when signing fails.
    pub fn issue(
        &self,
        agent: AgentId,
        key: &AgentKey,
        now: OffsetDateTime,
        life: Duration,
    ) -> Result<IssuedCertificate, AuthorityError> {
        let serial = serial();
        let mut params = leaf_params(FleetName::Agent(self.hub, agent), ExtendedKeyUsagePurpose::ClientAuth)?;
        params.distinguished_name.push(DnType::CommonName, "agent");
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        (params.not_before, params.not_after) = (now - BACKDATE, now + life);
        let issued = IssuedCertificate {
            serial: data_encoding::HEXLOWER.encode(&serial),
            not_before: params.not_before,
            not_after: params.not_after,
            der: params.signed_by(&SubjectPublicKeyInfo::from_der(&key.spki)?, &self.issuer)?.der().to_vec(),
        };
        Ok(issued)
    }

    /// Makes the hub's own certificate with a fresh key.
    ///
    /// # Errors
    /// [`AuthorityError::Unusable`] when signing fails.
    pub fn issue_hub(&self, now: OffsetDateTime) -> Result<HubCertificate, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = leaf_params(FleetName::Hub(self.hub), ExtendedKeyUsagePurpose::ServerAuth)?;
        params.distinguished_name.push(DnType::CommonName, "hub");
        params.serial_number = Some(SerialNumber::from_slice(&serial()));
        (params.not_before, params.not_after) = (now - BACKDATE, now + HUB_CERTIFICATE_LIFE);
        let leaf = params.signed_by(&key, &self.issuer)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(HubCertificate { chain: vec![leaf, self.certificate.clone()], key })
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("hub", &self.hub).field("pin", &self.pin).finish_non_exhaustive()
    }
}

impl AgentKey {
    /// Takes the public key out of a PKCS #10 request (RFC 2986), DER.
    ///
    /// # Errors
    /// [`AuthorityError::BadRequest`] or [`AuthorityError::BadKey`].
    pub fn from_request(csr: &[u8]) -> Result<Self, AuthorityError> {
        let (rest, request) = X509CertificationRequest::from_der(csr).map_err(|_| AuthorityError::BadRequest)?;
        if !rest.is_empty() {
            return Err(AuthorityError::BadRequest);
        }
        let spki = &request.certification_request_info.subject_pki;
        let curve = spki.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        let p256 = spki.algorithm.algorithm.to_id_string() == EC_PUBLIC_KEY
            && curve.is_some_and(|curve| curve.to_id_string() == CURVE_P256);
        if !p256 {
            return Err(AuthorityError::BadKey);
        }
        request.verify_signature().map_err(|_| AuthorityError::BadRequest)?;
        Ok(Self { spki: spki.raw.to_vec(), digest: key_digest(spki.raw) })
    }
}

/// SHA-256 of a DER SubjectPublicKeyInfo.
pub fn key_digest(spki: &[u8]) -> KeyDigest {
    let digest = digest(&SHA256, spki);
    KeyDigest(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

fn authority_params(hub: HubId) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Windflow fleet {hub}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(2099, 12, 31);
    params
}

fn leaf_params(name: FleetName, usage: ExtendedKeyUsagePurpose) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(name.to_string())?)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    Ok(params)
}

/// 127 random bits: a positive number in every reading of X.509.
fn serial() -> [u8; 16] {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).expect("the system's random source works once the process runs");
    serial[0] &= 0x7f;
    serial[0] |= 0x40;
    serial
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateSigningRequest, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
    use x509_parser::certificate::X509Certificate;

    use super::*;

    fn request(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> CertificateSigningRequest {
        let mut params = CertificateParams::default();
        change(&mut params);
        params.serialize_request(key).unwrap()
    }

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap()
    }

    #[test]
    fn an_authority_survives_storage() {
        let hub = HubId::generate();
        let made = Authority::generate(hub).unwrap();
        let loaded = Authority::load(hub, &made.key_der(), made.certificate().to_vec()).unwrap();
        assert_eq!(loaded.pin(), made.pin());
    }

    #[test]
    fn csr_extensions_ignored() {
        let authority = Authority::generate(HubId::generate()).unwrap();
        let key = KeyPair::generate().unwrap();
        let csr = request(&key, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            params.subject_alt_names =
                vec![SanType::URI(Ia5String::try_from(FleetName::Hub(authority.hub()).to_string()).unwrap())];
        });
        let agent = AgentId::generate();
        let key = AgentKey::from_request(csr.der()).unwrap();
        let issued = authority.issue(agent, &key, now(), AGENT_CERTIFICATE_LIFE).unwrap();
        let (_, certificate) = X509Certificate::from_der(&issued.der).unwrap();
        assert!(!certificate.is_ca());
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        let expected = FleetName::Agent(authority.hub(), agent).to_string();
        assert_eq!(
            names.value.general_names,
            [x509_parser::extensions::GeneralName::URI(&expected)],
            "only the name the hub gives"
        );
        assert_eq!(key_digest(certificate.public_key().raw), key.digest);
        assert_eq!(issued.not_after - now(), AGENT_CERTIFICATE_LIFE);
    }

    #[test]
    fn csr_bad_self_signature() {
        let mut csr = request(&KeyPair::generate().unwrap(), |_| {}).der().to_vec();
        *csr.last_mut().unwrap() ^= 1;
        assert!(matches!(AgentKey::from_request(&csr), Err(AuthorityError::BadRequest)));
    }

    #[test]
    fn only_p256_keys_are_taken() {
        for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P384_SHA384] {
            let csr = request(&KeyPair::generate_for(algorithm).unwrap(), |_| {});
            assert!(matches!(AgentKey::from_request(csr.der()), Err(AuthorityError::BadKey)));
        }
    }

    #[test]
    fn garbage_is_no_request() {
        for garbage in [&b""[..], b"\x30\x80", &[0x30; 300]] {
            assert!(AgentKey::from_request(garbage).is_err());
        }
    }
}
