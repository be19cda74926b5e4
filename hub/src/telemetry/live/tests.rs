//! The live channel as a browser has it: over a real port, on a simulated
//! engine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::metrics::Subject;
use windflow_protocol::message::metrics::deltas::{Extent, Reading};
use windflow_protocol::message::report::ObjectId;

use crate::clock::{Clock, SystemClock};
use crate::config::ListenOptions;
use crate::http::Scheme;
use crate::lifecycle::Ended;
use crate::router;
use crate::server::{CertificateSource, DoorPlan, PortCertificate, Server, TrustedProxies};
use crate::testing::engine::{SimulatedEngine, listed};
use crate::testing::{Client, PASSWORD, TestHub};
use crate::tunnel::News;
use crate::tunnel::feed::KEPT_MAX;

/// How long something may take that takes a moment.
const SOON: Duration = Duration::from_secs(10);

/// A hub whose port is open.
struct World {
    hub: TestHub,
    engine: SimulatedEngine,
    environment: EnvironmentId,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

/// A browser with an open channel.
struct Channel(WebSocketStream<TcpStream>);

impl World {
    async fn start() -> Self {
        let engine = SimulatedEngine::start();
        let (hub, environment) = TestHub::with_engine(&engine.socket()).await;
        let folder = tempfile::tempdir().unwrap();
        let options = ListenOptions { listen: "127.0.0.1:0".parse().unwrap(), tls_cert: None, tls_key: None };
        let source = CertificateSource::new(&options, folder.path()).unwrap();
        let certificate = Arc::new(PortCertificate::load(source, SystemClock.now()).unwrap());
        let (proxies, socket) = (TrustedProxies::default(), folder.path().join("hub.sock"));
        let agents = Arc::new(hub.app.listener.clone());
        let plan = DoorPlan { address: options.listen, certificate, proxies, agents, socket };
        let server = Server::bind(plan, router::build(hub.app.clone()), hub.app.lifecycle.clone()).unwrap();
        let address = server.address().unwrap();
        server.serve();
        Self { hub, engine, environment, address, _folder: folder }
    }

    /// A browser on this machine in which `name` is signed in.
    async fn cookie(&self, name: &str) -> String {
        let here = Client::browser().at_address("127.0.0.1:9", Scheme::Http).without("origin");
        self.hub.sign_in(&here, name, PASSWORD).await.cookie()
    }

    async fn connect(&self, headers: &[(&'static str, &str)]) -> Result<Channel, StatusCode> {
        let mut request = format!("ws://{}/api/v1/live", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Channel(socket)),
            Err(Error::Http(response)) => Err(response.status()),
            Err(error) => panic!("{error}"),
        }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A channel of a viewer who has wished for this.
    async fn watching(&self, wish: Value) -> Channel {
        self.watching_as("viewer", wish).await
    }

    async fn watching_as(&self, name: &str, wish: Value) -> Channel {
        let cookie = self.cookie(name).await;
        let mut channel = self.connect(&[("cookie", &cookie), ("origin", &self.origin())]).await.unwrap();
        channel.wish(wish).await;
        channel
    }

    fn post(&self, news: News) {
        self.hub.app.fleet.sessions().feed().post(news);
    }
}

impl Channel {
    async fn wish(&mut self, wish: Value) {
        self.0.send(Message::text(wish.to_string())).await.unwrap();
    }

    /// The next message, or the reason for which the channel was closed.
    async fn next(&mut self) -> Result<Value, String> {
        let read = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(frame))) => {
                        return Err(frame.map(|f| f.reason.to_string()).unwrap_or_default());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err("gone".to_owned()),
                }
            }
        };
        tokio::time::timeout(SOON, read).await.expect("a message in time")
    }

    async fn kind(&mut self) -> String {
        self.next().await.unwrap()["kind"].as_str().unwrap().to_owned()
    }

    /// Waits for the message about this environment; its agent may have news of
    /// its own before.
    async fn until_told_of(&mut self, environment: EnvironmentId) {
        while self.until("environment").await["environment_id"] != json!(environment) {}
    }

    /// Why the channel was closed, whatever was told before.
    async fn ended(&mut self) -> String {
        loop {
            if let Err(reason) = self.next().await {
                return reason;
            }
        }
    }

    /// The first message of this kind.
    async fn until(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await.unwrap();
            if message["kind"] == kind {
                return message;
            }
        }
    }
}

