//! A link of 50 ms and 200 Mbit/s, played by the user-space relay (T14).

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use windflow_tests::network::LinkOptions;

use super::lane::{Far, Lane, Road};
use super::meter::{median, millis};
use super::peer;
use super::table::{Limit, Row, Unit, Way, print_not_measured};

/// One way.
const DELAY: Duration = Duration::from_millis(25);
const BYTES_PER_SECOND: u64 = 25_000_000;
/// Windows open for this long before it counts, and then it counts for this
/// long.
const OPENING: Duration = Duration::from_secs(3);
const COUNTED: Duration = Duration::from_secs(3);
/// Small requests beside the bulk.
const SMALL: usize = 15;

/// What one lane reaches.
struct Figures {
    /// MB/s.
    rate: f64,
    /// The median of a small request beside the bulk, in milliseconds.
    small: f64,
}

/// Bulk over the link, and a small request beside it.
pub async fn measure() {
    let tls = over_the_link(Road::Tls).await;
    let websocket = over_the_link(Road::WebSocket).await;
    let quic = over_the_link(Road::Quic).await;
    Row::new("T14 bulk at 50 ms, 200 Mbit/s, after 3 s", Unit::MegabytesPerSecond)
        .against(tls.rate)
        .judged(Way::WebSocket, websocket.rate, Limit::TimesAtLeast(0.8))
        .reached(Way::Quic, quic.rate)
        .print();
    Row::new("T14 small request beside it, p50", Unit::Millis)
        .against(tls.small)
        .reached(Way::WebSocket, websocket.small)
        .reached(Way::Quic, quic.small)
        .print();
    println!("    (the relay paces TCP only: QUIC has the delay, and no limit)");
    print_not_measured("T15", "loss of TCP segments needs a packet-level emulator, which this kernel lacks");
    print_not_measured("T16", "the peer it is compared with is not part of this workspace");
}

async fn over_the_link(road: Road) -> Figures {
    let link = LinkOptions { delay: DELAY, bytes_per_second: Some(BYTES_PER_SECOND), ..LinkOptions::default() };
    let lane = Lane::open_through(road, Far::Here, Some(link)).await;
    let mut bulk = lane.stream().await;
    let mut kept = lane.stream().await;
    let mut reader = JoinSet::new();
    reader.spawn(async move {
        peer::start_pouring(&mut bulk, u64::MAX).await.expect("the far end does as asked");
        read_for(&mut bulk, OPENING).await;
        read_for(&mut bulk, COUNTED).await / 1e6 / COUNTED.as_secs_f64()
    });
    tokio::time::sleep(OPENING).await;
    let mut times = Vec::new();
    for _ in 0..SMALL {
        let started = Instant::now();
        peer::ask(&mut kept).await.expect("the far end does as asked");
        times.push(millis(started.elapsed()));
    }
    let rate = median(&reader.join_all().await);
    Figures { rate, small: median(&times) }
}

/// Bytes that arrive in `time`.
async fn read_for(stream: &mut Box<dyn peer::Io>, time: Duration) -> f64 {
    let (until, mut buffer, mut total) = (Instant::now() + time, Vec::new(), 0);
    while Instant::now() < until {
        total += peer::read_some(stream, &mut buffer).await.expect("the far end pours");
    }
    total as f64
}
