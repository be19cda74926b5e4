//! The doors, knocked on for real: TCP on a port of its own, and the socket.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use windflow_protocol::identity::{KeyDigest, Purpose};
use windflow_protocol::tls::{FleetTrust, HubRefused, TlsError, client_config};

use super::*;
use crate::clock::Clock;
use crate::config::{ListenOptions, ProxyOptions};
use crate::lifecycle::Ended;
use crate::router;
use crate::testing::{PASSWORD, TestHub};

const ADMIN: (&str, &str) = ("admin", PASSWORD);

struct OpenHub {
    hub: TestHub,
    directory: tempfile::TempDir,
    address: SocketAddr,
    lifecycle: Lifecycle,
    connections: Arc<Semaphore>,
}

impl OpenHub {
    async fn start() -> Self {
        Self::start_behind(&[]).await
    }

    /// A hub that trusts the proxies of these networks.
    async fn start_behind(networks: &[&str]) -> Self {
        let hub = TestHub::with_users().await;
        let directory = tempfile::tempdir().unwrap();
        let options = ListenOptions { listen: "127.0.0.1:0".parse().unwrap(), tls_cert: None, tls_key: None };
        let trusted_proxies = networks.iter().map(|network| network.parse().unwrap()).collect();
        let proxies = ProxyOptions { trusted_proxies, ..ProxyOptions::default() };
        let source = CertificateSource::new(&options, directory.path()).unwrap();
        let certificate = Arc::new(PortCertificate::load(source, crate::clock::SystemClock.now()).unwrap());
        let socket = directory.path().join("hub.sock");
        let (proxies, agents) = (TrustedProxies::new(&proxies), Arc::new(hub.app.listener.clone()));
        let plan = DoorPlan { address: options.listen, certificate, proxies, agents, socket };
        let lifecycle = Lifecycle::default();
        let server = Server::bind(plan, router::build(hub.app.clone()), lifecycle.clone()).unwrap();
        let (address, connections) = (server.address().unwrap(), server.doors.connections.clone());
        server.serve();
        Self { hub, directory, address, lifecycle, connections }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn tls(&self) -> tokio_rustls::client::TlsStream<TcpStream> {
        self.tls_on(self.tcp().await).await
    }

    async fn tls_on(&self, stream: TcpStream) -> tokio_rustls::client::TlsStream<TcpStream> {
        use rustls::pki_types::pem::PemObject;
        let mut roots = rustls::RootCertStore::empty();
        let own = rustls::pki_types::CertificateDer::from_pem_file(self.directory.path().join("cert.pem")).unwrap();
        roots.add(own).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    async fn stop(self) -> Ended {
        self.lifecycle.drain(std::future::pending()).await
    }
}

/// Signs in on a plain connection, as a proxy passes it on with these headers.
async fn sign_in(open: &OpenHub, (name, password): (&str, &str), headers: &str) -> String {
    let body = format!("{{\"name\":\"{name}\",\"password\":\"{password}\"}}");
    let head =
        "POST /api/v1/session HTTP/1.1\r\nHost: hub.example\r\nConnection: close\r\nContent-Type: application/json";
    let request = format!("{head}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len());
    let mut stream = open.tcp().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// What a proxy writes that ended TLS for a caller at this address.
fn passed_on(address: &str) -> String {
    format!("Origin: https://hub.example\r\nX-Forwarded-For: {address}\r\nX-Forwarded-Proto: https\r\n")
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn one_port_speaks_tls_and_plain_http() {
    let open = OpenHub::start().await;
    assert!(ask(open.tcp().await, "/healthz").await.starts_with("HTTP/1.1 200 OK"));
    assert!(ask(open.tls().await, "/healthz").await.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(open.stop().await, Ended::Drained);
}

#[tokio::test]
async fn an_agent_finds_the_tunnels_own_tls_on_the_same_port() {
    let open = OpenHub::start().await;
    let knock = async |pin| {
        let trust = FleetTrust { pins: vec![pin], hub: None };
        let tls = client_config(Purpose::Enroll, trust, None).unwrap();
        tls.handshake(open.tcp().await).await.map(drop)
    };
    let Err(TlsError::Refused(HubRefused::PinMismatch { actual, .. })) = knock(KeyDigest([0; 32])).await else {
        panic!("no hub of a fleet answered");
    };
    knock(actual).await.unwrap();
    assert!(ask(open.tls().await, "/healthz").await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn an_agent_counts_as_a_connection_until_it_has_shown_who_it_is() {
    let open = OpenHub::start().await;
    // One is kept ready for the next to come.
    let left = CONNECTIONS_MAX - 1;
    let trust = FleetTrust { pins: vec![KeyDigest([0; 32])], hub: None };
    let tls = client_config(Purpose::Enroll, trust, None).unwrap();
    let mut session =
        rustls::ClientConnection::new(tls.config(), ServerName::try_from("hub.invalid").unwrap()).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let mut stalled = open.tcp().await;
    stalled.write_all(&hello).await.unwrap();
    stalled.read_u8().await.unwrap();
    assert_eq!(open.connections.available_permits(), left - 1);
    drop(stalled);
    let freed = async {
        while open.connections.available_permits() < left {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), freed)
        .await
        .expect("a connection that is gone does not count");
}

#[tokio::test]
async fn only_the_socket_in_the_data_directory_needs_no_credential() {
    let open = OpenHub::start().await;
    let socket = open.directory.path().join("hub.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    let local = ask(UnixStream::connect(&socket).await.unwrap(), "/api/v1/users").await;
    assert!(local.starts_with("HTTP/1.1 200 OK"), "{local}");
    assert!(ask(open.tcp().await, "/api/v1/users").await.starts_with("HTTP/1.1 401 "));
    assert!(ask(open.tls().await, "/api/v1/users").await.starts_with("HTTP/1.1 401 "));
}

#[tokio::test]
async fn a_socket_that_answers_is_not_taken_over_and_one_that_is_left_is() {
    let open = OpenHub::start().await;
    let path = open.directory.path().join("hub.sock");
    assert!(socket::listen(&path).is_err());
    open.lifecycle.drain(std::future::pending()).await;
    assert!(path.exists());
    socket::listen(&path).unwrap();
}

#[tokio::test]
async fn what_is_not_http_is_turned_away_and_others_are_still_served() {
    let open = OpenHub::start().await;
    for garbage in
        [&b"\x16\x03\x01\xff\xff garbage"[..], b"\x00\x00\x00\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\n\r\n"]
    {
        let mut stream = open.tcp().await;
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset is as good an end as any.
        let _ended = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    assert!(ask(open.tcp().await, "/healthz").await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_request_that_could_be_read_in_two_ways_is_refused() {
    let open = OpenHub::start().await;
    for head in [
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Content-Length: +4\r\n",
        "Content-Length: 4\r\n Folded: x\r\n",
    ] {
        let mut stream = open.tcp().await;
        let request = format!("POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\n{head}\r\n0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head}: {answer}");
    }
}

/// Both at once are read in one way only, and nothing that comes behind them.
#[tokio::test]
async fn asvs_4_2_1_what_hides_behind_a_length_and_an_encoding_is_no_request() {
    let open = OpenHub::start().await;
    let hidden = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for head in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 60\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length : 5\r\n",
    ] {
        let mut stream = open.tcp().await;
        let request = format!("POST /healthz HTTP/1.1\r\nHost: localhost\r\n{head}\r\n0\r\n\r\n{hidden}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // Only a connection that is closed ends here.
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{head}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{head}: {answer}");
    }
}

#[tokio::test]
async fn a_head_above_the_limit_is_refused() {
    let open = OpenHub::start().await;
    let mut stream = open.tcp().await;
    // It never ends, so the answer can only be to its size.
    let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(33 * 1024));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn draining_closes_resting_connections() {
    let open = OpenHub::start().await;
    let mut resting = open.tcp().await;
    resting.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    resting.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    assert!(open.hub.app.db.ping().await.is_ok());
    assert_eq!(open.stop().await, Ended::Drained);
    let mut rest = Vec::new();
    resting.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn a_browser_behind_a_trusted_proxy_is_on_https() {
    let open = OpenHub::start_behind(&["127.0.0.1/32"]).await;
    let answer = sign_in(&open, ADMIN, &passed_on("192.0.2.7")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("set-cookie: __Host-windflow="), "{answer}");
    assert!(answer.contains("strict-transport-security: "), "{answer}");
}

#[tokio::test]
async fn nobody_else_makes_plain_http_pass_for_https() {
    let open = OpenHub::start_behind(&["192.0.2.0/24"]).await;
    let answer = sign_in(&open, ADMIN, &passed_on("192.0.2.7")).await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("foreign_origin"), "{answer}");
}

#[tokio::test]
async fn a_caller_whose_proxy_was_asked_in_plain_is_sent_to_https_once() {
    let open = OpenHub::start_behind(&["127.0.0.1/32"]).await;
    let said = |scheme: &str| format!("X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: {scheme}\r\n");
    let plain = sign_in(&open, ADMIN, &said("http")).await;
    assert!(plain.starts_with("HTTP/1.1 308 "), "{plain}");
    assert!(plain.contains("location: https://hub.example/api/v1/session\r\n"), "{plain}");
    assert!(sign_in(&open, ADMIN, &said("https")).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn who_guesses_behind_a_proxy_is_slowed_down_alone_and_recorded_by_their_own_address() {
    let open = OpenHub::start_behind(&["127.0.0.1/32"]).await;
    for guess in 0..20 {
        // What the guesser writes to the left of the proxy's word changes nothing.
        sign_in(&open, ("nobody", "wrong password"), &passed_on(&format!("198.51.100.{guess}, 192.0.2.66"))).await;
    }
    let guesser = sign_in(&open, ADMIN, &passed_on("198.51.100.1, 192.0.2.66")).await;
    assert!(guesser.starts_with("HTTP/1.1 429 "), "{guesser}");
    assert!(sign_in(&open, ADMIN, &passed_on("192.0.2.7")).await.starts_with("HTTP/1.1 200 "));
    let socket = open.directory.path().join("hub.sock");
    let audit = ask(UnixStream::connect(&socket).await.unwrap(), "/api/v1/audit").await;
    assert!(audit.contains("\"192.0.2.66\"") && !audit.contains("198.51.100."), "{audit}");
}

#[tokio::test]
async fn what_came_through_a_proxy_on_this_machine_is_no_program_of_this_machine() {
    for networks in [&["127.0.0.1/32"][..], &[]] {
        let open = OpenHub::start_behind(networks).await;
        assert!(ask(open.tcp().await, "/metrics").await.starts_with("HTTP/1.1 200 "));
        for header in ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1"] {
            let mut stream = open.tcp().await;
            let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{header}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_browser_is_told_to_insist_on_tls_only_where_somebody_it_knows_signed() {
    let open = OpenHub::start().await;
    let mut stream = open.tls().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: hub.example\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("strict-transport-security"), "{answer}");
}

/// A connection that a proxy passes on for 192.0.2.7.
async fn passed_on_by_tcp(open: &OpenHub) -> TcpStream {
    let mut stream = open.tcp().await;
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\x1f\x90\x20\xfb";
    stream.write_all(header).await.unwrap();
    stream
}

#[tokio::test]
async fn a_trusted_proxy_that_passes_tcp_on_says_for_whom() {
    let open = OpenHub::start_behind(&["127.0.0.1/32"]).await;
    // A stranger, so no plain HTTP and no numbers, whatever host they name.
    let plain = ask(passed_on_by_tcp(&open).await, "/metrics").await;
    assert!(plain.starts_with("HTTP/1.1 308 "), "{plain}");
    let tls = ask(open.tls_on(passed_on_by_tcp(&open).await).await, "/metrics").await;
    assert!(tls.starts_with("HTTP/1.1 401 "), "{tls}");
    assert!(ask(open.tcp().await, "/metrics").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn nobody_else_says_by_tcp_who_they_are() {
    let open = OpenHub::start_behind(&["192.0.2.0/24"]).await;
    let answer = ask(passed_on_by_tcp(&open).await, "/metrics").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
