//! A simulated fleet: many agents in the test's own process, with the product's
//! enrollment, identity, TLS, sessions and engine work. Their one engine is
//! simulated, too.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use windflow_agent::engine::{Engine, EngineAddress};
use windflow_agent::enroll::{EnrollOptions, Existing, enroll};
use windflow_agent::host;
use windflow_agent::identity::{EdgeCredentials, Identity, StateDir};
use windflow_agent::link::{HubUrl, Link, ProxyRules, TransportChoice};
use windflow_agent::policy::{Keeper, Rails};
use windflow_agent::run::{RunOptions, run};
use windflow_agent::serve::{Contact, HostPolicy, ServeOptions, SessionEnd, serve};
use windflow_protocol::capability::Capabilities;
use windflow_protocol::identity::Purpose;
use windflow_protocol::message::hello::RejectReason;
use windflow_protocol::tls::client_config;
use windflow_protocol::token::EnrollmentToken;

use super::engine::SimulatedEngine;
use super::front::Front;
use crate::product::Hub;
use crate::wait;

/// Enrollments under way at once.
const ENROLLING_MAX: usize = 16;
/// How long an enrollment may take.
const ENROLL_DEADLINE: Duration = Duration::from_secs(120);
/// Threads that the fleet's agents share.
const THREADS: usize = 2;
/// What an agent without manners waits before it dials again: the same for all
/// of them, and no more after a hundred failures than after one.
const RUDE_PAUSE: Duration = Duration::from_millis(100);

/// How the agents of a fleet dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// With the product's own loop: they wait longer and longer, each a random
    /// time.
    Product,
    /// Again and again in step, whatever the hub says.
    Rude,
}

/// A simulated fleet. Dropping it ends its agents at once.
#[derive(Debug)]
pub struct SimulatedFleet {
    /// The way to the hub.
    pub front: Front,
    /// The engine of all its agents.
    pub engine: SimulatedEngine,
    prefix: String,
    refusals: Arc<Vec<Mutex<Option<RejectReason>>>>,
    agents: Vec<JoinSet<()>>,
    stop: CancellationToken,
    runtime: Option<Runtime>,
    folder: TempDir,
}

impl SimulatedFleet {
    /// Enrolls `size` agents, named `PREFIX-0` and so on; they do not run yet.
    ///
    /// # Panics
    /// When the hub refuses one.
    pub fn enroll(hub: &Hub, prefix: &str, size: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
        let runtime = runtime.expect("the system has room for one more runtime");
        let folder = tempfile::Builder::new().prefix("windflow-fleet-").tempdir().expect("a temporary folder");
        let front = Front::start(hub.address());
        let token = hub.enrollment_token(&["--uses", &size.to_string(), "--ttl", "1h"]);
        let fleet = Self {
            engine: SimulatedEngine::start(),
            prefix: prefix.to_owned(),
            refusals: Arc::new((0..size).map(|_| Mutex::default()).collect()),
            agents: Vec::new(),
            stop: CancellationToken::new(),
            runtime: Some(runtime),
            folder,
            front,
        };
        fleet.runtime().block_on(fleet.enroll_all(&token));
        fleet
    }

    /// Runs every agent.
    ///
    /// # Panics
    /// When they run already.
    pub fn start(&mut self, manners: Manners) {
        assert!(self.agents.is_empty(), "the fleet is running already");
        let context = self.runtime().handle().clone();
        let _spawn_here = context.enter();
        self.stop = CancellationToken::new();
        self.agents = (0..self.len()).map(|number| self.run_agent(number, manners)).collect();
    }

    /// Ends every agent in good order and waits for that.
    pub fn stop(&mut self) {
        self.stop.cancel();
        let agents = std::mem::take(&mut self.agents);
        self.runtime().block_on(async {
            for mut agent in agents {
                while agent.join_next().await.is_some() {}
            }
        });
    }

    /// How many agents it has.
    pub fn len(&self) -> usize {
        self.refusals.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.refusals.is_empty()
    }

    /// The name of one of them.
    pub fn name_of(&self, agent: usize) -> String {
        format!("{}-{agent}", self.prefix)
    }

    /// How many the hub shows as online.
    pub fn online(&self, hub: &Hub) -> usize {
        let path = format!("/api/v1/environments?search={}-&state=online&limit=1", self.prefix);
        let list: serde_json::Value = serde_json::from_str(&hub.request("GET", &path, "").body).unwrap_or_default();
        list["total"].as_u64().and_then(|total| total.try_into().ok()).unwrap_or_default()
    }