#[tokio::test]
async fn only_those_signed_in_open_a_channel_and_only_from_the_hubs_own_page() {
    let world = World::start().await;
    let (cookie, origin) = (world.cookie("viewer").await, world.origin());
    let refused = async |headers: &[(&'static str, &str)]| world.connect(headers).await.err();
    assert_eq!(refused(&[]).await, Some(StatusCode::UNAUTHORIZED));
    assert_eq!(refused(&[("cookie", &cookie)]).await, Some(StatusCode::FORBIDDEN));
    assert_eq!(refused(&[("cookie", &cookie), ("origin", "https://evil.example")]).await, Some(StatusCode::FORBIDDEN));
    assert_eq!(refused(&[("cookie", &cookie), ("origin", &origin)]).await, None);
    let token = world.hub.program_of("viewer").await.0.header("authorization");
    assert_eq!(refused(&[("authorization", &token)]).await, None, "a program needs no origin");
}

#[tokio::test]
async fn a_request_that_is_no_websocket_is_told_so() {
    let hub = TestHub::with_users().await;
    let viewer = hub.signed_in("viewer").await;
    let answer = hub.get(&viewer, "/api/v1/live").await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "not_a_websocket"));
}

#[tokio::test]
async fn a_channel_begins_with_a_reset_and_tells_what_changes_in_the_fleet() {
    let world = World::start().await;
    let mut channel = world.watching(json!({ "watch": ["environments"] })).await;
    let reset = channel.next().await.unwrap();
    assert_eq!(reset["kind"], "reset");
    world.hub.app.attached.stop(world.environment);
    let change = channel.next().await.unwrap();
    assert_eq!((&change["kind"], &change["environment_id"]), (&json!("environment"), &json!(world.environment)));
    assert!(change["id"].as_u64() > reset["id"].as_u64());
}

#[tokio::test]
async fn a_channel_goes_on_where_another_ended() {
    let world = World::start().await;
    let mut first = world.watching(json!({ "watch": ["environments"] })).await;
    let seen = first.next().await.unwrap()["id"].as_u64().unwrap();
    drop(first);
    let missed = EnvironmentId::generate();
    world.post(News::Environment(missed));
    let mut second = world.watching(json!({ "watch": ["environments"], "after": seen })).await;
    second.until_told_of(missed).await;

    let mut stranger = world.watching(json!({ "watch": ["environments"], "after": 7 })).await;
    assert_eq!(stranger.kind().await, "reset", "a number of another run");
}

#[tokio::test]
async fn who_missed_too_much_begins_again_and_then_goes_on() {
    let world = World::start().await;
    let mut channel = world.watching(json!({ "watch": ["environments"] })).await;
    channel.until("reset").await;
    for _ in 0..=KEPT_MAX {
        world.post(News::Environment(EnvironmentId::generate()));
    }
    channel.until("reset").await;
    let next = EnvironmentId::generate();
    world.post(News::Environment(next));
    channel.until_told_of(next).await;
}

#[tokio::test]
async fn who_looks_at_an_environment_or_at_all_containers_is_told_of_them_and_nobody_else() {
    let world = World::start().await;
    let mut inside = world.watching(json!({ "environment": world.environment })).await;
    let mut all = world.watching(json!({ "watch": ["containers"] })).await;
    let mut elsewhere = world.watching(json!({ "watch": ["environments"] })).await;
    for channel in [&mut inside, &mut all, &mut elsewhere] {
        channel.until("reset").await;
    }
    let web = listed("web", "running");
    world.engine.has(std::slice::from_ref(&web));
    world.engine.tell("start", &web.id);
    for channel in [&mut inside, &mut all] {
        let told = channel.until("container").await;
        assert_eq!((&told["container_id"], &told["environment_id"]), (&json!(web.id), &json!(world.environment)));
    }
    world.post(News::Containers(world.environment));
    world.post(News::Groups);
    world.post(News::Environment(world.environment));
    inside.until("containers").await;
    elsewhere.until("groups").await;
    while elsewhere.kind().await != "environment" {}
}

#[tokio::test]
async fn who_looks_at_images_volumes_and_networks_is_told_of_them_and_nobody_else() {
    let world = World::start().await;
    let mut all = world.watching(json!({ "watch": ["resources"] })).await;
    let mut elsewhere = world.watching(json!({ "watch": ["environments", "containers"] })).await;
    for channel in [&mut all, &mut elsewhere] {
        channel.until("reset").await;
    }
    let network = json!([{ "Id": "ee".repeat(32), "Name": "back", "Driver": "bridge", "Scope": "local" }]);
    world.engine.answers("GET /networks", StatusCode::OK, network);
    world.engine.tell_of("network", "create", &"ee".repeat(32));
    assert_eq!(all.until("resources").await["environment_id"], json!(world.environment));
    world.post(News::Environment(world.environment));
    loop {
        match elsewhere.kind().await.as_str() {
            "environment" => break,
            kind => assert_ne!(kind, "resources"),
        }
    }
}

