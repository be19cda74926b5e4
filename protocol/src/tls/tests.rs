//! Real handshakes between the two ends, good and bad.

pub(crate) mod fleet;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use super::*;
use crate::identity::{FleetName, KeyDigest, Purpose};
use crate::ids::{AgentId, HubId};
use fleet::{Fleet, agent_params, hub_params, micros};

type ClientEnd = tokio_rustls::client::TlsStream<DuplexStream>;
type ServerEnd = tokio_rustls::server::TlsStream<DuplexStream>;

async fn meet(
    client: &ClientTls,
    hub: &HubIdentity,
) -> (Result<ClientEnd, TlsError>, Result<(ServerEnd, Peer), TlsError>) {
    let (near, far) = tokio::io::duplex(16 * 1024);
    tokio::join!(client.handshake(near), hub::accept(far, server_config(hub).unwrap()))
}

/// Why the hub's end of a meeting failed; with TLS 1.3 the agent's end learns
/// of a bad certificate only by its next read.
async fn refused_agent(fleet: &Fleet, identity: ClientIdentity) -> String {
    let client = client_config(Purpose::Session, fleet.trust(), Some(identity)).unwrap();
    let (client, hub) = meet(&client, &fleet.hub_identity()).await;
    if let Ok(mut client) = client {
        assert!(client.read_u8().await.is_err(), "the agent must not take the session for a good one");
    }
    hub.unwrap_err().to_string()
}

async fn refused_hub(fleet: &Fleet, hub: &HubIdentity) -> HubRefused {
    let client = client_config(Purpose::Session, fleet.trust(), None).unwrap();
    let (client, hub) = meet(&client, hub).await;
    assert!(hub.is_err());
    match client {
        Err(TlsError::Refused(refused)) => refused,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn both_ends_learn_who_the_other_is() {
    let fleet = Fleet::new();
    let agent = AgentId::generate();
    for purpose in Purpose::ALL {
        let client = client_config(purpose, fleet.trust(), Some(fleet.agent(agent))).unwrap();
        let (client, hub) = meet(&client, &fleet.hub_identity()).await;
        let (mut server, peer) = hub.unwrap();
        assert_eq!(peer.purpose, purpose);
        let certificate = peer.certificate.unwrap();
        assert_eq!((certificate.hub, certificate.agent), (fleet.hub, agent));
        server.write_all(b"welcome").await.unwrap();
        server.flush().await.unwrap();
        let mut welcome = [0; 7];
        client.unwrap().read_exact(&mut welcome).await.unwrap();
        assert_eq!(&welcome, b"welcome");
    }
}

#[tokio::test]
async fn an_agent_without_a_certificate_may_come_to_enroll() {
    let fleet = Fleet::new();
    let trust = FleetTrust { pins: vec![fleet.pin()], hub: None };
    let client = client_config(Purpose::Enroll, trust, None).unwrap();
    let (client, hub) = meet(&client, &fleet.hub_identity()).await;
    client.unwrap();
    assert_eq!(hub.unwrap().1, Peer { purpose: Purpose::Enroll, certificate: None });
}

#[tokio::test]
async fn the_certificate_is_reported_with_its_dates_key_and_serial() {
    let fleet = Fleet::new();
    let agent = AgentId::generate();
    let mut params = agent_params(FleetName::Agent(fleet.hub, agent));
    params.not_before = rcgen::date_time_ymd(2001, 2, 3);
    params.not_after = rcgen::date_time_ymd(2001, 2, 10);
    params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x7f, 2, 3]));
    let identity = fleet.issue(params);
    let key = authority_key(&identity.chain[0]).unwrap();
    let client = client_config(Purpose::Renew, fleet.trust(), Some(identity)).unwrap();
    let (client, hub) = meet(&client, &fleet.hub_identity()).await;
    client.unwrap();
    let expected = PeerCertificate {
        hub: fleet.hub,
        agent,
        key,
        serial: vec![0x7f, 2, 3],
        not_before_micros: micros(2001, 2, 3),
        not_after_micros: micros(2001, 2, 10),
    };
    assert_eq!(hub.unwrap().1.certificate, Some(expected), "an expired certificate is policy, not TLS");
}

