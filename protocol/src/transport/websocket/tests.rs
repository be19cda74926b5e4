//! The byte stream between a real client and a server, and what a wrong server
//! or a hostile client gets.

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::tungstenite::http::Request;

use super::*;
use crate::limits::WEBSOCKET_MESSAGE_MAX;

const URI: &str = "ws://hub.example:8443/agent/v1/tunnel";

type End = WebSocketIo<DuplexStream>;

/// A connected pair, agent first, over a pipe that holds `capacity` bytes.
async fn pair(capacity: usize) -> (End, End) {
    let (near, far) = tokio::io::duplex(capacity);
    upgraded(near, far).await
}

/// Both ends of a WebSocket over any byte stream, agent first.
pub(crate) async fn upgraded<S>(near: S, far: S) -> (WebSocketIo<S>, WebSocketIo<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let uri = URI.parse().unwrap();
    let (agent, hub) = tokio::join!(connect(near, &uri, HeaderMap::new()), serve(far));
    (agent.unwrap(), hub)
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut io: S) -> WebSocketIo<S> {
    let request = read_head(&mut io).await;
    let headers = accept_headers(request.headers()).unwrap();
    io.write_all(b"HTTP/1.1 101 Switching Protocols\r\n").await.unwrap();
    for (name, value) in &headers {
        io.write_all(format!("{name}: {}\r\n", value.to_str().unwrap()).as_bytes()).await.unwrap();
    }
    io.write_all(b"\r\n").await.unwrap();
    accept(io)
}

async fn read_head(io: &mut (impl AsyncRead + Unpin)) -> Request<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let fields = lines.map(|line| line.split_once(": ").unwrap());
    fields.fold(Request::get(path), |request, (name, value)| request.header(name, value)).body(()).unwrap()
}

/// What `connect` makes of a server that answers `response`.
async fn answered(response: &str) -> ConnectError {
    let (near, mut far) = tokio::io::duplex(4096);
    let uri = URI.parse().unwrap();
    let server = async {
        read_head(&mut far).await;
        far.write_all(response.as_bytes()).await.unwrap();
        drop(far);
    };
    tokio::join!(connect(near, &uri, HeaderMap::new()), server).0.unwrap_err()
}

/// A raw client of the hub's end, for bytes no agent would send.
async fn hostile() -> (DuplexStream, End) {
    let (near, far) = tokio::io::duplex(1 << 20);
    (near, accept(far))
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8).collect()
}

async fn carry(from: &mut End, to: &mut End, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    let write = async {
        from.write_all(bytes).await.unwrap();
        from.flush().await.unwrap();
    };
    tokio::join!(write, async { to.read_exact(&mut got).await.unwrap() });
    assert!(got == bytes, "{} bytes changed on their way", bytes.len());
}

/// A frame as a client masks it, with a mask of zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

/// What the hub's end makes of bytes from a hostile client.
async fn reading(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let (mut client, mut hub) = hostile().await;
    client.write_all(bytes).await.unwrap();
    let mut got = Vec::new();
    let mut piece = [0; 256];
    while let Some(read) = hub.read(&mut piece).now_or_never() {
        match read? {
            0 => break,
            read => got.extend_from_slice(&piece[..read]),
        }
    }
    Ok(got)
}

#[tokio::test]
async fn bytes_cross_both_ways_whatever_the_sizes() {
    for capacity in [1, 4096, 1 << 20] {
        let (mut agent, mut hub) = pair(capacity).await;
        for length in [1, 125, 126, 65_535, WEBSOCKET_MESSAGE_MAX, WEBSOCKET_MESSAGE_MAX + 1, 300_000] {
            let bytes = pattern(length);
            carry(&mut agent, &mut hub, &bytes).await;
            carry(&mut hub, &mut agent, &bytes).await;
        }
    }
}

#[tokio::test]
async fn memory_of_large_messages_is_given_back_with_the_next_small_one() {
    let (mut agent, mut hub) = pair(1 << 20).await;
    for _ in 0..3 {
        carry(&mut agent, &mut hub, &pattern(300_000)).await;
        carry(&mut hub, &mut agent, &pattern(70_000)).await;
        carry(&mut agent, &mut hub, b"heartbeat").await;
        carry(&mut hub, &mut agent, b"heartbeat").await;
        for end in [&mut agent, &mut hub] {
            assert!(end.read(&mut [0]).now_or_never().is_none());
            assert_eq!(end.incoming.held() + end.outgoing.held(), 0);
        }
    }
}

#[tokio::test]
async fn small_writes_leave_as_one_message_with_the_flush() {
    let (mut client, mut hub) = hostile().await;
    for byte in b"joined" {
        hub.write_all(&[*byte]).await.unwrap();
    }
    assert!(client.read_u8().now_or_never().is_none(), "nothing leaves before the flush");
    hub.flush().await.unwrap();
    let mut frame = [0; 8];
    client.read_exact(&mut frame).await.unwrap();
    assert_eq!(&frame, b"\x82\x06joined");
}

