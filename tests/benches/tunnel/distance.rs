//! A link of 50 ms and 200 Mbit/s that drops packets as a network does, played
//! by the harness's packet link (T14, T15). The agent's end of each lane is in
//! a network namespace behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use windflow_tests::network::{Netns, PacketOptions};

use super::lane::{Congestion, Far, Lane, Path, Road};
use super::meter::{median, millis};
use super::peer;
use super::table::{Limit, Row, Unit, Way};

/// One way.
const DELAY: Duration = Duration::from_millis(25);
/// Both ways, in milliseconds.
const ROUND_TRIP: f64 = 50.0;
const BYTES_PER_SECOND: u64 = 25_000_000;
/// How long a packet may wait before the bottleneck.
const QUEUE: Duration = Duration::from_millis(50);
/// Of 1,000 packets, each way, for T15.
const LOST: u64 = 10;
/// Windows open for this long before it counts, and then it counts for this
/// long.
const OPENING: Duration = Duration::from_secs(3);
const COUNTED: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;

/// The lanes that take turns: the references, and the tunnel. QUIC brings its
/// own congestion control.
const LANES: [(Road, Congestion); 5] = [
    (Road::Tls, Congestion::Bbr),
    (Road::WebSocket, Congestion::Bbr),
    (Road::Quic, Congestion::Bbr),
    (Road::Tls, Congestion::Cubic),
    (Road::WebSocket, Congestion::Cubic),
];

/// What one lane reaches, round by round.
#[derive(Default)]
struct Figures {
    /// MB/s.
    rate: Vec<f64>,
    /// The median of a small request beside the bulk, in milliseconds.
    small: Vec<f64>,
}

/// Bulk over the link, and a small request beside it.
pub async fn measure() {
    let clean = PacketOptions {
        delay: DELAY,
        bytes_per_second: Some(BYTES_PER_SECOND),
        queue: QUEUE,
        seed: 14,
        ..PacketOptions::default()
    };
    print("T14", "at 50 ms, 200 Mbit/s", 0.8, &rounds(clean.clone()).await);
    print("T15", "the same with 1 % loss", 0.5, &rounds(PacketOptions { lost_per_mille: LOST, ..clean }).await);
}

async fn rounds(options: PacketOptions) -> [Figures; 5] {
    let namespace = Netns::over(options);
    let mut figures: [Figures; 5] = Default::default();
    for _ in 0..ROUNDS {
        for ((road, congestion), figures) in LANES.into_iter().zip(&mut figures) {
            let lane = Lane::open_over(road, Far::Here, Path::Link(&namespace, congestion)).await;
            let (rate, small) = bulk_and_small(&lane).await;
            figures.rate.push(rate);
            figures.small.push(small);
        }
    }
    figures
}

fn print(target: &str, link: &str, least: f64, figures: &[Figures; 5]) {
    let [tls, websocket, quic, tls_cubic, websocket_cubic] = figures.each_ref().map(|figures| median(&figures.rate));
    let row = Row::new(format!("{target} bulk {link}, after 3 s"), Unit::MegabytesPerSecond).against(tls);
    let row = row.judged(Way::WebSocket, websocket, Limit::TimesAtLeast(least));
    // With loss, one of the two has to reach it.
    if target == "T14" {
        row.judged(Way::Quic, quic, Limit::TimesAtLeast(least))
    } else {
        row.reached(Way::Quic, quic)
    }
    .print();
    Row::new(format!("{target} the same where the kernel has only cubic"), Unit::MegabytesPerSecond)
        .against(tls_cubic)
        .reached(Way::WebSocket, websocket_cubic)
        .print();
    let [_, websocket, quic, _, websocket_cubic] = figures.each_ref().map(|figures| median(&figures.small));
    let row = Row::new(format!("{target} small request beside it, p50, and the round trip"), Unit::Millis);
    let row = row.against(ROUND_TRIP).reached(Way::WebSocket, websocket);
    row.judged(Way::Quic, quic, Limit::TimesAtMost(3.0)).print();
    Row::new(format!("{target} the same where the kernel has only cubic, p50"), Unit::Millis)
        .against(ROUND_TRIP)
        .reached(Way::WebSocket, websocket_cubic)
        .print();
}

/// MB/s of one stream, and the median of the requests beside it in
/// milliseconds.
async fn bulk_and_small(lane: &Lane) -> (f64, f64) {
    let mut bulk = lane.stream().await;
    let mut kept = lane.stream().await;
    let over = Arc::new(AtomicBool::new(false));
    let (mut reader, tell) = (JoinSet::new(), Arc::clone(&over));
    reader.spawn(async move {
        peer::start_pouring(&mut bulk, u64::MAX).await.expect("the far end does as asked");
        read_for(&mut bulk, OPENING).await;
        let rate = read_for(&mut bulk, COUNTED).await / 1e6 / COUNTED.as_secs_f64();
        tell.store(true, Ordering::Relaxed);
        rate
    });
    tokio::time::sleep(OPENING).await;
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let started = Instant::now();
        peer::ask(&mut kept).await.expect("the far end does as asked");
        times.push(millis(started.elapsed()));
    }
    (median(&reader.join_all().await), median(&times))
}

/// Bytes that arrive in `time`.
async fn read_for(stream: &mut Box<dyn peer::Io>, time: Duration) -> f64 {
    let (started, mut buffer, mut total) = (Instant::now(), Vec::new(), 0);
    // The link may be silent for longer than is left.
    while let Some(left) = time.checked_sub(started.elapsed()) {
        let Ok(read) = tokio::time::timeout(left, peer::read_some(stream, &mut buffer)).await else { break };
        total += read.expect("the far end pours");
    }
    total as f64
}
