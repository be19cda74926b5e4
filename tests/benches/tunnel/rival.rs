//! The tunnel beside rathole with TLS, which opens a tunnel connection for each
//! visitor (T16). Both have the same way: this client, a TCP port, the tunnel,
//! and a TCP server behind its far end; each program is a process of its own.
//! The product has no such port: a small front of the benchmark's own opens a
//! stream for each connection.

mod front;
mod rathole;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use windflow_tests::places;
use windflow_tests::process::Running;

pub use self::front::{PART as FRONT_PART, run as run_front};
use self::rathole::Rathole;
use super::meter::{WORKERS, block_on, cpu_time, median, micros, myself};
use super::peer;
use super::table::{Limit, Row, Unit, Way, print_not_measured};

/// Bytes of one download.
const TOTAL: u64 = 256 << 20;
/// Requests one by one that do not count, and that do.
const WARM_UP: usize = 30;
const ONE_BY_ONE: usize = 200;
/// Clients at once, and for how long.
const CLIENTS: usize = 64;
const AT_ONCE_FOR: Duration = Duration::from_millis(1500);
const ROUNDS: usize = 3;
/// How long a process may take to say where it listens.
const START: Duration = Duration::from_secs(60);

/// A way through a tunnel.
struct Contender {
    entrance: SocketAddr,
    /// The processes of both its ends.
    processes: Vec<String>,
}

#[derive(Default)]
struct Figures {
    rate: Vec<f64>,
    cpu: Vec<f64>,
    one: Vec<f64>,
    at_once: Vec<f64>,
}

/// Every figure beside rathole, where there is one.
pub fn measure() {
    let Some(program) = places::rathole() else {
        return print_not_measured(
            "T16",
            "install with `cargo install rathole --version 0.5.0`, see docs/BENCHMARKS.md",
        );
    };
    let Some(openssl) = places::optional("openssl") else {
        return print_not_measured("T16", "rathole wants its certificate as PKCS #12, which `openssl` makes");
    };
    let backend = Running::start(&myself(peer::TCP_PART));
    let behind = address_said_by(&backend);
    let rathole = Rathole::start(&program, &openssl, behind);
    let mut command: Command = myself(FRONT_PART);
    let front = Running::start(command.arg(behind.to_string()));
    let [websocket, quic] = front::said_by(&front, START);
    let contenders = Arc::new([rathole.contender(), websocket, quic]);
    let figures = block_on(WORKERS, rounds(contenders));
    print(&figures);
}

fn print(figures: &[Figures; 3]) {
    let medians = |pick: fn(&Figures) -> &Vec<f64>| figures.each_ref().map(|figures| median(pick(figures)));
    let row = |figure: &str, unit, [rathole, websocket, quic]: [f64; 3], limit: Option<Limit>| {
        let row = Row::new(format!("T16 {figure}, and rathole with TLS"), unit).against(rathole);
        let row = match limit {
            Some(limit) => row.judged(Way::WebSocket, websocket, limit),
            None => row.reached(Way::WebSocket, websocket),
        };
        row.reached(Way::Quic, quic).print();
    };
    row("bulk", Unit::GigabytesPerSecond, medians(|f| &f.rate), Some(Limit::TimesAtLeast(0.8)));
    row("bulk", Unit::CpuPerGigabyte, medians(|f| &f.cpu), Some(Limit::TimesAtMost(1.1)));
    row("new connection, p50", Unit::Micros, medians(|f| &f.one), None);
    row("64 at once, new each", Unit::PerSecond, medians(|f| &f.at_once), Some(Limit::TimesAtLeast(5.0)));
}

async fn rounds(contenders: Arc<[Contender; 3]>) -> [Figures; 3] {
    let mut figures: [Figures; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (contender, figures) in contenders.iter().zip(&mut figures) {
            let (rate, cpu) = bulk(contender).await;
            figures.rate.push(rate);
            figures.cpu.push(cpu);
            figures.one.push(one_by_one(contender.entrance).await);
            figures.at_once.push(at_once(contender.entrance).await);
        }
    }
    figures
}

/// GB/s of one connection, and the processor time of both ends for 1 GB.
async fn bulk(contender: &Contender) -> (f64, f64) {
    let mut stream = connect(contender.entrance).await;
    let used = || contender.processes.iter().map(|process| cpu_time(process)).sum::<Duration>();
    let (started, before) = (Instant::now(), used());
    peer::pull(&mut stream, TOTAL).await.expect("the far end does as asked");
    let gigabytes = TOTAL as f64 / 1e9;
    (gigabytes / started.elapsed().as_secs_f64(), (used() - before).as_secs_f64() / gigabytes)
}

async fn one_by_one(entrance: SocketAddr) -> f64 {
    let mut times = Vec::new();
    for number in 0..WARM_UP + ONE_BY_ONE {
        let time = new_connection(entrance).await;
        if number >= WARM_UP {
            times.push(time);
        }
    }
    median(&times)
}

/// Answers in a second.
async fn at_once(entrance: SocketAddr) -> f64 {
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(async move {
            let mut answered = 0.0;
            while started.elapsed() < AT_ONCE_FOR {
                new_connection(entrance).await;
                answered += 1.0;
            }
            answered
        });
    }
    let answered: f64 = clients.join_all().await.iter().sum();
    answered / started.elapsed().as_secs_f64()
}

/// Microseconds until a new connection's answer is there.
async fn new_connection(entrance: SocketAddr) -> f64 {
    let started = Instant::now();
    let mut stream = connect(entrance).await;
    peer::ask(&mut stream).await.expect("the far end does as asked");
    let time = micros(started.elapsed());
    peer::finish(&mut stream).await;
    time
}

async fn connect(entrance: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(entrance).await.expect("the entrance is open");
    stream.set_nodelay(true).expect("a TCP socket has this option");
    stream
}

/// The one line that a part prints.
fn address_said_by(part: &Running) -> SocketAddr {
    part.wait_for("\n", START);
    part.stdout().trim().parse().expect("it prints where it listens")
}
