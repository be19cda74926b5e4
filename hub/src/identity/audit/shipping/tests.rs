//! What arrives elsewhere: at a syslog server, read as RFC 5424 says and in no
//! other way.

mod webhook;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::syslog::message::Writer;
use super::syslog::{Syslog, Transport, transport};
use super::*;
use crate::identity::audit::store::AuditRecord;
use crate::identity::audit::{Action, Actor, Entry};
use crate::testing::{Answer, Client, TestHub};

const SETTINGS: &str = "/api/v1/settings/audit-shipping";
const SOON: Duration = Duration::from_secs(20);

/// One message, taken apart.
#[derive(Clone, Debug)]
struct Message {
    priority: u8,
    host: String,
    id: String,
    parameters: Vec<(String, String)>,
    body: Value,
}

impl Message {
    fn seq(&self) -> i64 {
        self.parameter("seq").parse().unwrap()
    }

    fn parameter(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// Reads a message as RFC 5424 §6 has it, and panics at the first byte that it
/// does not.
fn parse(bytes: &[u8]) -> Message {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(!text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')), "it steers: {text:?}");
    let (priority, rest) = text.strip_prefix('<').unwrap().split_once('>').unwrap();
    assert!(!priority.starts_with('0') && priority.len() <= 3);
    let rest = rest.strip_prefix("1 ").unwrap();
    let words: Vec<&str> = rest.splitn(6, ' ').collect();
    let [at, host, app, process, id, rest] = words[..] else { panic!("{text:?}") };
    let is_name = |word: &str, longest: usize| {
        (1..=longest).contains(&word.len()) && word.bytes().all(|byte| (33..=126).contains(&byte))
    };
    assert!(is_name(host, 255) && is_name(app, 48) && is_name(process, 128) && is_name(id, 32), "{text:?}");
    let (date, time) = at.strip_suffix('Z').unwrap().split_once('T').unwrap();
    assert_eq!((date.len(), &time[2..3], &time[5..6]), (10, ":", ":"), "{at}");
    assert!(time.split_once('.').is_none_or(|(_, fraction)| (1..=6).contains(&fraction.len())), "{at}");

    let mut letters = rest.strip_prefix("[windflow@32473").unwrap().chars().peekable();
    let mut parameters = Vec::new();
    loop {
        match letters.next().unwrap() {
            ']' => break,
            ' ' => {}
            other => panic!("{other} in {text:?}"),
        }
        let name: String = std::iter::from_fn(|| letters.next_if(|c| *c != '=')).collect();
        assert!(is_name(&name, 32) && !name.contains(['"', ']']), "{text:?}");
        assert_eq!((letters.next(), letters.next()), (Some('='), Some('"')), "{text:?}");
        let mut value = String::new();
        loop {
            match letters.next().unwrap() {
                '"' => break,
                '\\' => {
                    let escaped = letters.next().unwrap();
                    assert!(matches!(escaped, '"' | '\\' | ']'), "{text:?}");
                    value.push(escaped);
                }
                ']' => panic!("a bare bracket in {text:?}"),
                other => value.push(other),
            }
        }
        parameters.push((name, value));
    }
    let body: String = letters.collect();
    let body = serde_json::from_str(body.strip_prefix(" \u{feff}").unwrap()).unwrap();
    Message { priority: priority.parse().unwrap(), host: host.to_owned(), id: id.to_owned(), parameters, body }
}

/// A message with its length before it (RFC 6587 §3.4.1); none at the end.
async fn framed(stream: &mut (impl AsyncRead + Unpin)) -> Option<Message> {
    let mut length = 0_usize;
    for digit in 0.. {
        let byte = match stream.read_u8().await {
            Ok(byte) => byte,
            Err(_) if digit == 0 => return None,
            Err(error) => panic!("{error}"),
        };
        match byte {
            b'0' if digit == 0 => panic!("a length begins with 0"),
            b'0'..=b'9' => length = length * 10 + usize::from(byte - b'0'),
            b' ' => break,
            other => panic!("{other} is no digit"),
        }
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.ok()?;
    Some(parse(&message))
}

async fn next(arrived: &mut mpsc::Receiver<Message>) -> Message {
    tokio::time::timeout(SOON, arrived.recv()).await.expect("a message arrives").expect("the server lives")
}

async fn put(hub: &TestHub, settings: Value) -> Answer {
    let request = Request::put(SETTINGS).header("content-type", "application/json");
    hub.send(&Client::local(), request, Body::from(settings.to_string())).await
}

async fn set(hub: &TestHub, syslog: Value) -> Answer {
    put(hub, to(syslog)).await
}

/// Settings that send to this server.
fn to(mut syslog: Value) -> Value {
    if let Some(syslog) = syslog.as_object_mut() {
        syslog.insert("kind".to_owned(), json!("syslog"));
    }
    json!({ "destination": syslog })
}

/// A hub that sends, in the background. It is told where before it begins, so
/// that its first connection is the only one.
async fn sending(syslog: Value) -> TestHub {
    let hub = TestHub::with_users().await;
    let answer = set(&hub, syslog).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    hub.app.lifecycle.tasks.spawn(keep(hub.app.clone()));
    hub
}

async fn do_something(hub: &TestHub, name: &str) {
    let answer = hub.post(&Client::local(), "/api/v1/groups", json!({ "name": name })).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
}

/// The records that arrive are those of the change of settings and of each
/// thing that is done, in order and without a gap.
async fn follows(hub: &TestHub, arrived: &mut mpsc::Receiver<Message>) {
    let first = next(arrived).await;
    assert_eq!((first.id.as_str(), first.priority), ("audit.shipping", 13 * 8 + 6));
    for (number, name) in ["one", "two \"]\\", "日本 🦀"].into_iter().enumerate() {
        do_something(hub, name).await;
        let message = next(arrived).await;
        assert_eq!(message.seq(), first.seq() + 1 + number as i64);
        assert_eq!(message.body["seq"], json!(message.seq()));
        assert_eq!(message.body["hash"], json!(message.parameter("hash")));
        assert_eq!((message.id.as_str(), message.parameter("actorKind")), ("group.create", "local"));
    }
}

/// Waits until the hub says that nothing is left.
async fn until_sent(hub: &TestHub) -> Value {
    let sent = async {
        loop {
            let told = hub.get(&Client::local(), SETTINGS).await.body;
            if told["status"]["lag"] == 0 && told["status"]["last_sent_at"].is_string() {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, sent).await.expect("everything is sent")
}

fn record(details: Value) -> AuditRecord {
    let entry = Entry::new(&Actor::System, Action::GroupCreate, "target");
    let mut record = AuditRecord::of(&entry, Timestamp::from_micros(1_000_001).unwrap());
    record.details.0 = details.as_object().unwrap().clone();
    record.seq = Some(7);
    record
}

#[test]
fn whatever_a_record_says_it_stays_one_message_and_arrives_as_it_was() {
    let hostile = "a\r\nb\0c\u{7f}\u{85}\u{2028}\u{2029} \"]\\ [x y=\"z\"] \u{1b}[2J 日本 🦀";
    let mut record = record(json!({ "text": hostile, "nested": { hostile: [hostile] } }));
    (record.actor_name, record.target_id) = (hostile.to_owned(), Some(hostile.to_owned()));
    (record.action, record.outcome) = (format!("a b\n{}", "x".repeat(99)), "denied".to_owned());
    let message = parse(&Writer::new("a host\n", 1).record(&record));
    assert_eq!((message.priority, message.host.as_str(), message.id.len()), (13 * 8 + 4, "a_host_", 32));
    assert_eq!(message.body["details"]["text"], json!(hostile));
    let shown: String = hostile
        .chars()
        .map(|c| if c.is_control() || c == '\u{2028}' || c == '\u{2029}' { '\u{fffd}' } else { c })
        .collect();
    assert_eq!((message.parameter("actor"), message.parameter("target")), (shown.as_str(), shown.as_str()));
    assert_eq!(parse(&Writer::new("", 1).record(&record)).host, "-");
}

#[test]
fn a_record_that_is_too_long_goes_without_its_details() {
    let mut long = record(json!({ "text": "x".repeat(100_000) }));
    long.actor_name = "]".repeat(5_000);
    let bytes = Writer::new("h", 1).record(&long);
    assert!(bytes.len() < 16 * 1024, "{}", bytes.len());
    let message = parse(&bytes);
    assert_eq!((message.seq(), &message.body["details"]), (7, &json!({ "cut": true })));
}

#[tokio::test]
async fn records_arrive_in_order_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sink, mut arrived) = mpsc::channel(100);
    let hub = sending(json!({ "transport": "tcp", "host": "127.0.0.1", "port": port })).await;
    hub.app.lifecycle.tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            while let Some(message) = framed(&mut stream).await {
                sink.send(message).await.unwrap();
            }
        }
    });
    follows(&hub, &mut arrived).await;
    let told = until_sent(&hub).await;
    assert_eq!((&told["is_exposed"], &told["status"]["error"]), (&json!(false), &json!(null)));
    hub.app.lifecycle.soft.cancel();
}

#[tokio::test]
async fn records_arrive_as_datagrams() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let (sink, mut arrived) = mpsc::channel(100);
    let hub = sending(json!({ "transport": "udp", "host": "127.0.0.1", "port": port })).await;
    hub.app.lifecycle.tasks.spawn(async move {
        let mut datagram = vec![0; 65_536];
        loop {
            let length = socket.recv(&mut datagram).await.unwrap();
            if sink.send(parse(&datagram[..length])).await.is_err() {
                return;
            }
        }
    });
    follows(&hub, &mut arrived).await;
    hub.app.lifecycle.soft.cancel();
}

