//! The multiplexer through its front door: connections over an in-memory link.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::JoinSet;

use crate::limits::STREAMS_MAX;
use crate::transport::{CloseReason, Connection, Priority, ResetCode, Side, StreamReset, TransportKind};

struct Session {
    hub: Connection,
    agent: Connection,
    drivers: JoinSet<CloseReason>,
}

fn session() -> Session {
    let (left, right) = duplex(64 * 1024);
    let mut drivers = JoinSet::new();
    let (hub, driver) = Connection::multiplexed(left, Side::Hub, TransportKind::WebSocket);
    drivers.spawn(driver);
    let (agent, driver) = Connection::multiplexed(right, Side::Agent, TransportKind::WebSocket);
    drivers.spawn(driver);
    Session { hub, agent, drivers }
}

#[tokio::test]
async fn bytes_cross_and_each_direction_ends_by_itself() {
    let Session { hub, agent, drivers: _drivers } = session();
    let mut ours = hub.open(Priority::Normal).unwrap();
    ours.write_all(b"question").await.unwrap();
    ours.shutdown().await.unwrap();
    let mut theirs = agent.accept().await.unwrap();
    let mut question = Vec::new();
    theirs.read_to_end(&mut question).await.unwrap();
    theirs.write_all(b"answer").await.unwrap();
    theirs.shutdown().await.unwrap();
    let mut answer = Vec::new();
    ours.read_to_end(&mut answer).await.unwrap();
    assert_eq!((question.as_slice(), answer.as_slice()), (&b"question"[..], &b"answer"[..]));
}

#[tokio::test]
async fn ten_megabytes_cross_unharmed() {
    let Session { hub, agent, drivers: _drivers } = session();
    let sent: Vec<u8> = (0..10_000_000_u32).map(|n| (n % 251) as u8).collect();
    let copy = sent.clone();
    let mut ours = hub.open(Priority::Normal).unwrap();
    let mut writer = JoinSet::new();
    writer.spawn(async move {
        ours.write_all(&copy).await.unwrap();
        ours.shutdown().await.unwrap();
        ours.read_to_end(&mut Vec::new()).await.unwrap();
    });
    let mut theirs = agent.accept().await.unwrap();
    let mut received = Vec::new();
    theirs.read_to_end(&mut received).await.unwrap();
    theirs.shutdown().await.unwrap();
    writer.join_all().await;
    assert!(received == sent, "what arrives is what was sent");
}

#[tokio::test]
async fn a_reset_says_why() {
    let Session { hub, agent, drivers: _drivers } = session();
    let mut ours = hub.open(Priority::Normal).unwrap();
    ours.write_all(b"x").await.unwrap();
    agent.accept().await.unwrap().reset(ResetCode::EngineUnavailable);
    let error = ours.read_u8().await.unwrap_err();
    assert_eq!(StreamReset::code_of(&error), Some(ResetCode::EngineUnavailable));
    let error = ours.write_all(b"x").await.unwrap_err();
    assert_eq!(StreamReset::code_of(&error), Some(ResetCode::EngineUnavailable));
}

#[tokio::test]
async fn a_dropped_stream_is_cancelled() {
    let Session { hub, agent, drivers: _drivers } = session();
    let mut ours = hub.open(Priority::Normal).unwrap();
    ours.write_all(b"x").await.unwrap();
    let mut theirs = agent.accept().await.unwrap();
    drop(ours);
    let error = theirs.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(StreamReset::code_of(&error), Some(ResetCode::Cancelled));
}

#[tokio::test]
async fn a_stream_dropped_after_its_shutdown_still_delivers_what_was_written() {
    let Session { hub, agent, drivers: _drivers } = session();
    let mut ours = hub.open(Priority::Normal).unwrap();
    ours.write_all(&[7; 60_000]).await.unwrap();
    ours.shutdown().await.unwrap();
    drop(ours);
    let mut theirs = agent.accept().await.unwrap();
    let mut received = Vec::new();
    theirs.read_to_end(&mut received).await.unwrap();
    assert_eq!(received.len(), 60_000);
}

#[tokio::test]
async fn closing_ends_open_streams_and_says_why() {
    let Session { hub, agent, drivers } = session();
    let mut ours = hub.open(Priority::Normal).unwrap();
    ours.write_all(b"x").await.unwrap();
    let mut theirs = agent.accept().await.unwrap();
    theirs.read_u8().await.unwrap();
    hub.close("revoked");
    hub.close("too late");
    assert_eq!(agent.closed().await, CloseReason::Remote("revoked".to_owned()));
    assert_eq!(hub.closed().await, CloseReason::Local("revoked".to_owned()));
    assert_eq!(theirs.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
    assert_eq!(ours.write_all(b"x").await.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
    assert!(hub.open(Priority::Normal).is_err());
    assert!(agent.accept().await.is_err());
    let reasons = drivers.join_all().await;
    assert!(reasons.contains(&CloseReason::Local("revoked".to_owned())), "{reasons:?}");
}

#[tokio::test]
async fn a_ping_measures_the_round_trip() {
    let Session { hub, agent, drivers: _drivers } = session();
    assert!(hub.ping().await.unwrap() < Duration::from_secs(1));
    assert!(agent.ping().await.is_ok());
    assert!(hub.rtt().is_some());
}

#[tokio::test]
async fn a_stopped_driver_wakes_everybody() {
    let Session { hub, agent, mut drivers } = session();
    let mut ours = hub.open(Priority::Normal).unwrap();
    drivers.shutdown().await;
    assert!(matches!(agent.accept().await, Err(CloseReason::Lost(_))));
    assert!(ours.read_u8().await.is_err());
    assert!(matches!(hub.ping().await, Err(CloseReason::Lost(_))));
}

#[tokio::test]
async fn a_stream_gives_its_place_back() {
    let Session { hub, agent, drivers: _drivers } = session();
    for _ in 0..3 * STREAMS_MAX {
        let mut ours = hub.open(Priority::Normal).unwrap();
        ours.write_all(b"x").await.unwrap();
        drop(agent.accept().await.unwrap());
        assert!(ours.read_u8().await.is_err());
    }
}

#[tokio::test]
async fn one_stream_too_many_is_refused_at_once() {
    let Session { hub, agent: _agent, drivers: _drivers } = session();
    let open: Vec<_> = (0..STREAMS_MAX).map(|_| hub.open(Priority::Normal).unwrap()).collect();
    assert!(hub.open(Priority::Normal).is_err());
    drop(open);
    assert!(hub.open(Priority::Normal).is_ok());
}
