//! One stream at full speed, and how eight share (T1, T2, T3, T8).

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::tunnel::lane::{Far, Lane, Road};
use crate::tunnel::meter::{cpu_time, median, myself_on_one_core};
use crate::tunnel::peer;
use crate::tunnel::table::{Limit, Row, Unit, Way, print_not_measured};

/// The part of this program that runs on one core.
pub const PART: &str = "bulk";

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
    let lanes = lanes(&Far::Here).await;
    for (figure, direction) in HERE {
        let figures = rounds(&lanes, direction).await;
        print_rate(figure, &figures, 0.5);
        print_cpu(figure, &cpu(&figures), None);
    }
    measure_on_one_core();
    let lanes = self::lanes(&Far::Unix(socket.to_owned())).await;
    for (figure, direction) in
        [("T2 bulk down to a socket", Direction::Down), ("T2 bulk up to a socket", Direction::Up)]
    {
        let figures = rounds(&lanes, direction).await;
        print_rate(figure, &figures, 0.55);
        print_cpu(figure, &cpu(&figures), Some(1.7));
    }
    measure_shares().await;
}

/// Both ends in this process.
const HERE: [(&str, Direction); 2] = [("T1/T3 bulk down", Direction::Down), ("T1/T3 bulk up", Direction::Up)];

/// What [`PART`] does: the processor time of [`HERE`].
pub async fn measure_this_core() {
    let lanes = lanes(&Far::Here).await;
    let mut figures = Vec::new();
    for (_, direction) in HERE {
        figures.push(cpu(&rounds(&lanes, direction).await));
    }
    println!("{}", serde_json::json!(figures));
}

/// Where the scheduler puts the two tasks of the reference changes what it
/// costs by a third; on one core nothing is left to choose.
fn measure_on_one_core() {
    let output = myself_on_one_core(PART).output();
    let measured = output.ok().and_then(|output| serde_json::from_slice::<[[f64; 4]; 2]>(&output.stdout).ok());
    for (number, (figure, _)) in HERE.iter().enumerate() {
        let figure = format!("{figure}, on one core");
        match measured {
            Some(measured) => print_cpu(&figure, &measured[number], Some(1.5)),
            None => print_not_measured(&figure, "taskset did not run it"),
        }
    }
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

/// The limit of QUIC is the same in all places: T3.
fn print_rate(figure: &str, figures: &[Figures; 4], least: f64) {
    let [tls, memory, websocket, quic] = figures.each_ref().map(|figures| median(&figures.rate));
    Row::new(figure, Unit::GigabytesPerSecond)
        .against(tls)
        .reached(Way::Memory, memory)
        .judged(Way::WebSocket, websocket, Limit::TimesAtLeast(least))
        .judged(Way::Quic, quic, Limit::TimesAtLeast(0.25))
        .print();
}

fn cpu(figures: &[Figures; 4]) -> [f64; 4] {
    figures.each_ref().map(|figures| median(&figures.cpu))
}

/// Judged where a limit is given; that of QUIC is T3's.
fn print_cpu(figure: &str, &[tls, memory, websocket, quic]: &[f64; 4], most: Option<f64>) {
    let row = Row::new(figure, Unit::CpuPerGigabyte).against(tls).reached(Way::Memory, memory);
    let row = match most {
        Some(most) => row.judged(Way::WebSocket, websocket, Limit::TimesAtMost(most)).judged(
            Way::Quic,
            quic,
            Limit::TimesAtMost(3.5),
        ),
        None => row.reached(Way::WebSocket, websocket).reached(Way::Quic, quic),
    };
    row.print();
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