/// An authority, and what a server of this name shows that it signed.
fn signed(name: &str) -> (String, rustls::ServerConfig) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key).unwrap();
    let pem = authority.pem();
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (pem, config.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap())
}

#[tokio::test]
async fn records_arrive_over_tls_from_a_server_that_the_own_authority_signed_and_from_no_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (authority, config) = signed("localhost");
    let (sink, mut arrived) = mpsc::channel(100);
    let hub = TestHub::with_users().await;
    hub.app.lifecycle.tasks.spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            while let Some(message) = framed(&mut stream).await {
                sink.send(message).await.unwrap();
            }
        }
    });
    let syslog =
        |authority: &str| json!({ "transport": "tls", "host": "localhost", "port": port, "authority": authority });
    let (other, _) = signed("localhost");
    let refused = hub.post(&Client::local(), &format!("{SETTINGS}/test"), to(syslog(&other))).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "shipping_failed"));
    let sent = hub.post(&Client::local(), &format!("{SETTINGS}/test"), to(syslog(&authority))).await;
    assert_eq!(sent.status, StatusCode::NO_CONTENT, "{sent:?}");
    assert_eq!(next(&mut arrived).await.id, "audit.shipping_test");

    hub.app.lifecycle.tasks.spawn(keep(hub.app.clone()));
    assert_eq!(set(&hub, syslog(&authority)).await.status, StatusCode::OK);
    follows(&hub, &mut arrived).await;
    hub.app.lifecycle.soft.cancel();
}

