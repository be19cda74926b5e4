//! The whole agent against a hub on loopback: from the token to the daemon.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use windflow_protocol::codec::{read_message, write_message};
use windflow_protocol::message::control::{ToAgent, ToHub};
use windflow_protocol::message::enroll::{EnrollReply, RenewReply};
use windflow_protocol::message::hello::{Ack, HelloReply, Welcome};
use windflow_protocol::message::preamble::{StreamKind, write_preamble};
use windflow_protocol::transport::{Priority, TransportKind};

use super::status::{Report, State};
use super::*;
use crate::enroll::{EnrollError, EnrollOptions, Existing, enroll};
use crate::link::HubUrl;
use crate::policy::Rails;
use crate::testing::fleet::{Fleet, ToyHub, Visit, Visitor};
use crate::testing::{FakeEngine, TICKET, welcome};

struct Host {
    fleet: Fleet,
    folder: tempfile::TempDir,
    engine: FakeEngine,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { fleet: Fleet::new(), folder, engine: FakeEngine::with_version("26.1.5") }
    }

    fn state_dir(&self) -> StateDir {
        StateDir::open(self.folder.path()).unwrap()
    }

    fn options(&self, hub: &ToyHub, transport: TransportChoice) -> EnrollOptions {
        EnrollOptions {
            hubs: vec![hub.url()],
            token: self.fleet.token(),
            name: String::new(),
            labels: Vec::new(),
            transport,
            proxy: None,
            proxies: ProxyRules::default(),
            existing: Existing::Keep,
            wait: Duration::ZERO,
        }
    }

    async fn enroll(&self, hub: &mut ToyHub, transport: TransportChoice) -> Identity {
        let options = self.options(hub, transport);
        let state_dir = self.state_dir();
        let (identity, request) = tokio::join!(enroll(&state_dir, &options), hub.enroll(&self.fleet));
        assert_eq!(request.token, self.fleet.token().id);
        identity.unwrap().identity
    }

    fn start(&self, identity: Identity) -> Daemon {
        let stop = CancellationToken::new();
        let options = RunOptions {
            state_dir: self.state_dir(),
            identity,
            engine: self.engine.address(),
            transport: None,
            proxies: ProxyRules::default(),
            policy: Arc::new(Keeper::new(self.state_dir().path().join("no-policy"), Rails::default())),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(run(options, stop.clone()));
        Daemon { stop, tasks }
    }
}

