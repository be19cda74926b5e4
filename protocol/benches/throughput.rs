//! The multiplexer over plain loopback TCP, against the TCP connection alone.
//! Run by hand: `cargo bench -p windflow-protocol`. Figures are for comparison
//! within one run only.

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use windflow_protocol::transport::{Connection, Priority, Side, Stream, TransportKind};

const BULK: u64 = 2 << 30;
const CHUNK: usize = 64 * 1024;
const REQUESTS: usize = 20_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    // `block_on` runs outside the workers, where each wake-up crosses threads.
    runtime.block_on(async { JoinSet::from_iter([run()]).join_all().await });
}

async fn run() {
    for round in 1..=3 {
        println!("round {round}");
        bulk_tcp().await;
        bulk_down().await;
        bulk_up().await;
        requests().await;
        requests_concurrent().await;
        requests_beside_bulk().await;
        shares().await;
    }
}

struct Session {
    hub: Connection,
    agent: Connection,
    drivers: JoinSet<windflow_protocol::transport::CloseReason>,
}

impl Session {
    async fn close(mut self) {
        self.hub.close("done");
        while self.drivers.join_next().await.is_some() {}
    }
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (dialled, accepted) = (dialled.expect("connect"), accepted.expect("accept").0);
    dialled.set_nodelay(true).expect("nodelay");
    accepted.set_nodelay(true).expect("nodelay");
    (dialled, accepted)
}

async fn session() -> Session {
    let (dialled, accepted) = tcp_pair().await;
    let mut drivers = JoinSet::new();
    let (hub, driver) = Connection::multiplexed(accepted, Side::Hub, TransportKind::WebSocket);
    drivers.spawn(driver);
    let (agent, driver) = Connection::multiplexed(dialled, Side::Agent, TransportKind::WebSocket);
    drivers.spawn(driver);
    Session { hub, agent, drivers }
}

async fn open(session: &Session) -> (Stream, Stream) {
    let mut ours = session.hub.open(Priority::Normal).expect("open");
    ours.flush().await.expect("flush");
    (ours, session.agent.accept().await.expect("accept"))
}

async fn send(mut stream: impl AsyncWrite + Unpin, total: u64) {
    let chunk = vec![7; CHUNK];
    let mut left = total;
    while left > 0 {
        let part = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        // A reader that has seen enough cuts the stream.
        if stream.write_all(&chunk[..part]).await.is_err() {
            return;
        }
        left -= part as u64;
    }
    stream.shutdown().await.expect("shutdown");
}

async fn receive(mut stream: impl AsyncRead + Unpin) -> u64 {
    let mut buffer = vec![0; CHUNK];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer).await.expect("read") {
            0 => return total,
            count => total += count as u64,
        }
    }
}

fn print_rate(what: &str, total: u64, started: Instant, cpu: Duration) {
    let seconds = started.elapsed().as_secs_f64();
    let gigabytes = total as f64 / 1e9;
    let cpu = (cpu_time() - cpu).as_secs_f64();
    println!("  {what:<28} {:>6.2} GB/s  {:>5.2} CPU-s/GB", gigabytes / seconds, cpu / gigabytes);
}

fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

async fn bulk_tcp() {
    let (left, right) = tcp_pair().await;
    let (started, cpu) = (Instant::now(), cpu_time());
    let mut tasks = JoinSet::new();
    tasks.spawn(send(left, BULK));
    receive(right).await;
    print_rate("TCP alone", BULK, started, cpu);
    tasks.join_all().await;
}

async fn bulk_down() {
    let session = session().await;
    let (ours, theirs) = open(&session).await;
    let (started, cpu) = (Instant::now(), cpu_time());
    let mut tasks = JoinSet::new();
    tasks.spawn(send(theirs, BULK));
    receive(ours).await;
    print_rate("agent to hub", BULK, started, cpu);
    session.close().await;
}

async fn bulk_up() {
    let session = session().await;
    let (ours, theirs) = open(&session).await;
    let (started, cpu) = (Instant::now(), cpu_time());
    let mut tasks = JoinSet::new();
    tasks.spawn(send(ours, BULK));
    receive(theirs).await;
    print_rate("hub to agent", BULK, started, cpu);
    session.close().await;
}

async fn answer(agent: Connection) {
    let mut answers = JoinSet::new();
    while let Ok(mut stream) = agent.accept().await {
        answers.spawn(async move {
            let mut request = [0; 200];
            if stream.read_exact(&mut request).await.is_ok() {
                stream.write_all(&[1; 2048]).await.ok();
                stream.shutdown().await.ok();
                stream.read_to_end(&mut Vec::new()).await.ok();
            }
        });
        while answers.try_join_next().is_some() {}
    }
}

async fn request(hub: &Connection) -> Duration {
    let started = Instant::now();
    let mut stream = hub.open(Priority::Normal).expect("open");
    stream.write_all(&[2; 200]).await.expect("write");
    stream.shutdown().await.expect("shutdown");
    let mut response = Vec::with_capacity(2048);
    stream.read_to_end(&mut response).await.expect("read");
    assert_eq!(response.len(), 2048);
    started.elapsed()
}

fn print_times(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e6;
    println!("  {what:<28} p50 {:>7.1} us  p99 {:>7.1} us", at(50), at(99));
}

async fn requests() {
    let session = session().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(answer(session.agent.clone()));
    let mut times = Vec::new();
    for _ in 0..REQUESTS {
        times.push(request(&session.hub).await);
    }
    print_times("new stream, one by one", times);
    session.close().await;
}

async fn requests_concurrent() {
    let session = session().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(answer(session.agent.clone()));
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..64 {
        let hub = session.hub.clone();
        clients.spawn(async move {
            for _ in 0..REQUESTS / 16 {
                request(&hub).await;
            }
        });
    }
    clients.join_all().await;
    let rate = (REQUESTS / 16 * 64) as f64 / started.elapsed().as_secs_f64();
    println!("  {:<28} {:>6.1} k/s", "new stream, 64 at once", rate / 1e3);
    session.close().await;
}

async fn requests_beside_bulk() {
    let session = session().await;
    let (ours, theirs) = open(&session).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(answer(session.agent.clone()));
    tasks.spawn(async move { send(theirs, u64::MAX).await });
    tasks.spawn(async move {
        receive(ours).await;
    });
    let mut times = Vec::new();
    for _ in 0..2_000 {
        times.push(request(&session.hub).await);
    }
    print_times("new stream beside bulk", times);
    tasks.shutdown().await;
    session.close().await;
}

async fn shares() {
    let session = session().await;
    let mut tasks = JoinSet::new();
    let mut readers = JoinSet::new();
    for _ in 0..8 {
        let (ours, theirs) = open(&session).await;
        tasks.spawn(async move { send(theirs, u64::MAX).await });
        readers.spawn(async move {
            let (mut ours, mut buffer, mut total) = (ours, vec![0; CHUNK], 0);
            let until = Instant::now() + Duration::from_secs(1);
            while Instant::now() < until {
                total += ours.read(&mut buffer).await.expect("read");
            }
            total
        });
    }
    let totals = readers.join_all().await;
    tasks.shutdown().await;
    let (least, most) = (totals.iter().min().unwrap_or(&0), totals.iter().max().unwrap_or(&1));
    println!("  {:<28} {:>6.2} slowest/fastest", "8 bulk streams", *least as f64 / *most as f64);
    session.close().await;
}