    /// Waits until the hub shows `count` of them as online.
    ///
    /// # Panics
    /// When it does not `within` the given time.
    pub fn wait_for_online(&self, hub: &Hub, count: usize, within: Duration) -> Duration {
        let started = Instant::now();
        wait::until(&format!("{count} of {} simulated agents", self.len()), within, || {
            let online = self.online(hub);
            // Whoever reads of a failure wants to know how far it got.
            (online == count).then_some(started.elapsed()).or_else(|| {
                assert!(started.elapsed() < within, "{online} of {count} simulated agents are online after {within:?}");
                None
            })
        })
    }

    /// With what the hub has turned an agent without manners away most
    /// recently.
    pub fn refusal_of(&self, agent: usize) -> Option<RejectReason> {
        *self.refusals[agent].lock().expect("no task panics")
    }

    async fn enroll_all(&self, token: &str) {
        let slots = Arc::new(Semaphore::new(ENROLLING_MAX));
        let mut tasks = JoinSet::new();
        for number in 0..self.len() {
            let options = EnrollOptions {
                hubs: vec![self.url(number)],
                token: EnrollmentToken::parse(token).expect("the hub's token is good"),
                name: self.name_of(number),
                labels: Vec::new(),
                transport: TransportChoice::WebSocket,
                proxy: None,
                proxies: ProxyRules::default(),
                existing: Existing::Keep,
                wait: ENROLL_DEADLINE,
            };
            let (state, slots) = (self.state_dir(number), Arc::clone(&slots));
            tasks.spawn(async move {
                let _slot = slots.acquire_owned().await.expect("the semaphore is never closed");
                drop(enroll(&state, &options).await.expect("the hub enrolls whoever has the token"));
            });
        }
        tasks.join_all().await;
    }

    fn run_agent(&self, number: usize, manners: Manners) -> JoinSet<()> {
        let state_dir = self.state_dir(number);
        let identity = state_dir.load().expect("the state is whole").expect("the agent was enrolled");
        let engine = EngineAddress::Unix(self.engine.socket());
        let mut agent = JoinSet::new();
        match manners {
            Manners::Product => {
                let proxies = ProxyRules::default();
                // None of them has a policy.
                let policy = Arc::new(Keeper::new(state_dir.path().join("no-policy"), Rails::default()));
                let options = RunOptions { state_dir, identity, engine, transport: None, proxies, policy };
                agent.spawn(run(options, self.stop.clone()));
            }
            Manners::Rude => {
                let rude = Rude { number, refusals: Arc::clone(&self.refusals), stop: self.stop.clone() };
                agent.spawn(rude.run(identity, self.url(number), engine));
            }
        }
        agent
    }

    fn url(&self, number: usize) -> HubUrl {
        self.front.url(number).parse().expect("the front gives good URLs")
    }

    fn state_dir(&self, number: usize) -> StateDir {
        StateDir::open(&self.state_folder(number)).expect("the folder is ours")
    }

    fn state_folder(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("agent-{number}"))
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is taken when the fleet is dropped")
    }
}

impl Drop for SimulatedFleet {
    fn drop(&mut self) {
        self.agents.clear();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An agent that never learns.
struct Rude {
    number: usize,
    refusals: Arc<Vec<Mutex<Option<RejectReason>>>>,
    stop: CancellationToken,
}

impl Rude {
    async fn run(self, identity: Identity, hub: HubUrl, engine: EngineAddress) {
        let credentials = EdgeCredentials::new(identity);
        let mut link = Link::new(vec![hub], ProxyRules::default(), TransportChoice::WebSocket);
        let serving = ServeOptions {
            engine: Arc::new(Engine::new(engine)),
            capabilities: Capabilities::ALL,
            host: host::facts(),
            container: None,
            instance: host::new_instance(),
            policy: HostPolicy::NotAsked,
        };
        while !self.stop.is_cancelled() {
            let end = self.session(&mut link, &credentials, serving.clone()).await;
            if let Some(SessionEnd::Rejected(rejected)) = end {
                *self.refusals[self.number].lock().expect("no task panics") = Some(rejected.reason);
            }
            self.stop.run_until_cancelled(tokio::time::sleep(RUDE_PAUSE)).await;
        }
    }

    /// One session from its dial to its end; `None` when there was none.
    async fn session(
        &self,
        link: &mut Link,
        credentials: &EdgeCredentials,
        serving: ServeOptions,
    ) -> Option<SessionEnd> {
        let source = credentials.clone();
        let tls = move || {
            let (identity, trust) = source.for_handshake();
            client_config(Purpose::Session, trust, Some(identity))
        };
        let established = self.stop.run_until_cancelled(link.session(&tls)).await?.ok()?;
        let contact = Contact { connection: established.connection.clone(), hello_by: established.hello_by };
        let end = serve(contact, serving, credentials, self.stop.clone()).await;
        credentials.session_ended();
        established.finish().await;
        Some(end)
    }
}