#[tokio::test]
async fn who_looks_at_what_happens_is_told_of_it() {
    let world = World::start().await;
    let mut inside = world.watching(json!({ "environment": world.environment })).await;
    let mut all = world.watching(json!({ "watch": ["events"] })).await;
    for channel in [&mut inside, &mut all] {
        channel.until("reset").await;
    }
    world.engine.tell("start", &listed("web", "").id);
    for channel in [&mut inside, &mut all] {
        assert_eq!(channel.until("events").await["environment_id"], json!(world.environment));
    }
}

#[tokio::test]
async fn what_users_do_is_told_once_and_to_administrators_alone() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    let mut viewer = world.watching(json!({ "watch": ["events"], "environment": world.environment })).await;
    let mut inside = world.watching_as("admin", json!({ "environment": world.environment })).await;
    // The last to sign in, which is recorded too.
    let mut everywhere = world.watching_as("admin", json!({ "watch": ["events"] })).await;
    for channel in [&mut viewer, &mut inside, &mut everywhere] {
        channel.until("reset").await;
    }
    let start = format!("/api/v1/environments/{}/containers/web/start", world.environment);
    world.hub.post(&admin, &start, Value::Null).await;
    for channel in [&mut everywhere, &mut inside] {
        assert_eq!(channel.until("events").await["environment_id"], json!(world.environment));
    }
    world.hub.post(&admin, "/api/v1/groups", json!({ "name": "shops" })).await;
    assert_eq!(everywhere.until("events").await["environment_id"], Value::Null);

    let other = EnvironmentId::generate();
    world.post(News::Events(other));
    world.post(News::Environment(world.environment));
    assert_eq!(viewer.until("events").await["environment_id"], json!(other));
    loop {
        match inside.kind().await.as_str() {
            "environment" => break,
            kind => assert_ne!(kind, "events", "what is in no environment, or told before"),
        }
    }
}

#[tokio::test]
async fn a_page_that_turns_to_another_environment_asks_again() {
    let world = World::start().await;
    let mut channel = world.watching(json!({ "watch": ["environments"] })).await;
    channel.until("reset").await;
    channel.wish(json!({ "watch": ["environments"], "environment": world.environment })).await;
    channel.until("reset").await;
}

fn reading(subject: Subject, cpu: u64) -> Reading {
    Reading { subject, values: vec![Some(cpu)] }
}

#[tokio::test]
async fn who_shows_what_is_used_is_told_it_and_the_agent_is_asked_for_no_more_than_is_shown() {
    let world = World::start().await;
    let place = world.hub.app.measurements.place(world.environment);
    let mut wanted = place.watched.follow();
    let mut asked = async || tokio::time::timeout(SOON, wanted.changed()).await.expect("another wish in time");
    let of_host = json!({ "watch": ["containers"], "metrics": { "environment": world.environment } });
    let mut channel = world.watching(of_host.clone()).await;
    assert_eq!(asked().await, [Subject::Host]);
    place.watched.tell(7, Extent::Glance, &[reading(Subject::Host, 1500), reading(Subject::Disk("/".to_owned()), 2)]);
    let mut told = channel.until("metrics").await;
    assert!(told["id"].take().is_u64());
    let cpu = json!({ "name": "cpu_percent", "value": 1.5 });
    let values = json!([cpu, { "name": "disk_bytes", "disk": "/", "value": 2048.0 }]);
    let expected = json!({ "id": null, "kind": "metrics", "environment_id": world.environment, "container_id": null,
        "at": 7, "stored": false, "values": values });
    assert_eq!(told, expected);

    let web = listed("web", "running");
    world.engine.has(std::slice::from_ref(&web));
    world.engine.tell("start", &web.id);
    channel.until("container").await;
    let of_web = json!({ "environment": world.environment, "container": "web" });
    channel.wish(json!({ "watch": ["containers"], "metrics": of_web })).await;
    let id = Subject::Container(ObjectId::parse(&web.id).unwrap());
    assert_eq!(asked().await, std::slice::from_ref(&id));
    for at in [9, 11, 13] {
        place.watched.tell(at, Extent::Everything, &[reading(id.clone(), 1)]);
    }
    let told = channel.until("metrics").await;
    assert_eq!((&told["container_id"], &told["at"], &told["stored"]), (&json!(web.id), &json!(13), &json!(true)));

    channel.wish(json!({ "watch": ["containers"] })).await;
    assert_eq!(asked().await, []);
    channel.wish(of_host).await;
    assert_eq!(asked().await, [Subject::Host]);
    drop(channel);
    assert_eq!(asked().await, [], "the browser is gone");
}

