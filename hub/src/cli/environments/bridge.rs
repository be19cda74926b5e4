//! A Docker engine's socket on this machine whose engine is elsewhere: every
//! HTTP request that comes in, its body, its trailers and its upgrade are
//! carried to the hub's gateway of one environment and back. Nothing is
//! buffered, so a slow end slows the other.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::client::{Dialer, HubWay};
use crate::http::hop::Hop;
use crate::server::socket;

/// Most connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// Pause after a failed accept, which usually means that the process has no
/// file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long cut connections may take to go.
const CUT_DEADLINE: Duration = Duration::from_secs(1);

/// What the hub answered, or what is said in its place.
type Answer = Response<Either<Incoming, Full<Bytes>>>;

/// Carries requests to one environment's gateway.
#[derive(Debug)]
pub struct Bridge {
    way: HubWay,
    gateway: String,
    client: Client<Dialer, Incoming>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Why a request was not carried.
#[derive(Debug)]
enum Refusal {
    /// It asks for no path on an engine.
    NoEnginePath(String),
    /// The hub did not answer.
    Unreachable(anyhow::Error),
}

impl Bridge {
    /// A bridge to the gateway at the path `gateway` of the hub.
    pub fn new(way: &HubWay, gateway: String) -> Self {
        let client = way.client();
        Self { way: way.clone(), gateway, client, tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Serves this user's programs on `listener` until `end` is ready. What
    /// still runs then is cut.
    pub async fn serve(self, listener: UnixListener, end: impl Future<Output = ()>) {
        let bridge = Arc::new(self);
        tokio::select! {
            never = bridge.clone().accept(listener) => match never {},
            () = end => {}
        }
        bridge.stop.cancel();
        bridge.tasks.close();
        if tokio::time::timeout(CUT_DEADLINE, bridge.tasks.wait()).await.is_err() {
            tracing::debug!(tasks = bridge.tasks.len(), "connections were left behind");
        }
    }

    async fn accept(self: Arc<Self>, listener: UnixListener) -> Infallible {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let permit = room.clone().acquire_owned().await.expect("nobody closes it");
            match listener.accept().await {
                Ok((stream, _)) => {
                    let bridge = self.clone();
                    self.spawn(async move {
                        bridge.serve_one(stream).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    eprintln!("windflow-hub: a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(work).await;
        });
    }

    /// Without a deadline for the next request: programs keep connections to
    /// an engine's socket for as long as they live.
    async fn serve_one(self: Arc<Self>, stream: UnixStream) {
        if socket::trusted_peer(&stream).is_none() {
            return;
        }
        let service = service_fn(move |request| {
            let bridge = self.clone();
            async move { Ok::<_, Infallible>(bridge.answer(request).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        match self.pass(request).await {
            Ok(answer) => answer.map(Either::Left),
            Err(refusal) => refusal.into_answer(),
        }
    }

    /// Waits as long as the hub does: Docker answers some requests only when
    /// they are done, and the hub knows whether the engine still lives.
    async fn pass(&self, mut request: Request<Incoming>) -> Result<Response<Incoming>, Refusal> {
        let address = self.address(request.uri())?;
        let hop = Hop::begin(&mut request);
        *request.uri_mut() = address;
        request.headers_mut().remove(header::HOST);
        self.way.authorize(request.headers_mut());
        let answer = self.client.request(request).await;
        let mut answer = answer.map_err(|error| Refusal::Unreachable(self.way.explain(&error)))?;
        if let Some(upgrades) = hop.finish(&mut answer) {
            self.spawn(upgrades.join());
        }
        Ok(answer)
    }

    fn address(&self, asked: &Uri) -> Result<Uri, Refusal> {
        let target = asked.path_and_query().map_or("", |target| target.as_str());
        if !target.starts_with('/') || climbs(asked.path()) {
            return Err(Refusal::NoEnginePath(asked.to_string()));
        }
        let address = self.way.address(&format!("{}{target}", self.gateway));
        address.map_err(|_| Refusal::NoEnginePath(asked.to_string()))
    }
}

/// Whether a proxy before the hub could read this path as one beside the
/// gateway, where the socket's user has no business.
fn climbs(path: &str) -> bool {
    let decoded = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
    decoded.split(['/', '\\']).any(|segment| segment == "." || segment == "..")
}

impl Refusal {
    /// As an engine would say it.
    fn into_answer(self) -> Answer {
        let (status, message) = match self {
            Self::NoEnginePath(asked) => (StatusCode::BAD_REQUEST, format!("{asked} is no path on a Docker engine.")),
            Self::Unreachable(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")),
        };
        let body = json!({ "message": message }).to_string();
        let mut answer = Response::new(Either::Right(Full::new(Bytes::from(body))));
        *answer.status_mut() = status;
        answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        answer
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinSet;

    use super::*;
    use crate::config::{DataDir, RemoteOptions};

    const GATEWAY: &str = "/api/v1/environments/7/engine";

    /// A bridge whose hub the test plays.
    struct Scene {
        folder: TempDir,
        hub: UnixListener,
        end: CancellationToken,
        bridge: JoinSet<()>,
    }

    impl Scene {
        fn set() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let data_dir = DataDir::new(folder.path().to_owned());
            let hub = UnixListener::bind(data_dir.socket()).unwrap();
            let way = HubWay::new(&data_dir, &RemoteOptions { hub: None, ca_file: None }).unwrap();
            let listener = socket::listen(&folder.path().join("engine.sock")).unwrap();
            let end = CancellationToken::new();
            let mut bridge = JoinSet::new();
            bridge.spawn(Bridge::new(&way, GATEWAY.to_owned()).serve(listener, end.clone().cancelled_owned()));
            Self { folder, hub, end, bridge }
        }

        async fn ask(&self, request: &str) -> UnixStream {
            let mut program = UnixStream::connect(self.folder.path().join("engine.sock")).await.unwrap();
            program.write_all(request.as_bytes()).await.unwrap();
            program
        }

        async fn at_the_hub(&self) -> (UnixStream, String) {
            let (mut stream, _) = self.hub.accept().await.unwrap();
            let head = read_head(&mut stream).await;
            (stream, head)
        }
    }

    async fn read_head(stream: &mut UnixStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    async fn read_to_end(stream: &mut UnixStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_request_goes_to_the_gateway_as_the_program_wrote_it() {
        let scene = Scene::set();
        let request =
            "GET /v1.41/images/a%2Fb/json?x=%2e HTTP/1.1\r\nHost: d\r\nX-Registry-Auth: r\r\nCookie: c\r\n\r\n";
        let mut program = scene.ask(request).await;
        let (mut hub, head) = scene.at_the_hub().await;
        let expected = "x-registry-auth: r\r\nhost: localhost\r\n\r\n";
        assert_eq!(head, format!("GET {GATEWAY}/v1.41/images/a%2Fb/json?x=%2e HTTP/1.1\r\n{expected}"));
        hub.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        assert!(read_head(&mut program).await.starts_with("HTTP/1.1 404 "));
        assert_eq!([program.read_u8().await.unwrap(), program.read_u8().await.unwrap()], *b"{}");
    }

    #[tokio::test]
    async fn an_upgrade_is_carried_and_the_end_of_one_direction_leaves_the_other_open() {
        let scene = Scene::set();
        let mut program =
            scene.ask("POST /grpc HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").await;
        let (mut hub, head) = scene.at_the_hub().await;
        assert!(head.contains("connection: Upgrade\r\n") && head.contains("upgrade: h2c\r\n"), "{head}");
        hub.write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").await.unwrap();
        assert!(read_head(&mut program).await.starts_with("HTTP/1.1 101 "));
        program.write_all(b"all of the input").await.unwrap();
        program.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut hub).await, "all of the input");
        hub.write_all(b"an answer to it").await.unwrap();
        drop(hub);
        assert_eq!(read_to_end(&mut program).await, "an answer to it");
    }

    #[tokio::test]
    async fn a_path_beside_the_gateway_never_reaches_the_hub() {
        let scene = Scene::set();
        for path in ["/../../users", "/v1.41/%2E%2e/x", "/a/..%2fb", "/.", "*"] {
            let mut program =
                scene.ask(&format!("OPTIONS {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")).await;
            let answer = read_to_end(&mut program).await;
            assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("{\"message\":"), "{path}: {answer}");
        }
    }

    #[tokio::test]
    async fn an_absent_hub_is_reported_as_an_engine_reports() {
        let mut scene = Scene::set();
        let elsewhere = scene.folder.path().join("elsewhere.sock");
        scene.hub = UnixListener::bind(elsewhere).unwrap();
        let mut program = scene.ask("GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").await;
        let answer = read_to_end(&mut program).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert!(
            answer.contains("{\"message\":\"the hub on this machine cannot be reached: no hub answers"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn the_end_of_the_command_cuts_what_still_runs() {
        let mut scene = Scene::set();
        let mut program = scene.ask("GET /events HTTP/1.1\r\nHost: d\r\n\r\n").await;
        let (mut hub, _) = scene.at_the_hub().await;
        scene.end.cancel();
        scene.bridge.join_next().await.unwrap().unwrap();
        assert_eq!(read_to_end(&mut program).await, "");
        assert_eq!(read_to_end(&mut hub).await, "");
    }
}
