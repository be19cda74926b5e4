//! The multiplexer over loopback TCP, over TLS on it, and over TLS in a
//! WebSocket, each against what carries it alone. Run by hand:
//! `cargo bench -p windflow-protocol`. Figures are for comparison within one
//! run only.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::tungstenite::http::HeaderMap;
use windflow_protocol::limits::FLUSH_MAX;
use windflow_protocol::transport::{Connection, Priority, Side, Stream, TransportKind, websocket};

const BULK: u64 = 1 << 30;
const CHUNK: usize = 64 * 1024;
const REQUESTS: usize = 20_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    // `block_on` runs outside the workers, where each wake-up crosses threads.
    runtime.block_on(async { JoinSet::from_iter([run()]).join_all().await });
}

async fn run() {
    for layers in [Layers::Tcp, Layers::Tls, Layers::WebSocket] {
        println!("{layers:?}");
        for _ in 0..3 {
            bulk_alone(layers).await;
            bulk_down(layers).await;
            bulk_up(layers).await;
            requests(layers).await;
            requests_concurrent(layers).await;
            requests_beside_bulk(layers).await;
            shares(layers).await;
        }
    }
}

/// What carries the multiplexer, from the outside in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layers {
    Tcp,
    Tls,
    WebSocket,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// The agent's end and the hub's.
async fn carrier(layers: Layers) -> (Box<dyn Io>, Box<dyn Io>) {
    let (dialled, accepted) = tcp_pair().await;
    match layers {
        Layers::Tcp => (Box::new(dialled), Box::new(accepted)),
        Layers::Tls => tls_pair(dialled, accepted).await,
        Layers::WebSocket => {
            let (dialled, accepted) = web_socket_pair(dialled, accepted).await;
            tls_pair(dialled, accepted).await
        }
    }
}

async fn web_socket_pair(dialled: TcpStream, accepted: TcpStream) -> (impl Io + 'static, impl Io + 'static) {
    let uri = format!("ws://localhost{}", websocket::PATH).parse().expect("uri");
    let (dialled, accepted) = tokio::join!(websocket::connect(dialled, &uri, HeaderMap::new()), upgrade(accepted));
    (dialled.expect("connect"), accepted)
}

async fn upgrade(mut io: TcpStream) -> websocket::WebSocketIo<TcpStream> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(io.read_u8().await.expect("request"));
    }
    let request = String::from_utf8(request).expect("text");
    let lines = request.lines().filter_map(|line| line.split_once(": "));
    let pairs = lines.map(|(name, value)| (name.parse().expect("name"), value.parse().expect("value")));
    let request: HeaderMap = pairs.collect();
    let mut response = String::from("HTTP/1.1 101 Switching Protocols\r\n");
    for (name, value) in &websocket::accept_headers(&request).expect("upgrade") {
        response += &format!("{name}: {}\r\n", value.to_str().expect("text"));
    }
    io.write_all((response + "\r\n").as_bytes()).await.expect("response");
    websocket::accept(io)
}

async fn tls_pair(dialled: impl Io + 'static, accepted: impl Io + 'static) -> (Box<dyn Io>, Box<dyn Io>) {
    let (client, server) = tls_configs();
    let name = ServerName::try_from("localhost").expect("name");
    let (dialled, accepted) = tokio::join!(
        TlsConnector::from(client).connect_with(name, dialled, |tls| tls.set_buffer_limit(Some(FLUSH_MAX))),
        TlsAcceptor::from(server).accept_with(accepted, |tls| tls.set_buffer_limit(Some(FLUSH_MAX))),
    );
    (Box::new(dialled.expect("connect")), Box::new(accepted.expect("accept")))
}

fn tls_configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    static CONFIGS: OnceLock<(Arc<ClientConfig>, Arc<ServerConfig>)> = OnceLock::new();
    CONFIGS.get_or_init(make_tls_configs).clone()
}

fn make_tls_configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("key");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("identity");
    server.send_tls13_tickets = 0;
    (Arc::new(client), Arc::new(server))
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

async fn session(layers: Layers) -> Session {
    let (dialled, accepted) = carrier(layers).await;
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

async fn bulk_alone(layers: Layers) {
    // A WebSocket is measured against the TLS connection it replaces.
    let (left, right) = carrier(if layers == Layers::Tcp { Layers::Tcp } else { Layers::Tls }).await;
    let (started, cpu) = (Instant::now(), cpu_time());
    let mut tasks = JoinSet::new();
    tasks.spawn(send(left, BULK));
    receive(right).await;
    print_rate("carrier alone", BULK, started, cpu);
    tasks.join_all().await;
}

async fn bulk_down(layers: Layers) {
    let session = session(layers).await;
    let (ours, theirs) = open(&session).await;
    let (started, cpu) = (Instant::now(), cpu_time());
    let mut tasks = JoinSet::new();
    tasks.spawn(send(theirs, BULK));
    receive(ours).await;
    print_rate("agent to hub", BULK, started, cpu);
    session.close().await;
}

async fn bulk_up(layers: Layers) {
    let session = session(layers).await;
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

async fn requests(layers: Layers) {
    let session = session(layers).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(answer(session.agent.clone()));
    let mut times = Vec::new();
    for _ in 0..REQUESTS {
        times.push(request(&session.hub).await);
    }
    print_times("new stream, one by one", times);
    session.close().await;
}

async fn requests_concurrent(layers: Layers) {
    let session = session(layers).await;
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

async fn requests_beside_bulk(layers: Layers) {
    let session = session(layers).await;
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

async fn shares(layers: Layers) {
    let session = session(layers).await;
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
