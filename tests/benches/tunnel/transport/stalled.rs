//! Readers that do not read: what they cost, and whether others notice (T9).
//! Each transport is measured in a fresh process, so that what was freed
//! before does not hide what is held now. Both ends are in it.

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use windflow_protocol::limits::{QUIC_STREAM_WINDOW, WINDOW_INITIAL};

use crate::tunnel::lane::{Far, Lane, Road};
use crate::tunnel::meter::{median, micros, myself, resident_mib};
use crate::tunnel::peer::{self, Io};
use crate::tunnel::table::{Limit, Row, Unit, Way, print_not_measured};

/// The parts of this program that measure one transport: `stalled NAME`, and
/// `stalled-tiny NAME`.
pub const PART: &str = "stalled";
pub const TINY_PART: &str = "stalled-tiny";

const STREAMS: usize = 50;
/// Unread streams of tiny writes, and the writes of each.
const TINY_STREAMS: usize = 10;
const TINY_WRITES: u64 = 6000;
const SMALL: usize = 500;
const BULK: u64 = 256 << 20;
/// Memory counts as settled after this.
const SETTLED_AFTER: Duration = Duration::from_millis(700);
/// What tiny writes may cost, in MiB.
const TINY_MOST: f64 = 20.0;

/// What one transport costs.
#[derive(Serialize, Deserialize)]
struct Figures {
    small_before: f64,
    small_beside: f64,
    bulk_before: f64,
    bulk_beside: f64,
    growth: f64,
}

/// Both transports.
pub fn measure() {
    let [Some(websocket), Some(quic)] = ["websocket", "quic"].map(|name| run::<Figures>(PART, name)) else {
        return print_not_measured("T9 beside 50 stalled", "its process failed");
    };
    for (way, name, figures, window) in [
        (Way::WebSocket, "websocket", &websocket, f64::from(WINDOW_INITIAL)),
        (Way::Quic, "quic", &quic, QUIC_STREAM_WINDOW as f64),
    ] {
        Row::new(format!("T9 small request beside 50 stalled, {name}, p50"), Unit::Micros)
            .against(figures.small_before)
            .judged(way, figures.small_beside, Limit::TimesAtMost(3.0))
            .print();
        Row::new(format!("T9 bulk beside 50 stalled, {name}"), Unit::GigabytesPerSecond)
            .against(figures.bulk_before)
            .judged(way, figures.bulk_beside, Limit::TimesAtLeast(0.5))
            .print();
        Row::new(format!("T9 growth by 50 stalled / windows, {name}, both ends"), Unit::Mebibytes)
            .against(window * STREAMS as f64 / f64::from(1 << 20))
            .judged(way, figures.growth, Limit::TimesAtMost(2.0))
            .print();
    }
    measure_tiny();
}

fn measure_tiny() {
    let figure = "T9 growth by 10 x 6,000 unread writes of 20 B, both ends";
    let [Some(websocket), Some(quic)] = ["websocket", "quic"].map(|name| run::<f64>(TINY_PART, name)) else {
        return print_not_measured(figure, "its process failed");
    };
    Row::new(figure, Unit::Mebibytes)
        .judged(Way::WebSocket, websocket, Limit::AtMost(TINY_MOST))
        .judged(Way::Quic, quic, Limit::AtMost(TINY_MOST))
        .print();
}

fn run<T: DeserializeOwned>(part: &str, transport: &str) -> Option<T> {
    let output = myself(part).arg(transport).output().ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

/// What [`PART`] does.
pub async fn measure_here(transport: &str) {
    let lane = lane(transport).await;
    bulk(&lane).await;
    let (small_before, bulk_before) = (small(&lane).await, bulk(&lane).await);
    let before = settled().await;
    let stalled = stall(&lane).await;
    let growth = settled().await - before;
    let (small_beside, bulk_beside) = (small(&lane).await, bulk(&lane).await);
    drop(stalled);
    let figures = Figures { small_before, small_beside, bulk_before, bulk_beside, growth };
    println!("{}", serde_json::to_string(&figures).expect("figures are plain numbers"));
}

/// What [`TINY_PART`] does.
pub async fn measure_tiny_here(transport: &str) {
    let lane = lane(transport).await;
    bulk(&lane).await;
    let before = settled().await;
    let tiny = stall_tiny(&lane).await;
    bulk(&lane).await;
    println!("{}", settled().await - before);
    drop(tiny);
}

async fn lane(transport: &str) -> Lane {
    let road = if transport == "quic" { Road::Quic } else { Road::WebSocket };
    Lane::open(road, Far::Here).await
}

async fn settled() -> f64 {
    tokio::time::sleep(SETTLED_AFTER).await;
    resident_mib("self")
}

async fn stall(lane: &Lane) -> Vec<Box<dyn Io>> {
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = lane.stream().await;
        peer::start_pouring(&mut stream, u64::MAX).await.expect("the far end does as asked");
        streams.push(stream);
    }
    streams
}

async fn stall_tiny(lane: &Lane) -> Vec<Box<dyn Io>> {
    let mut streams = Vec::new();
    for _ in 0..TINY_STREAMS {
        let mut stream = lane.stream().await;
        peer::start_dropping(&mut stream, TINY_WRITES).await.expect("the far end does as asked");
        streams.push(stream);
    }
    streams
}

async fn small(lane: &Lane) -> f64 {
    let mut times = Vec::new();
    for _ in 0..SMALL {
        let started = Instant::now();
        let mut stream = lane.stream().await;
        peer::ask(&mut stream).await.expect("the far end does as asked");
        times.push(micros(started.elapsed()));
        peer::finish(&mut stream).await;
    }
    median(&times)
}

/// GB/s of one stream; its reader is a task, as in the product.
async fn bulk(lane: &Lane) -> f64 {
    let mut stream = lane.stream().await;
    let mut reader = JoinSet::new();
    let started = Instant::now();
    reader.spawn(async move {
        peer::pull(&mut stream, BULK).await.expect("the far end does as asked");
        peer::finish(&mut stream).await;
    });
    reader.join_all().await;
    BULK as f64 / 1e9 / started.elapsed().as_secs_f64()
}