#[tokio::test]
async fn what_cannot_be_measured_is_refused_and_the_channel_goes_on() {
    let world = World::start().await;
    let mut channel = world.watching(json!({ "watch": ["environments"] })).await;
    let (here, elsewhere) = (json!(world.environment), json!(EnvironmentId::generate()));
    for (metrics, what) in [
        (json!({ "environment": elsewhere }), "environment"),
        (json!({ "environment": elsewhere, "container": "web" }), "environment"),
        (json!({ "environment": here, "container": "nobody" }), "container"),
        (json!({ "environment": here, "container": "ab".repeat(32) }), "container"),
        (json!({ "environment": here, "container": "../web" }), "container"),
    ] {
        channel.wish(json!({ "watch": ["environments"], "metrics": metrics })).await;
        let refused = channel.until("refused").await;
        let message = format!("There is no such {what}.");
        let expected = (&json!("metrics"), &json!("not_found"), &json!(message));
        assert_eq!((&refused["wish"], &refused["code"], &refused["message"]), expected);
    }
    world.post(News::Environment(world.environment));
    channel.until_told_of(world.environment).await;
}

#[tokio::test]
async fn the_end_of_a_credential_ends_its_channels_at_once() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    let mut signed_out = world.watching(json!({ "watch": ["environments"] })).await;
    assert_eq!(signed_out.kind().await, "reset");
    let sessions = world.hub.get(&Client::local(), "/api/v1/sessions").await.body;
    let of_viewer = sessions["items"].as_array().unwrap().iter().find(|s| s["user_name"] == "viewer").unwrap();
    world.hub.delete(&admin, &format!("/api/v1/sessions/{}", of_viewer["id"].as_str().unwrap())).await;
    assert_eq!(signed_out.ended().await, "signed out");

    let mut disabled = world.watching(json!({ "watch": ["environments"] })).await;
    let (program, id) = world.hub.program_of("viewer").await;
    let mut revoked = world.connect(&[("authorization", &program.header("authorization"))]).await.unwrap();
    revoked.wish(json!({ "watch": ["environments"] })).await;
    assert_eq!((disabled.kind().await, revoked.kind().await), ("reset".to_owned(), "reset".to_owned()));
    world.hub.post(&admin, &format!("/api/v1/api-tokens/{id}/revoke"), json!({})).await;
    assert_eq!(revoked.ended().await, "signed out");
    let users = world.hub.get(&admin, "/api/v1/users?name=viewer").await.body;
    let viewer = users["items"][0]["id"].as_str().unwrap();
    world.hub.post(&admin, &format!("/api/v1/users/{viewer}/disable"), json!({})).await;
    assert_eq!(disabled.ended().await, "signed out");
}

#[tokio::test]
async fn a_browser_that_sends_what_it_may_not_is_closed() {
    let world = World::start().await;
    for wish in [json!("x"), json!({ "watch": ["secrets"] }), json!({ "token": 1 }), json!({ "metrics": ["x"] })] {
        let mut channel = world.watching(wish).await;
        assert_eq!(channel.next().await, Err("this is not what a browser may wish".to_owned()));
    }
    let mut endless =
        world.watching(json!({ "watch": [], "environment": "x".repeat(super::viewer::MESSAGE_MAX) })).await;
    assert!(endless.next().await.is_err());
    let mut hasty = world.watching(json!({ "watch": [] })).await;
    let mut end = Ok(Value::Null);
    while end.is_ok() {
        hasty.wish(json!({ "watch": [], "after": 7 })).await;
        end = hasty.next().await;
    }
    assert_eq!(end, Err("too many wishes".to_owned()));
}

#[tokio::test]
async fn a_hub_that_stops_ends_its_channels_and_leaves_nothing_behind() {
    let world = World::start().await;
    let mut channel = world.watching(json!({ "environment": world.environment })).await;
    channel.until("reset").await;
    let lifecycle = world.hub.app.lifecycle.clone();
    let (ended, last) = tokio::join!(lifecycle.drain(std::future::pending()), channel.ended());
    assert_eq!((ended, last.as_str()), (Ended::Drained, "the hub stops"));
}
