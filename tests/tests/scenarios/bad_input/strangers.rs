//! What those may try who have no credentials and no certificate.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use windflow_tests::product::{Agent, AgentOptions, Hub};

use super::super::SOON;
use super::super::worlds::{NAME, NO_ENGINE};
use super::GROWTH_MAX;

/// Sends raw bytes to the hub's port and returns the start of its answer.
fn send(hub: &Hub, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(hub.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    // The hub may hang up before it has read everything.
    let _refused_early_is_fine = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        answer.extend_from_slice(&chunk[..read]);
        if answer.len() > 64 * 1024 || answer.windows(4).any(|window| window == b"\r\n\r\n") {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Checks that the hub is as well after `rubbish` as it was before.
fn unharmed_by(rubbish: impl Fn(&Hub)) {
    let hub = Hub::start();
    let _agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE).over("websocket"));
    rubbish(&hub);
    let before = hub.resident_bytes();
    for _ in 0..20 {
        rubbish(&hub);
    }
    let growth = hub.resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_MAX, "the hub grew by {growth} bytes");
    assert_eq!(hub.request("GET", "/healthz", "").status, 200);
    assert_eq!(hub.state_of(NAME), "online");
}

fn refuses(answer: &str) -> bool {
    answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4")
}

#[test]
fn oversized_headers_are_refused() {
    unharmed_by(|hub| {
        let line = format!("X-Large: {}\r\n", "a".repeat(60_000)).repeat(20);
        let answer = send(hub, format!("GET /healthz HTTP/1.1\r\nHost: hub\r\n{line}\r\n").as_bytes());
        assert!(refuses(&answer), "{answer}");
    });
}

#[test]
fn an_oversized_body_is_refused_with_413() {
    unharmed_by(|hub| {
        let body = format!("{{\"name\":\"{}\"}}", "a".repeat(4 * 1024 * 1024));
        let head = "POST /api/v1/enrollment-tokens HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n";
        let head = format!("{head}Authorization: Bearer {}\r\nContent-Length: {}\r\n\r\n", hub.api_token(), body.len());
        let answer = send(hub, format!("{head}{body}").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    });
}

#[test]
fn a_body_that_is_no_json_or_no_utf_8_gets_a_code_and_a_sentence() {
    let hub = Hub::start();
    for body in ["{", "[]", "{\"name\": 7}", "\u{feff}{}", "{\"name\":\"x\",\"unknown_field\":1}"] {
        let answer = hub.request("POST", "/api/v1/enrollment-tokens", body);
        assert!((400..500).contains(&answer.status), "{body} got {}", answer.status);
        let envelope: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert!(envelope["error"]["code"].is_string(), "{}", answer.body);
        assert!(envelope["error"]["message"].as_str().unwrap().len() > 10, "{}", answer.body);
    }
}

#[test]
fn bytes_that_are_no_http_and_no_tls_end_the_connection() {
    unharmed_by(|hub| {
        for rubbish in [&b"\x00\x01\x02\x03rubbish\r\n\r\n"[..], &[0xff; 4096], b"\x16\x03\x01\xff\xff\x01\x00\x00"] {
            let answer = send(hub, rubbish);
            assert!(!answer.starts_with("HTTP/1.1 2") && !answer.starts_with("HTTP/1.1 5"), "{answer}");
        }
    });
}

#[test]
fn two_lengths_for_one_body_are_refused() {
    let hub = Hub::start();
    let head = "POST /api/v1/setup HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n";
    let corpus = [
        "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 99999999999999999999999\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n",
    ];
    for case in corpus {
        let answer = send(&hub, format!("{head}{case}").as_bytes());
        assert!(refuses(&answer), "{case:?} got {answer}");
    }
}

#[test]
fn f43_a_tunnel_that_carries_rubbish_is_closed() {
    unharmed_by(|hub| {
        let (mut stream, _) = upgraded(hub, "");
        // A masked binary frame that claims 4 GiB and has a few bytes.
        stream.write_all(&[0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
        is_ended(stream);
    });
}

/// A few bytes that become gigabytes are no use where nothing is unpacked.
#[test]
fn f43_a_tunnel_never_agrees_to_compression_and_a_compressed_message_ends_it() {
    unharmed_by(|hub| {
        let (mut stream, answer) = upgraded(hub, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
        assert!(!answer.to_lowercase().contains("permessage-deflate"), "{answer}");
        // A masked binary frame whose first reserved bit says that it is compressed.
        stream.write_all(&[0xc2, 0x84, 0, 0, 0, 0, 1, 2, 3, 4]).unwrap();
        is_ended(stream);
    });
}

/// A tunnel that the hub agreed to, and the head of its answer.
fn upgraded(hub: &Hub, header: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(hub.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let upgrade = format!(
        "GET /agent/v1/tunnel HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: windflow.tunnel.v1\r\n{header}\r\n"
    );
    stream.write_all(upgrade.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    (stream, head)
}

/// Both an orderly end and a reset are ends; a timeout is not.
fn is_ended(mut stream: TcpStream) {
    let ended = stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
    assert_ne!(ended, Err(std::io::ErrorKind::WouldBlock), "the hub still listens");
}

#[test]
fn nobody_gets_in_without_credentials_and_nobody_learns_why() {
    let hub = Hub::start();
    for path in [
        "/api/v1/environments",
        "/api/v1/users",
        "/api/v1/agents",
        "/api/v1/audit",
        "/api/v1/environments/x/engine/version",
    ] {
        for headers in [vec![], vec![("authorization", "Bearer wfa1_nonsense".to_owned())]] {
            let answer = hub.request_with("GET", path, &headers);
            assert_eq!(answer.status, 401, "{path}: {}", answer.body);
        }
    }
    let in_query = format!("/api/v1/environments?token={}", hub.api_token());
    assert_eq!(hub.request_with("GET", &in_query, &[]).status, 401);
}

#[test]
fn slow_strangers_do_not_keep_others_out() {
    let hub = Hub::start();
    let mut strangers = (0..200).map(|_| TcpStream::connect(hub.address()).unwrap()).collect::<Vec<_>>();
    for stranger in &mut strangers {
        stranger.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").unwrap();
    }
    let started = std::time::Instant::now();
    assert_eq!(hub.request("GET", "/healthz", "").status, 200);
    assert!(started.elapsed() < Duration::from_secs(2));
}