#[tokio::test]
async fn a_ping_is_answered_by_a_waiting_reader() {
    let (mut client, mut hub) = hostile().await;
    client.write_all(&masked(0x89, b"are you there")).await.unwrap();
    assert!(hub.read_u8().now_or_never().is_none());
    let mut pong = [0; 15];
    client.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"\x8a\x0dare you there");
}

#[tokio::test]
async fn a_close_ends_the_stream_and_further_writes_fail() {
    let (mut agent, mut hub) = pair(4096).await;
    agent.write_all(b"last words").await.unwrap();
    agent.shutdown().await.unwrap();
    let mut got = Vec::new();
    hub.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"last words");
    assert_eq!(hub.write_all(b"too late").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_cut_connection_ends_the_stream() {
    let (agent, mut hub) = pair(4096).await;
    drop(agent);
    assert_eq!(hub.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_text_message_is_an_error() {
    assert_eq!(reading(&masked(0x81, b"hello")).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn empty_and_split_messages_are_read_through() {
    let bytes = [masked(0x82, b""), masked(0x02, b"one "), masked(0x00, b"two "), masked(0x80, b"three")].concat();
    assert_eq!(reading(&bytes).await.unwrap(), b"one two three");
}

#[tokio::test]
async fn what_no_agent_sends_ends_the_session() {
    let claims_too_much = |length: u64| [&[0x82, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    let cases = [
        ("one byte above the limit", claims_too_much(WEBSOCKET_MESSAGE_MAX as u64 + 1)),
        ("4 GiB", claims_too_much(1 << 32)),
        ("all that fits a length", claims_too_much(u64::MAX)),
        ("no mask", b"\x82\x01x".to_vec()),
        ("a reserved bit", masked(0xc2, b"x")),
        ("an unknown opcode", masked(0x83, b"x")),
        ("a continuation of nothing", masked(0x80, b"x")),
        ("a split ping", masked(0x09, b"x")),
    ];
    for (case, bytes) in cases {
        let error = reading(&bytes).await.expect_err(case);
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{case}");
    }
}

#[tokio::test]
async fn a_message_split_into_more_than_the_limit_is_refused() {
    let parts = std::iter::repeat_n(masked(0x00, &[7; 125]), WEBSOCKET_MESSAGE_MAX / 125);
    let bytes = [masked(0x02, &[7; 125])].into_iter().chain(parts).collect::<Vec<_>>().concat();
    assert_eq!(reading(&bytes).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn the_request_names_host_path_and_extra_headers() {
    let (near, mut far) = tokio::io::duplex(4096);
    let uri = URI.parse().unwrap();
    let headers = [(header::USER_AGENT, HeaderValue::from_static("windflow-agent"))].into_iter().collect();
    let (_, request) = tokio::join!(connect(near, &uri, headers), async {
        let request = read_head(&mut far).await;
        drop(far);
        request
    });
    assert_eq!(request.uri().path(), PATH);
    assert_eq!(request.headers()["host"], "hub.example:8443");
    assert_eq!(request.headers()["user-agent"], "windflow-agent");
    assert_eq!(request.headers()["sec-websocket-protocol"], SUBPROTOCOL);
}

#[tokio::test]
async fn wrong_servers_are_told_apart() {
    let moved = answered("HTTP/1.1 301 Moved\r\nLocation: https://elsewhere/\r\n\r\n").await;
    assert!(matches!(moved, ConnectError::Redirect { location } if location == "https://elsewhere/"));
    let missing = answered("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    assert!(matches!(missing, ConnectError::Status { status: 404 }));
    let no_key = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    assert!(matches!(answered(no_key).await, ConnectError::NotAHub(_)));
    assert!(matches!(answered("220 mail.example ESMTP\r\n\r\n").await, ConnectError::NotAHub(_)));
    assert!(matches!(answered("").await, ConnectError::Io(_)));
}

#[tokio::test]
async fn a_server_that_ignores_the_subprotocol_is_not_a_hub() {
    let (near, mut far) = tokio::io::duplex(4096);
    let uri = URI.parse().unwrap();
    let server = async {
        let request = read_head(&mut far).await;
        let accept = derive_accept_key(request.headers()["sec-websocket-key"].as_bytes());
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
        far.write_all(format!("{head}Sec-WebSocket-Accept: {accept}\r\n\r\n").as_bytes()).await.unwrap();
    };
    let (connected, ()) = tokio::join!(connect(near, &uri, HeaderMap::new()), server);
    assert!(matches!(connected, Err(ConnectError::NotAHub(_))));
}

#[test]
fn only_an_agents_request_is_accepted() {
    let good = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "other, windflow.tunnel.v1"),
    ];
    let with = |left_out: &str| {
        let kept = good.into_iter().filter(|(name, _)| *name != left_out);
        let headers = kept.map(|(name, value)| (name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap()));
        accept_headers(&headers.collect())
    };
    // The example of RFC 6455 §1.3.
    assert_eq!(with("nothing").unwrap()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    for name in ["connection", "upgrade", "sec-websocket-key"] {
        assert_eq!(with(name), Err(UpgradeRefused::NotAWebSocket), "{name}");
    }
    assert_eq!(with("sec-websocket-version"), Err(UpgradeRefused::Version));
    assert_eq!(with("sec-websocket-protocol"), Err(UpgradeRefused::Subprotocol));
}
