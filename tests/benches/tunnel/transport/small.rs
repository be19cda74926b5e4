//! Small requests: one by one on one core and on two, many at once, and beside
//! bulk (T4, T6, T7).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::tunnel::lane::{Far, Lane, Road};
use crate::tunnel::meter::{median, micros, myself_on_one_core, percentile};
use crate::tunnel::peer;
use crate::tunnel::table::{Limit, Row, Unit, Way};

/// Requests of one lane and round, counted and not.
const WARM_UP: usize = 200;
const ONE_BY_ONE: usize = 1500;
/// Clients at once, and for how long.
const CLIENTS: usize = 64;
const AT_ONCE_FOR: Duration = Duration::from_millis(1500);
/// For how long requests are made beside bulk, and the pause between two; the
/// bulk is at full speed once this much of it has passed.
const BESIDE_FOR: Duration = Duration::from_millis(1500);
const PAUSE: Duration = Duration::from_millis(1);
const AT_FULL_SPEED: u64 = 64 << 20;
const ROUNDS: usize = 3;

/// The part of this program that runs on one core: `small SOCKET`.
pub const PART: &str = "small";

/// All of them.
pub async fn measure(socket: &Path) {
    let lanes = lanes(socket).await;
    let [direct, memory, websocket, quic] = one_by_one(&lanes).await;
    Row::new("T4 small request, new stream, to a socket, p50", Unit::Micros)
        .against(direct)
        .reached(Way::Memory, memory)
        .judged(Way::WebSocket, websocket, Limit::AboveAtMost(80.0))
        .reached(Way::Quic, quic)
        .print();
    measure_on_one_core(socket);
    measure_at_once(&lanes).await;
    measure_beside_bulk(&Far::Here, "in process", 2000.0).await;
    measure_beside_bulk(&Far::Unix(socket.to_owned()), "to a socket", 5000.0).await;
}

/// What [`PART`] does.
pub async fn measure_this_core(socket: &Path) {
    let lanes = lanes(socket).await;
    println!("{}", serde_json::json!(one_by_one(&lanes).await));
}

fn measure_on_one_core(socket: &Path) {
    let figure = "T4 the same on one core, p50";
    let output = myself_on_one_core(PART).arg(socket).output();
    let figures = output.ok().and_then(|output| serde_json::from_slice::<[f64; 4]>(&output.stdout).ok());
    let Some([direct, memory, websocket, quic]) = figures else {
        return crate::tunnel::table::print_not_measured(figure, "taskset did not run it");
    };
    Row::new(figure, Unit::Micros)
        .against(direct)
        .reached(Way::Memory, memory)
        .judged(Way::WebSocket, websocket, Limit::TimesAtMost(3.0))
        .reached(Way::Quic, quic)
        .print();
}

async fn lanes(socket: &Path) -> [Arc<Lane>; 4] {
    let far = Far::Unix(socket.to_owned());
    [
        Arc::new(Lane::direct(socket.to_owned())),
        Arc::new(Lane::open(Road::Memory, far.clone()).await),
        Arc::new(Lane::open(Road::WebSocket, far.clone()).await),
        Arc::new(Lane::open(Road::Quic, far).await),
    ]
}

/// The median of each lane, in microseconds; the lanes take turns.
async fn one_by_one(lanes: &[Arc<Lane>; 4]) -> [f64; 4] {
    let mut times: [Vec<f64>; 4] = Default::default();
    for round in 0..WARM_UP + ONE_BY_ONE {
        for (lane, times) in lanes.iter().zip(&mut times) {
            let time = new_stream(lane).await;
            if round >= WARM_UP {
                times.push(time);
            }
        }
    }
    times.each_ref().map(|times| median(times))
}

/// Microseconds until a new stream's answer is there.
async fn new_stream(lane: &Lane) -> f64 {
    let started = Instant::now();
    let mut stream = lane.stream().await;
    peer::ask(&mut stream).await.expect("the far end does as asked");
    let time = micros(started.elapsed());
    peer::finish(&mut stream).await;
    time
}