#[tokio::test]
async fn what_is_sent_to_a_server_that_has_closed_is_not_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = Syslog { transport: Transport::Tcp, host: "127.0.0.1".to_owned(), port, authority: None };
    let mut way = transport::Way::open(&to).await.unwrap();
    drop(tokio::time::timeout(SOON, listener.accept()).await.unwrap().unwrap());
    way.send(&[b"a message".to_vec()]).await.unwrap_err();
}

#[tokio::test]
async fn what_a_server_did_not_take_is_sent_again_and_a_hub_goes_on_where_the_one_before_ended() {
    // The port is taken, and nobody answers there yet.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let hub = sending(json!({ "transport": "tcp", "host": "127.0.0.1", "port": port })).await;
    let failed = async {
        while hub.get(&Client::local(), SETTINGS).await.body["status"]["error"].is_null() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, failed).await.expect("the failure is told");
    do_something(&hub, "meanwhile").await;
    let listener = socket.listen(16).unwrap();
    let (mut stream, _) = tokio::time::timeout(SOON, listener.accept()).await.unwrap().unwrap();
    let first = framed(&mut stream).await.unwrap();
    let second = framed(&mut stream).await.unwrap();
    assert_eq!((first.id.as_str(), second.id.as_str()), ("audit.shipping", "group.create"));
    assert_eq!(second.seq(), first.seq() + 1);
    until_sent(&hub).await;
    let metrics = hub.get(&Client::local(), "/metrics").await.body;
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.contains("windflow_audit_shipping_lag_records 0") && metrics.contains("shipping_sent_total 2"));

    assert_eq!(set(&hub, json!(null)).await.status, StatusCode::OK);
    // The record of that may be the last that is sent.
    while let Some(last) = tokio::time::timeout(SOON, framed(&mut stream)).await.expect("it stops") {
        assert_eq!((last.id.as_str(), last.seq()), ("audit.shipping", second.seq() + 1));
    }
    hub.app.lifecycle.soft.cancel();
}

#[tokio::test]
async fn settings_are_for_administrators_checked_and_say_what_is_exposed() {
    let hub = TestHub::with_users().await;
    let viewer = hub.signed_in("viewer").await;
    assert_eq!(hub.get(&viewer, SETTINGS).await.code(), "not_permitted");
    for unfit in [
        json!({ "transport": "udp", "host": "a b", "port": 514 }),
        json!({ "transport": "udp", "host": "a\r\n", "port": 514 }),
        json!({ "transport": "udp", "host": "", "port": 514 }),
        json!({ "transport": "udp", "host": "syslog.example", "port": 0 }),
        json!({ "transport": "tcp", "host": "syslog.example", "port": 514, "authority": signed("x").0 }),
        json!({ "transport": "tls", "host": "syslog.example", "port": 514, "authority": "no certificate" }),
    ] {
        let refused = set(&hub, unfit.clone()).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "invalid_syslog"), "{unfit}");
    }
    for (transport, host, exposed) in [
        ("udp", "syslog.example", true),
        ("tcp", "192.0.2.7", true),
        ("tls", "syslog.example", false),
        ("tcp", "::1", false),
    ] {
        let answer = set(&hub, json!({ "transport": transport, "host": host, "port": 514 })).await;
        assert_eq!((answer.status, &answer.body["is_exposed"]), (StatusCode::OK, &json!(exposed)), "{host}");
    }
    assert_eq!(hub.get(&Client::local(), SETTINGS).await.body["destination"]["host"], "::1");
    let records = hub.get(&Client::local(), "/api/v1/audit?action=audit.shipping").await;
    assert_eq!(records.body["items"].as_array().unwrap().len(), 4);
}
