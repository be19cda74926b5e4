//! The doors, knocked on for real: TCP on a port of its own, and the socket.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::*;
use crate::clock::Clock;
use crate::config::ListenOptions;
use crate::lifecycle::Ended;
use crate::router;
use crate::testing::TestHub;

struct OpenHub {
    hub: TestHub,
    directory: tempfile::TempDir,
    address: SocketAddr,
    lifecycle: Lifecycle,
}

impl OpenHub {
    async fn start() -> Self {
        let hub = TestHub::empty().await;
        let directory = tempfile::tempdir().unwrap();
        let options = ListenOptions { listen: "127.0.0.1:0".parse().unwrap(), tls_cert: None, tls_key: None };
        let certificate = load_certificate(&options, directory.path(), crate::clock::SystemClock.now()).unwrap();
        let plan = DoorPlan { address: options.listen, certificate, socket: directory.path().join("hub.sock") };
        let lifecycle = Lifecycle::default();
        let server = Server::bind(plan, router::build(hub.app.clone()), lifecycle.clone()).unwrap();
        let address = server.address().unwrap();
        server.serve();
        Self { hub, directory, address, lifecycle }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn tls(&self) -> tokio_rustls::client::TlsStream<TcpStream> {
        use rustls::pki_types::pem::PemObject;
        let mut roots = rustls::RootCertStore::empty();
        let own = rustls::pki_types::CertificateDer::from_pem_file(self.directory.path().join("cert.pem")).unwrap();
        roots.add(own).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, self.tcp().await).await.unwrap()
    }

    async fn stop(self) -> Ended {
        self.lifecycle.drain(std::future::pending()).await
    }
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
    let socket = open.directory.path().join("hub.sock");
    assert!(local::listen(&socket).is_err());
    open.lifecycle.drain(std::future::pending()).await;
    assert!(socket.exists());
    local::listen(&socket).unwrap();
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
