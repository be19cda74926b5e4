//! One stream at full speed, and how eight share (T1, T2, T3, T8).

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::tunnel::lane::{Far, Lane, Road};
use crate::tunnel::meter::{cpu_time, median};
use crate::tunnel::peer;
use crate::tunnel::table::{Limit, Row, Unit, Way};

/// Bytes of one measurement.
const TOTAL: u64 = 384 << 20;
/// Bytes before the first, to open windows and warm caches.
const WARM_UP: u64 = 64 << 20;
const ROUNDS: usize = 5;
/// Streams that share a session, and for how long.
const SHARERS: usize = 8;
const SHARE_FOR: Duration = Duration::from_millis(1500);

#[derive(Clone, Copy)]
enum Direction {
    Down,
    Up,
}

/// Rates and processor time of one lane, round by round.
#[derive(Default)]
struct Figures {
    rate: Vec<f64>,
    cpu: Vec<f64>,
}

/// The figures with both ends in this process, and to a socket.
pub async fn measure(socket: &Path) {
    let here = [("T1/T3 bulk down", Direction::Down), ("T1/T3 bulk up", Direction::Up)];
    let lanes = lanes(&Far::Here).await;
    for (figure, direction) in here {
        let figures = rounds(&lanes, direction).await;
        print(figure, &figures, (0.5, 1.5));
    }
    let lanes = self::lanes(&Far::Unix(socket.to_owned())).await;
    for (figure, direction) in
        [("T2 bulk down to a socket", Direction::Down), ("T2 bulk up to a socket", Direction::Up)]
    {
        let figures = rounds(&lanes, direction).await;
        print(figure, &figures, (0.55, 1.7));
    }
    measure_shares().await;
}

/// In the order of the columns, the reference first.
async fn lanes(far: &Far) -> [Lane; 4] {
    [
        Lane::open(Road::Tls, far.clone()).await,
        Lane::open(Road::Memory, far.clone()).await,
        Lane::open(Road::WebSocket, far.clone()).await,
        Lane::open(Road::Quic, far.clone()).await,
    ]
}

async fn rounds(lanes: &[Lane; 4], direction: Direction) -> [Figures; 4] {
    let mut figures: [Figures; 4] = Default::default();
    for _ in 0..ROUNDS {
        for (lane, figures) in lanes.iter().zip(&mut figures) {
            let mut stream = lane.stream().await;
            carry(&mut stream, direction, WARM_UP).await;
            let (started, cpu) = (Instant::now(), cpu_time("self"));
            carry(&mut stream, direction, TOTAL).await;
            let gigabytes = TOTAL as f64 / 1e9;
            figures.rate.push(gigabytes / started.elapsed().as_secs_f64());
            figures.cpu.push((cpu_time("self") - cpu).as_secs_f64() / gigabytes);
            peer::finish(&mut stream).await;
        }
    }
    figures
}

async fn carry(stream: &mut Box<dyn peer::Io>, direction: Direction, total: u64) {
    let carried = match direction {
        Direction::Down => peer::pull(stream, total).await,
        Direction::Up => peer::push(stream, total).await,
    };
    carried.expect("the far end does as asked");
}

/// The limits of QUIC are the same in all places: T3.
fn print(figure: &str, figures: &[Figures; 4], (rate_least, cpu_most): (f64, f64)) {
    let [tls, memory, websocket, quic] = figures.each_ref().map(|figures| median(&figures.rate));
    Row::new(figure, Unit::GigabytesPerSecond)
        .against(tls)
        .reached(Way::Memory, memory)
        .judged(Way::WebSocket, websocket, Limit::TimesAtLeast(rate_least))
        .judged(Way::Quic, quic, Limit::TimesAtLeast(0.25))
        .print();
    let [tls, memory, websocket, quic] = figures.each_ref().map(|figures| median(&figures.cpu));
    Row::new(figure, Unit::CpuPerGigabyte)
        .against(tls)
        .reached(Way::Memory, memory)
        .judged(Way::WebSocket, websocket, Limit::TimesAtMost(cpu_most))
        .judged(Way::Quic, quic, Limit::TimesAtMost(3.5))
        .print();
}

async fn measure_shares() {
    let [tls, _, websocket, quic] = lanes(&Far::Here).await;
    Row::new("T8 slowest of 8 bulk streams / fastest", Unit::Ratio)
        .against(share(&tls).await)
        .judged(Way::WebSocket, share(&websocket).await, Limit::AtLeast(0.7))
        .judged(Way::Quic, share(&quic).await, Limit::AtLeast(0.7))
        .print();
}

async fn share(lane: &Lane) -> f64 {
    let mut readers = JoinSet::new();
    for _ in 0..SHARERS {
        let mut stream = lane.stream().await;
        readers.spawn(async move {
            peer::start_pouring(&mut stream, u64::MAX).await.expect("the far end does as asked");
            let (until, mut buffer, mut total) = (Instant::now() + SHARE_FOR, Vec::new(), 0);
            while Instant::now() < until {
                total += peer::read_some(&mut stream, &mut buffer).await.expect("the far end pours");
            }
            total as f64
        });
    }
    let totals = readers.join_all().await;
    let least = totals.iter().copied().fold(f64::INFINITY, f64::min);
    least / totals.iter().copied().fold(0.0, f64::max)
}