async fn kept_stream(stream: &mut Box<dyn peer::Io>) -> f64 {
    let started = Instant::now();
    peer::ask(stream).await.expect("the far end does as asked");
    micros(started.elapsed())
}

async fn measure_at_once(lanes: &[Arc<Lane>; 4]) {
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        for (lane, rates) in lanes.iter().zip(&mut rates) {
            rates.push(at_once(lane).await);
        }
    }
    let [direct, memory, websocket, quic] = rates.each_ref().map(|rates| median(rates));
    let row = Row::new("T6 64 at once, new stream each, to a socket", Unit::PerSecond).against(direct);
    row.reached(Way::Memory, memory)
        .judged(Way::WebSocket, websocket, Limit::TimesAtLeast(0.2))
        .reached(Way::Quic, quic)
        .print();
    Row::new("T6 the same, in figures", Unit::PerSecond)
        .judged(Way::WebSocket, websocket, Limit::AtLeast(10_000.0))
        .print();
}

async fn at_once(lane: &Arc<Lane>) -> f64 {
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let lane = Arc::clone(lane);
        clients.spawn(async move {
            let mut answered = 0.0;
            while started.elapsed() < AT_ONCE_FOR {
                new_stream(&lane).await;
                answered += 1.0;
            }
            answered
        });
    }
    let answered: f64 = clients.join_all().await.iter().sum();
    answered / started.elapsed().as_secs_f64()
}

/// The reference is a TLS connection of its own, kept, beside another one with
/// the bulk.
async fn measure_beside_bulk(far: &Far, place: &str, most_micros: f64) {
    let tls = Lane::open(Road::Tls, far.clone()).await;
    let websocket = Lane::open(Road::WebSocket, far.clone()).await;
    let quic = Lane::open(Road::Quic, far.clone()).await;
    let (mut p50, mut p99): ([Vec<f64>; 3], [Vec<f64>; 3]) = Default::default();
    for _ in 0..ROUNDS {
        for (index, lane) in [&tls, &websocket, &quic].into_iter().enumerate() {
            let times = beside_bulk(lane, if index == 0 { Asks::Kept } else { Asks::New }).await;
            p50[index].push(median(&times));
            p99[index].push(percentile(&times, 0.99));
        }
    }
    let [tls, websocket, quic] = p50.each_ref().map(|times| median(times));
    let figure = format!("T7 small request beside bulk, {place}");
    let row = Row::new(format!("{figure}, p50"), Unit::Micros).against(tls);
    row.reached(Way::WebSocket, websocket).reached(Way::Quic, quic).print();
    let [tls, websocket, quic] = p99.each_ref().map(|times| median(times));
    let row = Row::new(format!("{figure}, p99"), Unit::Micros).against(tls);
    row.judged(Way::WebSocket, websocket, Limit::AtMost(most_micros)).reached(Way::Quic, quic).print();
    let row = Row::new(format!("{figure}, p99, against TLS"), Unit::Micros).against(tls);
    row.judged(Way::WebSocket, websocket, Limit::TimesAtMost(1.0)).print();
}

/// Whether requests share a stream or have one each.
#[derive(Clone, Copy)]
enum Asks {
    Kept,
    New,
}

async fn beside_bulk(lane: &Lane, asks: Asks) -> Vec<f64> {
    let mut kept = lane.stream().await;
    let mut bulk = lane.stream().await;
    let moved = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&moved);
    let mut reader = JoinSet::new();
    reader.spawn(async move {
        peer::start_pouring(&mut bulk, u64::MAX).await.expect("the far end does as asked");
        let mut buffer = Vec::new();
        loop {
            let read = peer::read_some(&mut bulk, &mut buffer).await.expect("the far end pours");
            counted.fetch_add(read as u64, Ordering::Relaxed);
        }
    });
    while moved.load(Ordering::Relaxed) < AT_FULL_SPEED {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (started, mut times) = (Instant::now(), Vec::new());
    while started.elapsed() < BESIDE_FOR {
        times.push(match asks {
            Asks::Kept => kept_stream(&mut kept).await,
            Asks::New => new_stream(lane).await,
        });
        tokio::time::sleep(PAUSE).await;
    }
    reader.shutdown().await;
    times
}
