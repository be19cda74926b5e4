//! Links that are slow, split, stalled or cut, in virtual time.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::*;
use crate::limits::{HEARTBEAT_EVERY, SILENCE_MAX, WRITE_DEADLINE};
use crate::testing::{LinkOptions, LinkSwitch, Split, link};
use crate::transport::{Connection, Stream, TransportKind};

struct Session {
    hub: Connection,
    agent: Connection,
    switch: LinkSwitch,
    _drivers: JoinSet<CloseReason>,
}

impl Session {
    fn over(options: LinkOptions) -> Self {
        let (left, right, switch) = link(options);
        let mut drivers = JoinSet::new();
        let (hub, driver) = Connection::multiplexed(left, Side::Hub, TransportKind::WebSocket);
        drivers.spawn(driver);
        let (agent, driver) = Connection::multiplexed(right, Side::Agent, TransportKind::WebSocket);
        drivers.spawn(driver);
        Self { hub, agent, switch, _drivers: drivers }
    }

    async fn stream(&self) -> (Stream, Stream) {
        let mut ours = self.hub.open(Priority::Normal).unwrap();
        ours.flush().await.unwrap();
        (ours, self.agent.accept().await.unwrap())
    }
}

/// Sends for ever, and says how long `total` bytes took to arrive after the
/// first `skipped` ones.
async fn time_to_receive(mut from: Stream, mut to: Stream, skipped: usize, total: usize) -> Duration {
    let mut sender = JoinSet::new();
    sender.spawn(async move { while from.write_all(&[7; 64 * 1024]).await.is_ok() {} });
    let mut buffer = vec![0; 64 * 1024];
    let mut received = 0;
    let mut started = Instant::now();
    while received < skipped + total {
        if received < skipped {
            started = Instant::now();
        }
        received += to.read(&mut buffer).await.unwrap();
    }
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_long_path_is_filled_once_its_window_has_grown() {
    const RATE: u64 = 25_000_000;
    let capacity = 16 * 1024 * 1024;
    let delay = Duration::from_millis(25);
    let session =
        Session::over(LinkOptions { delay, bytes_per_second: Some(RATE), capacity, ..LinkOptions::default() });
    session.hub.ping().await.unwrap();
    let (ours, theirs) = session.stream().await;
    let took = time_to_receive(theirs, ours, 25_000_000, 50_000_000).await;
    let rate = 50_000_000.0 / took.as_secs_f64();
    assert!(rate > 0.95 * RATE as f64, "{rate:.0} bytes per second");
}

#[tokio::test(start_paused = true)]
async fn a_request_costs_one_round_trip() {
    let delay = Duration::from_millis(100);
    let session = Session::over(LinkOptions { delay, ..LinkOptions::default() });
    session.hub.ping().await.unwrap();
    let mut answers = JoinSet::new();
    let agent = session.agent.clone();
    answers.spawn(async move {
        let mut stream = agent.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        stream.write_u8(2).await.unwrap();
        stream
    });
    let asked = Instant::now();
    let mut stream = session.hub.open(Priority::Normal).unwrap();
    stream.write_u8(1).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), 2);
    assert!(asked.elapsed() < 2 * delay + Duration::from_millis(10), "{:?}", asked.elapsed());
    assert!(session.hub.rtt().unwrap() >= 2 * delay);
}

#[tokio::test(start_paused = true)]
async fn bytes_survive_a_link_that_splits_them_one_by_one() {
    let delay = Duration::from_millis(200);
    let session = Session::over(LinkOptions { delay, split: Split::Fixed(1), ..LinkOptions::default() });
    let (mut ours, mut theirs) = session.stream().await;
    let sent: Vec<u8> = (0..60_000_u32).map(|n| (n % 251) as u8).collect();
    ours.write_all(&sent).await.unwrap();
    ours.shutdown().await.unwrap();
    let mut received = Vec::new();
    theirs.read_to_end(&mut received).await.unwrap();
    assert!(received == sent);
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_lives_on_its_heartbeat() {
    let session = Session::over(LinkOptions::default());
    tokio::time::sleep(SILENCE_MAX * 10).await;
    assert!(session.hub.ping().await.is_ok());
    assert!(session.agent.ping().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_session_on_a_half_open_link_dies_of_silence() {
    let session = Session::over(LinkOptions::default());
    session.hub.ping().await.unwrap();
    session.switch.stall();
    let stalled = Instant::now();
    assert_eq!(session.hub.closed().await, CloseReason::Silent);
    assert_eq!(session.agent.closed().await, CloseReason::Silent);
    assert!(stalled.elapsed() <= SILENCE_MAX + Duration::from_millis(10), "{:?}", stalled.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stall_shorter_than_the_limit_is_survived() {
    let session = Session::over(LinkOptions::default());
    let (mut ours, mut theirs) = session.stream().await;
    session.switch.stall();
    ours.write_all(b"late").await.unwrap();
    tokio::time::sleep(SILENCE_MAX - HEARTBEAT_EVERY).await;
    session.switch.resume();
    let mut word = [0; 4];
    theirs.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"late");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_but_takes_nothing_is_given_up() {
    let session = Session::over(LinkOptions::default());
    let (mut ours, mut theirs) = session.stream().await;
    let mut writers = JoinSet::new();
    writers.spawn(async move { while theirs.write_all(b"alive").await.is_ok() && beat().await {} });
    session.switch.stall_there();
    let stalled = Instant::now();
    writers.spawn(async move { while ours.write_all(&[7; 64 * 1024]).await.is_ok() {} });
    assert_eq!(session.hub.closed().await, CloseReason::Lost("it takes no more bytes".to_owned()));
    assert!(stalled.elapsed() <= WRITE_DEADLINE + Duration::from_millis(10), "{:?}", stalled.elapsed());
}

async fn beat() -> bool {
    tokio::time::sleep(Duration::from_secs(1)).await;
    true
}

#[tokio::test(start_paused = true)]
async fn a_cut_link_wakes_everybody_at_once() {
    let session = Session::over(LinkOptions::default());
    let (mut ours, mut theirs) = session.stream().await;
    session.switch.cut();
    let cut = Instant::now();
    assert!(ours.read_u8().await.is_err());
    assert!(theirs.read_u8().await.is_err());
    assert!(matches!(session.hub.closed().await, CloseReason::Lost(_)));
    assert!(matches!(session.agent.closed().await, CloseReason::Lost(_)));
    assert!(cut.elapsed() < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_session_closes_in_time_though_the_peer_takes_nothing() {
    let (left, _right, switch) = link(LinkOptions::default());
    let (hub, driver) = Connection::multiplexed(left, Side::Hub, TransportKind::WebSocket);
    switch.stall();
    let started = Instant::now();
    hub.close("enough");
    assert_eq!(driver.await, CloseReason::Local("enough".to_owned()));
    assert!(started.elapsed() <= crate::limits::GOODBYE_DEADLINE + Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn stalled_readers_do_not_stop_a_bulk_stream() {
    let session = Session::over(LinkOptions::default());
    let mut stalled = Vec::new();
    let mut writers = JoinSet::new();
    for _ in 0..50 {
        let (ours, mut theirs) = session.stream().await;
        stalled.push(ours);
        writers.spawn(async move { while theirs.write_all(&[7; 64 * 1024]).await.is_ok() {} });
    }
    let (ours, theirs) = session.stream().await;
    time_to_receive(theirs, ours, 0, 20_000_000).await;
}