#[tokio::test]
async fn a_hub_certificate_of_any_date_is_trusted() {
    let fleet = Fleet::new();
    for year in [1971, 2090] {
        let mut params = hub_params(FleetName::Hub(fleet.hub));
        params.not_before = rcgen::date_time_ymd(year, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 2);
        let hub = fleet.hub_showing(fleet.issue(params));
        let client = client_config(Purpose::Enroll, fleet.trust(), None).unwrap();
        meet(&client, &hub).await.0.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_pin_sends_nothing_behind_the_client_hello() {
    let (fleet, other) = (Fleet::new(), Fleet::new());
    let client = client_config(Purpose::Enroll, other.trust(), None).unwrap();
    let (near, far) = tokio::io::duplex(16 * 1024);
    let dial = async {
        let mut recorded = Recorded { io: near, written: Vec::new() };
        let refused = client.handshake(&mut recorded).await.map(drop);
        (refused, recorded.written)
    };
    let server = hub::accept(far, server_config(&fleet.hub_identity()).unwrap());
    let ((refused, written), _) = tokio::join!(dial, server);
    let expected = HubRefused::PinMismatch { expected: vec![other.pin()], actual: fleet.pin() };
    assert_eq!(client.refusal(), Some(expected));
    let message = refused.unwrap_err().to_string();
    assert!(message.contains(&fleet.pin().to_string()) && message.contains(&other.pin().to_string()), "{message}");
    // Content types of RFC 8446 §5.1 with lengths: the hello, then at most the
    // empty change of cipher and one encrypted alert.
    let records = records(&written);
    assert_eq!(records[0].0, 22);
    assert!(records[1..].iter().all(|record| [(20, 1), (23, 19), (21, 2)].contains(record)), "{records:?}");
}

#[tokio::test]
async fn any_of_several_pins_will_do() {
    let fleet = Fleet::new();
    let trust = FleetTrust { pins: vec![KeyDigest([0; 32]), fleet.pin()], hub: Some(fleet.hub) };
    let client = client_config(Purpose::Enroll, trust, None).unwrap();
    meet(&client, &fleet.hub_identity()).await.0.unwrap();
}

#[tokio::test]
async fn the_pinned_authority_shown_beside_a_foreign_leaf_is_refused() {
    let (fleet, other) = (Fleet::new(), Fleet::new());
    let mut identity = other.issue(hub_params(FleetName::Hub(fleet.hub)));
    identity.chain[1] = fleet.authority();
    let refused = refused_hub(&fleet, &fleet.hub_showing(identity)).await;
    assert!(matches!(refused, HubRefused::Certificate(CertificateRefused::Untrusted(_))), "{refused}");
}

#[tokio::test]
async fn a_chain_without_its_authority_is_not_a_hub() {
    let fleet = Fleet::new();
    let mut identity = fleet.issue(hub_params(FleetName::Hub(fleet.hub)));
    identity.chain.truncate(1);
    assert_eq!(refused_hub(&fleet, &fleet.hub_showing(identity)).await, HubRefused::NotAHub(1));
}

#[tokio::test]
async fn another_hub_of_the_same_authority_is_refused() {
    let fleet = Fleet::new();
    let name = FleetName::Hub(HubId::generate());
    let hub = fleet.hub_showing(fleet.issue(hub_params(name)));
    assert_eq!(refused_hub(&fleet, &hub).await, HubRefused::WrongHub { actual: name.to_string() });
}

#[tokio::test]
async fn a_hub_leaf_of_the_wrong_make_is_refused() {
    let fleet = Fleet::new();
    let good = || hub_params(FleetName::Hub(fleet.hub));
    for (case, params) in spoiled(good, FleetName::Agent(fleet.hub, AgentId::generate())) {
        let refused = refused_hub(&fleet, &fleet.hub_showing(fleet.issue(params))).await;
        assert!(!matches!(refused, HubRefused::PinMismatch { .. }), "{case}: {refused}");
    }
}

#[tokio::test]
async fn an_agent_leaf_of_the_wrong_make_is_refused() {
    let fleet = Fleet::new();
    let good = || agent_params(FleetName::Agent(fleet.hub, AgentId::generate()));
    for (case, params) in spoiled(good, FleetName::Hub(fleet.hub)) {
        let refused = refused_agent(&fleet, fleet.issue(params)).await;
        assert!(refused.contains("certificate"), "{case}: {refused}");
    }
    let of_another_hub = agent_params(FleetName::Agent(HubId::generate(), AgentId::generate()));
    refused_agent(&fleet, fleet.issue(of_another_hub)).await;
}

#[tokio::test]
async fn an_agent_of_a_foreign_authority_is_refused() {
    let (fleet, other) = (Fleet::new(), Fleet::new());
    let mut identity = other.issue(agent_params(FleetName::Agent(fleet.hub, AgentId::generate())));
    identity.chain[1] = fleet.authority();
    refused_agent(&fleet, identity).await;
}

#[tokio::test]
async fn a_hub_certificate_is_no_client_certificate() {
    let fleet = Fleet::new();
    refused_agent(&fleet, fleet.issue(hub_params(FleetName::Hub(fleet.hub)))).await;
}

#[tokio::test]
async fn a_certificate_without_its_key_is_refused() {
    let fleet = Fleet::new();
    let stolen = fleet.agent(AgentId::generate()).chain;
    let own = fleet.agent(AgentId::generate()).key;
    let identity = ClientIdentity { chain: stolen, key: own };
    assert!(matches!(client_config(Purpose::Session, fleet.trust(), Some(identity)), Err(TlsError::Identity(_))));
}

#[tokio::test]
async fn an_older_tls_is_refused() {
    let fleet = Fleet::new();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let (client, hub) = raw(config, &fleet).await;
    assert!(client.unwrap_err().to_string().contains("ProtocolVersion"));
    assert!(matches!(hub, Err(TlsError::Handshake(_))));
}

#[tokio::test]
async fn a_hub_refuses_a_missing_or_an_unknown_purpose() {
    let fleet = Fleet::new();
    let good = client_config(Purpose::Session, fleet.trust(), None).unwrap();
    let mut unknown = ClientConfig::clone(&good.config());
    unknown.alpn_protocols = vec![b"h2".to_vec()];
    let (_, hub) = raw(unknown, &fleet).await;
    assert!(matches!(hub, Err(TlsError::Handshake(_))));
    let mut missing = ClientConfig::clone(&good.config());
    missing.alpn_protocols.clear();
    let (_, hub) = raw(missing, &fleet).await;
    assert!(matches!(hub, Err(TlsError::NoPurpose)));
}

#[tokio::test]
async fn an_agent_refuses_a_hub_that_does_not_confirm_the_purpose() {
    let fleet = Fleet::new();
    let mut config = rustls::ServerConfig::clone(&server_config(&fleet.hub_identity()).unwrap());
    config.alpn_protocols.clear();
    let client = client_config(Purpose::Session, fleet.trust(), None).unwrap();
    let (near, far) = tokio::io::duplex(16 * 1024);
    let (client, _hub) = tokio::join!(client.handshake(near), hub::accept(far, Arc::new(config)));
    assert!(matches!(client, Err(TlsError::NoPurpose)));
}

#[tokio::test]
async fn zero_rtt_and_tickets_are_refused() {
    let fleet = Fleet::new();
    let tls = client_config(Purpose::Session, fleet.trust(), None).unwrap();
    let mut eager = ClientConfig::clone(&tls.config());
    let store = Arc::new(rustls::client::ClientSessionMemoryCache::new(8));
    eager.resumption = rustls::client::Resumption::store(store);
    eager.enable_early_data = true;
    for _ in 0..2 {
        let (client, hub) = raw(eager.clone(), &fleet).await;
        let mut client = client.unwrap();
        let (mut server, _) = hub.unwrap();
        server.write_all(b"x").await.unwrap();
        server.flush().await.unwrap();
        client.read_u8().await.unwrap();
        let session = client.get_ref().1;
        assert_eq!(session.tls13_tickets_received(), 0);
        assert!(!session.is_early_data_accepted());
        assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[tokio::test]
async fn a_hub_shows_its_new_certificate_from_the_next_handshake_on() {
    let fleet = Fleet::new();
    let hub = fleet.hub_identity();
    let config = server_config(&hub).unwrap();
    let fresh = fleet.issue(hub_params(FleetName::Hub(fleet.hub)));
    let expected = fresh.chain[0].clone();
    hub.leaf.replace(fresh.chain, fresh.key).unwrap();
    let client = client_config(Purpose::Session, fleet.trust(), None).unwrap();
    let (near, far) = tokio::io::duplex(16 * 1024);
    let (client, _hub) = tokio::join!(client.handshake(near), hub::accept(far, config));
    assert_eq!(client.unwrap().get_ref().1.peer_certificates().unwrap()[0], expected);
}

/// Leaves that are good but for one thing each.
fn spoiled(good: impl Fn() -> CertificateParams, wrong_role: FleetName) -> Vec<(&'static str, CertificateParams)> {
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = good();
        change(&mut params);
        params
    };
    vec![
        ("an authority as leaf", with(&|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        ("no extended key usage", with(&|p| p.extended_key_usages.clear())),
        ("another key usage", with(&|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning])),
        ("no name", with(&|p| p.subject_alt_names.clear())),
        ("another role", with(&|p| p.subject_alt_names = vec![fleet::uri(&wrong_role.to_string())])),
        ("a second name", with(&|p| p.subject_alt_names.push(fleet::uri("https://example.com")))),
        ("a foreign name", with(&|p| p.subject_alt_names = vec![fleet::uri("https://example.com")])),
    ]
}

async fn raw(config: ClientConfig, fleet: &Fleet) -> (std::io::Result<ClientEnd>, Result<(ServerEnd, Peer), TlsError>) {
    let (near, far) = tokio::io::duplex(16 * 1024);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let server = hub::accept(far, server_config(&fleet.hub_identity()).unwrap());
    tokio::join!(connector.connect(server_name(), near), server)
}

/// Type and length of each TLS record.
fn records(mut bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut records = Vec::new();
    while let [kind, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        records.push((*kind, length));
        bytes = &rest[length..];
    }
    records
}

/// Keeps what was written through it.
#[derive(Debug)]
struct Recorded {
    io: DuplexStream,
    written: Vec<u8>,
}

impl AsyncRead for Recorded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.written.extend_from_slice(&buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
