//! An HTTP proxy that knows only CONNECT, as companies have them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::background::Background;

/// Largest request head, in bytes.
const HEAD_MAX: usize = 8 * 1024;
/// How long a request or a dial may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Who may use the proxy.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Everybody.
    None,
    /// Those whose `Proxy-Authorization` header has this value.
    Header(String),
}

/// The proxy. Dropping it cuts what it carries.
#[derive(Debug)]
pub struct ConnectProxy {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    _tasks: Background,
}

impl ConnectProxy {
    /// Starts a proxy on a loopback port.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(credentials: Credentials) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        let address = listener.local_addr().expect("a bound socket has an address");
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let record = Arc::clone(&seen);
        let tasks = Background::start("connect-proxy", move || serve(listener, credentials, record));
        Self { address, seen, _tasks: tasks }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The first lines of the requests it has answered so far, with the answer.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no recorder panics").clone()
    }
}

async fn serve(listener: std::net::TcpListener, credentials: Credentials, seen: Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::from_std(listener).expect("the listener is non-blocking");
    let mut tasks = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        while tasks.try_join_next().is_some() {}
        tasks.spawn(answer(client, credentials.clone(), Arc::clone(&seen)));
    }
}

async fn answer(mut client: TcpStream, credentials: Credentials, seen: Arc<Mutex<Vec<String>>>) {
    let Ok(Some(head)) = timeout(DEADLINE, read_head(&mut client)).await else { return };
    let line = head.lines().next().unwrap_or_default().to_owned();
    let connected =
        if admits(&credentials, &head) { dial(&line).await } else { Err("407 Proxy Authentication Required") };
    let status = connected.as_ref().err().copied().unwrap_or("200 Connection established");
    seen.lock().expect("no recorder panics").push(format!("{line} -> {status}"));
    let reply = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    let reply = if connected.is_ok() { format!("HTTP/1.1 {status}\r\n\r\n") } else { reply };
    if client.write_all(reply.as_bytes()).await.is_err() {
        return;
    }
    if let Ok(mut target) = connected {
        let _either_end_may_cut = copy_bidirectional(&mut client, &mut target).await;
    }
}

async fn read_head(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = client.read_u8().await.ok()?;
        head.push(byte);
        if head.len() > HEAD_MAX {
            return None;
        }
    }
    String::from_utf8(head).ok()
}

fn admits(credentials: &Credentials, head: &str) -> bool {
    let Credentials::Header(wanted) = credentials else { return true };
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    { fields }.any(|(name, value)| name.eq_ignore_ascii_case("proxy-authorization") && value.trim() == wanted)
}

async fn dial(request_line: &str) -> Result<TcpStream, &'static str> {
    let mut words = request_line.split(' ');
    let (Some("CONNECT"), Some(authority)) = (words.next(), words.next()) else { return Err("405 Method Not Allowed") };
    match timeout(DEADLINE, TcpStream::connect(authority)).await {
        Ok(Ok(target)) => Ok(target),
        Ok(Err(_)) | Err(_) => Err("502 Bad Gateway"),
    }
}
