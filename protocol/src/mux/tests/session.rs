//! What holds for the multiplexer beyond what every transport promises.

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::JoinSet;
use tokio::time::{Duration, timeout};

use crate::limits::STREAMS_MAX;
use crate::transport::{CloseReason, Connection, Priority, Side, TransportKind};

/// A test that takes longer, in virtual time, hangs.
const PATIENCE: Duration = Duration::from_secs(60);

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

#[tokio::test(start_paused = true)]
async fn a_stream_dropped_after_its_shutdown_still_delivers_what_was_written() {
    let Session { hub, agent, drivers: _drivers } = session();
    let mut ours = hub.open(Priority::Normal).unwrap();
    ours.write_all(&[7; 60_000]).await.unwrap();
    ours.shutdown().await.unwrap();
    drop(ours);
    let mut theirs = timeout(PATIENCE, agent.accept()).await.unwrap().unwrap();
    let mut received = Vec::new();
    timeout(PATIENCE, theirs.read_to_end(&mut received)).await.unwrap().unwrap();
    assert_eq!(received.len(), 60_000);
}

#[tokio::test(start_paused = true)]
async fn a_driver_ends_with_the_reason_of_its_session() {
    let Session { hub, agent: _agent, drivers } = session();
    hub.close("revoked");
    let reasons = drivers.join_all().await;
    assert!(reasons.contains(&CloseReason::Local("revoked".to_owned())), "{reasons:?}");
    assert!(reasons.contains(&CloseReason::Remote("revoked".to_owned())), "{reasons:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_driver_wakes_everybody() {
    let Session { hub, agent, mut drivers } = session();
    let mut ours = hub.open(Priority::Normal).unwrap();
    drivers.shutdown().await;
    assert!(matches!(agent.accept().await, Err(CloseReason::Lost(_))));
    assert!(ours.read_u8().await.is_err());
    assert!(matches!(hub.ping().await, Err(CloseReason::Lost(_))));
}

#[tokio::test(start_paused = true)]
async fn one_stream_too_many_is_refused_at_once() {
    let Session { hub, agent: _agent, drivers: _drivers } = session();
    let open: Vec<_> = (0..STREAMS_MAX).map(|_| hub.open(Priority::Normal).unwrap()).collect();
    assert!(hub.open(Priority::Normal).is_err());
    drop(open);
    assert!(hub.open(Priority::Normal).is_ok());
}

#[tokio::test(start_paused = true)]
async fn every_waiting_acceptor_gets_a_stream_of_its_own() {
    let Session { hub, agent, drivers: _drivers } = session();
    let open = async {
        hub.ping().await.unwrap();
        let mut streams = [hub.open(Priority::Normal).unwrap(), hub.open(Priority::Normal).unwrap()];
        for stream in &mut streams {
            stream.flush().await.unwrap();
        }
        streams
    };
    let accept = async { tokio::join!(agent.accept(), agent.accept(), open) };
    let (first, second, _streams) = timeout(PATIENCE, accept).await.unwrap();
    assert!(first.is_ok() && second.is_ok());
}