struct Daemon {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Daemon {
    async fn stopped(mut self) {
        self.stop.cancel();
        self.tasks.join_next().await.unwrap().unwrap();
    }
}

async fn welcomed(hub: &mut ToyHub) -> Visitor {
    let mut visitor = hub.session().await;
    visitor.reply(&HelloReply::Welcome(welcome())).await;
    let ack: Ack = read_message(&mut visitor.control).await.unwrap();
    assert_eq!(ack.ticket, TICKET);
    visitor
}

async fn docker_answers(visitor: &Visitor) {
    let mut stream = visitor.connection.open(Priority::Normal).unwrap();
    write_preamble(&mut stream, StreamKind::Docker).await.unwrap();
    stream.write_all(b"GET /version HTTP/1.1\r\n\r\n").await.unwrap();
    let mut status = [0; 15];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_host_enrolls_connects_and_serves_its_engine_over_a_websocket() {
    let host = Host::new();
    let mut hub = ToyHub::websocket(&host.fleet).await;
    let identity = host.enroll(&mut hub, TransportChoice::WebSocket).await;
    let daemon = host.start(identity);
    let visitor = welcomed(&mut hub).await;
    assert_eq!(visitor.connection.kind(), TransportKind::WebSocket);
    docker_answers(&visitor).await;
    daemon.stopped().await;
}

#[tokio::test]
async fn a_host_enrolls_connects_and_serves_its_engine_over_quic() {
    let host = Host::new();
    let mut hub = ToyHub::quic(&host.fleet);
    let identity = host.enroll(&mut hub, TransportChoice::Quic).await;
    let daemon = host.start(identity);
    let visitor = welcomed(&mut hub).await;
    assert_eq!(visitor.connection.kind(), TransportKind::Quic);
    docker_answers(&visitor).await;
    daemon.stopped().await;
}

#[tokio::test]
async fn the_ticket_of_a_session_is_shown_in_the_next() {
    let host = Host::new();
    let mut hub = ToyHub::websocket(&host.fleet).await;
    let identity = host.enroll(&mut hub, TransportChoice::WebSocket).await;
    let first_ticket = identity.state.ticket();
    let daemon = host.start(identity);
    let first = welcomed(&mut hub).await;
    assert_eq!(first.hello.ticket, Some(first_ticket));
    first.connection.close("restarting");
    let second = hub.session().await;
    assert_eq!(second.hello.ticket, Some(TICKET));
    assert_eq!(second.hello.instance, first.hello.instance);
    drop(second);
    daemon.stopped().await;
}

#[tokio::test]
async fn an_agent_that_is_stopped_says_so_and_leaves_its_last_words() {
    let host = Host::new();
    let mut hub = ToyHub::websocket(&host.fleet).await;
    let identity = host.enroll(&mut hub, TransportChoice::WebSocket).await;
    let daemon = host.start(identity);
    let mut visitor = welcomed(&mut hub).await;
    let hearing = async {
        while !matches!(read_message(&mut visitor.control).await.unwrap(), ToHub::Leaving { .. }) {}
        visitor.connection.close("goodbye");
    };
    tokio::join!(daemon.stopped(), hearing);
    assert_eq!(Report::read(host.folder.path()).unwrap().state, State::Stopped);
}

#[tokio::test]
async fn a_hub_with_another_key_is_never_told_the_secret() {
    let host = Host::new();
    let mut impostor = ToyHub::websocket(&Fleet::new()).await;
    let error = enroll(&host.state_dir(), &host.options(&impostor, TransportChoice::WebSocket)).await.unwrap_err();
    let EnrollError::Link(error) = error else { panic!("{error}") };
    assert_eq!(error.code(), "PIN_MISMATCH");
    let visit = tokio::time::timeout(Duration::from_millis(100), impostor.visit()).await;
    assert!(visit.is_err(), "nothing was asked of the impostor");
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let host = Host::new();
    let mut hub = ToyHub::websocket(&host.fleet).await;
    let options = host.options(&hub, TransportChoice::WebSocket);
    let state_dir = host.state_dir();
    let losing = async {
        let Visit::Enroll(request, io) = hub.visit().await else { panic!("no enrollment") };
        drop(io);
        request.csr
    };
    let (lost, first) = tokio::join!(enroll(&state_dir, &options), losing);
    assert!(matches!(lost, Err(EnrollError::Answer(_))));
    let (found, second) = tokio::join!(enroll(&state_dir, &options), hub.enroll(&host.fleet));
    assert_eq!(public_key(&first), public_key(&second.csr));
    assert_eq!(found.unwrap().identity.state.name, "host");
}

fn public_key(csr: &[u8]) -> Vec<u8> {
    use rcgen::PublicKeyData;
    let request = rcgen::CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
    request.public_key.der_bytes().to_vec()
}

#[tokio::test]
async fn a_denied_token_ends_the_enrollment_with_the_hubs_words() {
    let host = Host::new();
    let mut hub = ToyHub::websocket(&host.fleet).await;
    let options = host.options(&hub, TransportChoice::WebSocket);
    let denying = async {
        let Visit::Enroll(_, mut io) = hub.visit().await else { panic!("no enrollment") };
        let (message, reference) = ("make a new token".to_owned(), "a1".to_owned());
        write_message(&mut io, &EnrollReply::Denied { message, reference, retry_after_secs: 0 }).await.unwrap();
        io
    };
    let state_dir = host.state_dir();
    let (denied, _io) = tokio::join!(enroll(&state_dir, &options), denying);
    let words = denied.unwrap_err().to_string();
    assert!(words.contains("ENROLL_DENIED") && words.contains("make a new token") && words.contains("a1"), "{words}");
}

#[tokio::test]
async fn an_enrolled_host_keeps_its_identity() {
    let host = Host::new();
    let mut hub = ToyHub::websocket(&host.fleet).await;
    host.enroll(&mut hub, TransportChoice::WebSocket).await;
    let again = enroll(&host.state_dir(), &host.options(&hub, TransportChoice::WebSocket)).await;
    assert!(matches!(again, Err(EnrollError::AlreadyEnrolled { .. })));
}

#[tokio::test]
async fn an_expired_certificate_is_renewed_for_the_same_key() {
    let host = Host::new();
    let mut hub = ToyHub::websocket(&host.fleet).await;
    let identity = host.enroll(&mut hub, TransportChoice::WebSocket).await;
    let agent = identity.state.agent;
    let daemon = host.start(identity);
    let mut refused = hub.session().await;
    let expired = windflow_protocol::message::hello::Rejected {
        reason: RejectReason::CertificateExpired,
        message: String::new(),
        retry_after_secs: 0,
    };
    refused.reply(&HelloReply::Rejected(expired)).await;
    let Visit::Renew(request, mut io) = hub.visit().await else { panic!("no renewal") };
    let fresh = host.fleet.sign(&request.csr, agent);
    write_message(&mut io, &RenewReply::Renewed(fresh)).await.unwrap();
    welcomed(&mut hub).await;
    daemon.stopped().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_over_the_session_when_the_hubs_clock_says_so() {
    let host = Host::new();
    let mut hub = ToyHub::websocket(&host.fleet).await;
    let mut identity = host.enroll(&mut hub, TransportChoice::WebSocket).await;
    let agent = identity.state.agent;
    identity.state.renewal = crate::identity::Renewal::At { hub_micros: 1_000_000 };
    let daemon = host.start(identity);
    let mut visitor = hub.session().await;
    visitor.reply(&HelloReply::Welcome(Welcome { hub_clock_micros: 2_000_000, ..welcome() })).await;
    let _: Ack = read_message(&mut visitor.control).await.unwrap();
    let csr = loop {
        if let ToHub::Renew { csr } = read_message(&mut visitor.control).await.unwrap() {
            break csr;
        }
    };
    let fresh = host.fleet.sign(&csr, agent);
    write_message(&mut visitor.control, &ToAgent::Renewed(fresh.clone())).await.unwrap();
    // What comes next is answered once the certificate is kept.
    write_message(&mut visitor.control, &ToAgent::Revoked { reason: String::new() }).await.unwrap();
    visitor.connection.closed().await;
    daemon.stopped().await;
    let kept = host.state_dir().load().unwrap().unwrap();
    assert_eq!(kept.client_identity().chain[0].as_ref(), fresh.leaf);
}

#[tokio::test]
async fn auto_takes_quic_where_tcp_cannot_be_had() {
    let host = Host::new();
    let mut hub = ToyHub::quic(&host.fleet);
    let identity = host.enroll(&mut hub, TransportChoice::Auto).await;
    let daemon = host.start(identity);
    let visitor = welcomed(&mut hub).await;
    assert_eq!(visitor.connection.kind(), TransportKind::Quic);
    daemon.stopped().await;
}

#[tokio::test]
async fn the_second_address_is_tried_when_the_first_is_dead() {
    let host = Host::new();
    let mut hub = ToyHub::websocket(&host.fleet).await;
    let mut identity = host.enroll(&mut hub, TransportChoice::WebSocket).await;
    let dead: HubUrl = "http://127.0.0.1:1".parse().unwrap();
    identity.state.hub_urls.insert(0, dead);
    let daemon = host.start(identity);
    welcomed(&mut hub).await;
    daemon.stopped().await;
}
