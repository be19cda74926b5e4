//! A server where the hub should be: a broken proxy, a captive portal, or a
//! proxy that opens TLS with an authority of its own. What it cannot do is
//! what the real ones cannot: it has no key of the hub.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::background::Background;

/// Largest request head, in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// How long a request may take to arrive, and how long a caller may go on
/// after the answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Bytes it keeps of what callers say.
const RECORD_MAX: usize = 1024 * 1024;

/// What it does with a request.
#[derive(Clone, Debug)]
pub enum Conduct {
    /// It answers with these bytes, whatever it is asked.
    Answers(String),
    /// It opens TLS with its own authority's certificate and passes the inside
    /// on to the hub.
    PassesOn(SocketAddr),
}

impl Conduct {
    /// An answer with this status line, header lines and body.
    pub fn answer(status: &str, headers: &[&str], body: &str) -> Self {
        let headers = headers.iter().map(|line| format!("{line}\r\n")).collect::<String>();
        Self::Answers(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()))
    }
}

/// The server. Whoever begins with TLS is answered in TLS, anybody else in
/// plain HTTP. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Impostor {
    address: SocketAddr,
    conduct: watch::Sender<Conduct>,
    shared: Arc<Shared>,
    _tasks: Background,
}

#[derive(Debug, Default)]
struct Shared {
    heard: Mutex<Vec<u8>>,
    requests: AtomicUsize,
}

impl Impostor {
    /// Starts it on a loopback port.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(conduct: Conduct) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (conduct, watched) = watch::channel(conduct);
        let shared = Arc::<Shared>::default();
        let tasks_share = Arc::clone(&shared);
        let tasks = Background::start("impostor", move || serve(listener, watched, tasks_share));
        Self { address, conduct, shared, _tasks: tasks }
    }

    /// Changes what it does, and cuts what it carries.
    pub fn set_conduct(&self, conduct: Conduct) {
        self.conduct.send_replace(conduct);
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL in plain HTTP.
    pub fn plain_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its URL in HTTPS.
    pub fn tls_url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// How many requests it has had.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Everything that callers said inside TLS, or in the clear, up to 1 MiB.
    ///
    /// # Panics
    /// When a recorder panicked.
    pub fn heard(&self) -> Vec<u8> {
        self.shared.heard.lock().expect("no recorder panics").clone()
    }
}

impl Shared {
    fn keep(&self, bytes: &[u8]) {
        let mut heard = self.heard.lock().expect("no recorder panics");
        let room = RECORD_MAX - heard.len();
        heard.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

async fn serve(listener: std::net::TcpListener, conduct: watch::Receiver<Conduct>, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("the listener is non-blocking");
    let acceptor = acceptor();
    let mut tasks = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        while tasks.try_join_next().is_some() {}
        let (acceptor, mut conduct, shared) = (acceptor.clone(), conduct.clone(), Arc::clone(&shared));
        tasks.spawn(async move {
            let now = conduct.borrow_and_update().clone();
            tokio::select! {
                () = receive(client, acceptor, now, &shared) => {}
                _ = conduct.changed() => {}
            }
        });
    }
}

async fn receive(client: TcpStream, acceptor: TlsAcceptor, conduct: Conduct, shared: &Shared) {
    let mut first = [0];
    match timeout(DEADLINE, client.peek(&mut first)).await {
        Ok(Ok(1)) if first[0] == 0x16 => {
            if let Ok(Ok(client)) = timeout(DEADLINE, acceptor.accept(client)).await {
                attend(client, conduct, shared).await;
            }
        }
        Ok(Ok(1)) => attend(client, conduct, shared).await,
        Ok(Ok(_) | Err(_)) | Err(_) => {}
    }
}

async fn attend(mut client: impl AsyncRead + AsyncWrite + Unpin, conduct: Conduct, shared: &Shared) {
    match conduct {
        Conduct::Answers(answer) => {
            if read_head(&mut client, shared).await.is_none() {
                return;
            }
            shared.requests.fetch_add(1, Ordering::Relaxed);
            let _it_may_have_gone = client.write_all(answer.as_bytes()).await;
            // A caller that is fooled goes on; all of it is kept.
            let mut chunk = [0; 4096];
            while let Ok(Ok(read @ 1..)) = timeout(DEADLINE, client.read(&mut chunk)).await {
                shared.keep(&chunk[..read]);
            }
        }
        Conduct::PassesOn(hub) => {
            shared.requests.fetch_add(1, Ordering::Relaxed);
            pass_on(client, hub, shared).await;
        }
    }
}

async fn read_head(client: &mut (impl AsyncRead + Unpin), shared: &Shared) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(DEADLINE, client.read_u8()).await.ok()?.ok()?;
        shared.keep(&[byte]);
        head.push(byte);
        if head.len() > HEAD_MAX {
            return None;
        }
    }
    Some(())
}

/// Plain HTTP to the hub: the tunnel and this machine may speak it.
async fn pass_on(client: impl AsyncRead + AsyncWrite + Unpin, hub: SocketAddr, shared: &Shared) {
    let Ok(Ok(mut server)) = timeout(DEADLINE, TcpStream::connect(hub)).await else { return };
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = from_client.read(&mut chunk).await {
            shared.keep(&chunk[..read]);
            if to_server.write_all(&chunk[..read]).await.is_err() {
                return;
            }
        }
        let _it_may_have_gone = to_server.shutdown().await;
    };
    let down = async {
        let _either_may_have_gone = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _it_may_have_gone = to_client.shutdown().await;
    };
    tokio::join!(up, down);
}

/// A certificate of an authority that nobody knows, for this machine.
fn acceptor() -> TlsAcceptor {
    let mut params = CertificateParams::new(vec![]).expect("no names are good names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("the system has randomness");
    let authority = CertifiedIssuer::self_signed(params, key).expect("the parameters are good");
    let key = KeyPair::generate().expect("the system has randomness");
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let own = CertificateParams::new(names).expect("the names are good").signed_by(&key, &authority);
    let chain = vec![own.expect("the parameters are good").der().clone(), authority.der().clone()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_no_client_auth()
        .with_single_cert(chain, key.into());
    TlsAcceptor::from(Arc::new(config.expect("the certificate fits its key")))
}
