//! The whole hub in a test: the real router on a database of its own, with a
//! clock that the test moves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::report::ObjectId;

use crate::app::Foundations;
use crate::app::background;
use crate::app::{App, AppState};
use crate::clock::{Clock, ManualClock, Random};
use crate::config::{RateOptions, RetentionOptions, SessionOptions};
use crate::db::testing::TestDb;
use crate::fleet::installer::Installer;
use crate::http::{LastingTls, Peer, Scheme};
use crate::identity::users::passwords::HashCost;
use crate::lifecycle::Lifecycle;
use crate::ops::backup::Backups;
use crate::ops::keys::Keys;
use crate::outgoing::Outgoing;
use crate::peers::Peers;
use crate::router;
use crate::telemetry::{events, inventory};
use crate::vault::{KeyCost, MasterKey, MasterKeySource, Vault};

pub mod engine;

/// A password that is good enough.
pub const PASSWORD: &str = "lamp-orchard-seven-quilt";

/// The container in which it seems to run.
pub const OWN_CONTAINER: ObjectId = ObjectId([0xee; 32]);

/// A hub without doors: requests go straight to its router.
pub struct TestHub {
    pub app: AppState,
    pub clock: Arc<ManualClock>,
    /// Where it looks for the agents that it hands out.
    pub agents: tempfile::TempDir,
    router: Router,
    /// Where its master key is.
    pub folder: TempDir,
    /// Its database.
    pub db: TestDb,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The code of the error envelope.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// The session cookie that the answer sets, as a browser would send it.
    pub fn cookie(&self) -> String {
        let cookie = self.headers[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

/// Who sends a request, and how.
#[derive(Clone, Debug)]
pub struct Client {
    peer: Peer,
    lasting: Option<LastingTls>,
    headers: Vec<(&'static str, String)>,
}

impl Client {
    /// A browser on another machine that has the console open.
    pub fn browser() -> Self {
        let peer = Peer::Tcp { address: "192.0.2.1:4000".parse().unwrap(), scheme: Scheme::Https };
        Self {
            peer,
            lasting: None,
            headers: vec![("host", "hub.example:8443".into()), ("origin", "https://hub.example:8443".into())],
        }
    }

    /// The command line on the Unix socket.
    pub fn local() -> Self {
        Self { peer: Peer::Local { uid: 0 }, lasting: None, headers: vec![("host", "localhost".into())] }
    }

    /// A program on another machine with an API token.
    pub fn program(token: &str) -> Self {
        Self::browser().without("origin").with("authorization", &format!("Bearer {token}"))
    }

    /// The same where the hub has a certificate that browsers trust.
    pub fn on_lasting_tls(self) -> Self {
        Self { lasting: Some(LastingTls), ..self }
    }

    pub fn at_address(self, address: &str, scheme: Scheme) -> Self {
        Self { peer: Peer::Tcp { address: address.parse().unwrap(), scheme }, ..self }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    /// What it sends in this header.
    pub fn header(&self, name: &str) -> String {
        let sent = self.headers.iter().find(|(known, _)| *known == name);
        sent.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    pub fn without(mut self, name: &'static str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }
}

/// What a hub is built on.
pub struct Ground {
    pub db: TestDb,
    pub local_engine: Option<PathBuf>,
    pub rates: RateOptions,
    pub peers: Peers,
    /// The master key, where there is one already.
    pub master_key: Option<PathBuf>,
}

impl Ground {
    /// This database and nothing else.
    pub fn on(db: TestDb) -> Self {
        Self { db, local_engine: None, rates: RateOptions::OFF, peers: Peers::alone(), master_key: None }
    }
}

impl TestHub {
    /// A hub without users, on SQLite.
    pub async fn empty() -> Self {
        Self::on(TestDb::sqlite().await).await
    }

    /// A hub on this database.
    pub async fn on(db: TestDb) -> Self {
        Self::build(Ground::on(db)).await
    }

    /// A hub with users that may be asked this often only.
    pub async fn rationed(rates: RateOptions) -> Self {
        let hub = Self::build(Ground { rates, ..Ground::on(TestDb::sqlite().await) }).await;
        hub.add_users().await;
        hub
    }

    /// A hub with users, whose own engine is at this socket and online. Gives
    /// its environment too.
    pub async fn with_engine(socket: &Path) -> (Self, EnvironmentId) {
        let local_engine = Some(socket.to_owned());
        let hub = Self::build(Ground { local_engine, ..Ground::on(TestDb::sqlite().await) }).await;
        hub.add_users().await;
        hub.app.lifecycle.tasks.spawn(background::end_sessions(hub.app.clone()));
        hub.app.lifecycle.tasks.spawn(inventory::keep(hub.app.clone()));
        hub.app.lifecycle.tasks.spawn(events::keep(hub.app.clone()));
        hub.app.attached.start_all().await.unwrap();
        let environment = hub.app.fleet.ensure_local().await.unwrap();
        let mut newest = hub.app.fleet.sessions().feed().newest();
        let online = async {
            let runs = || hub.app.engines.session(environment).is_ok_and(|session| session.engine_facts().is_some());
            while !runs() {
                newest.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(10), online).await.expect("the engine is online");
        (hub, environment)
    }

    /// Waits until an environment has no session.
    pub async fn until_offline(&self, environment: EnvironmentId) {
        let mut newest = self.app.sessions.feed().newest();
        let offline = async {
            while self.app.sessions.of(environment).is_ok() {
                newest.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(10), offline).await.expect("the environment is offline");
    }

    /// A hub on this ground.
    pub async fn build(ground: Ground) -> Self {
        let Ground { db, local_engine, rates, peers, master_key } = ground;
        // Why a hub failed stands beside what its test says. It is set once for all tests.
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_test_writer();
        drop(log.try_init());
        let clock = Arc::new(ManualClock::new(time::macros::datetime!(2026-05-04 0:00 UTC).into()));
        let agents = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        if let Some(key) = master_key {
            std::fs::copy(key, &path).unwrap();
        }
        let (key, _) = MasterKey::read_or_generate(&path, &Random::default()).unwrap();
        let app = App::assemble(Foundations {
            db: db.db.clone(),
            vault: Vault::unlock(&db.db, key, KeyCost::Cheap, clock.now()).await.unwrap(),
            peers,
            backups: Backups::new(MasterKeySource::File(path.clone()), KeyCost::Cheap),
            keys: Keys::new(MasterKeySource::File(path), KeyCost::Cheap, None),
            clock: clock.clone(),
            cost: HashCost::Cheap,
            local_engine,
            container: Some(OWN_CONTAINER),
            retention: RetentionOptions::default().check().unwrap(),
            session_terms: SessionOptions::default(),
            rates,
            installer: Installer::new(Some(agents.path().to_owned()), None),
            outgoing: Outgoing::default(),
            lifecycle: Lifecycle::default(),
        })
        .await
        .unwrap();
        Self { router: router::build(app.clone()), app, clock, agents, folder, db }
    }

    /// A hub with the users `admin` and `viewer`, who have the same password.
    pub async fn with_users() -> Self {
        let hub = Self::empty().await;
        hub.add_users().await;
        hub
    }

    /// Another hub on the same database, which meets this one there.
    pub async fn another(&self, peers: Peers, rates: RateOptions) -> Self {
        let master_key = Some(self.folder.path().join("master.key"));
        Self::build(Ground { rates, peers, master_key, ..Ground::on(self.db.again().await) }).await
    }

    pub async fn add_users(&self) {
        for (name, role) in [("admin", "administrator"), ("operator", "operator"), ("viewer", "viewer")] {
            let user = json!({ "name": name, "role": role, "password": PASSWORD });
            let answer = self.post(&Client::local(), "/api/v1/users", user).await;
            assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        }
    }

    /// A browser in which `name` is signed in.
    pub async fn signed_in(&self, name: &str) -> Client {
        let answer = self.sign_in(&Client::browser(), name, PASSWORD).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        Client::browser().with("cookie", &answer.cookie())
    }

    pub async fn sign_in(&self, client: &Client, name: &str, password: &str) -> Answer {
        self.post(client, "/api/v1/session", json!({ "name": name, "password": password })).await
    }

    /// A program with a fresh API token of `name`, and the token's id.
    pub async fn program_of(&self, name: &str) -> (Client, String) {
        let request = json!({ "name": "test", "user": name });
        let answer = self.post(&Client::local(), "/api/v1/api-tokens", request).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let text = |field: &str| answer.body[field].as_str().unwrap().to_owned();
        (Client::program(&text("token")), text("id"))
    }

    pub async fn get(&self, client: &Client, path: &str) -> Answer {
        self.send(client, Request::get(path), Body::empty()).await
    }

    pub async fn patch(&self, client: &Client, path: &str, body: Value) -> Answer {
        let request = Request::patch(path).header("content-type", "application/json");
        self.send(client, request, Body::from(body.to_string())).await
    }

    pub async fn post(&self, client: &Client, path: &str, body: Value) -> Answer {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(client, request, Body::from(body.to_string())).await
    }

    pub async fn delete(&self, client: &Client, path: &str) -> Answer {
        self.send(client, Request::delete(path), Body::empty()).await
    }

    pub async fn send(&self, client: &Client, request: axum::http::request::Builder, body: Body) -> Answer {
        let mut request = request.extension(client.peer);
        if let Some(lasting) = client.lasting {
            request = request.extension(lasting);
        }
        for (name, value) in &client.headers {
            request = request.header(*name, value);
        }
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into());
        Answer { status: parts.status, headers: parts.headers, body }
    }
}
