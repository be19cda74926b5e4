//! The agents of engines that the hub reaches by itself: the agent library in
//! this process, one for each local or TCP environment, over the in-memory
//! transport.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use windflow_agent::engine::{Engine, EngineAddress, EngineTls, TlsError};
use windflow_agent::serve::{Contact, HostPolicy, InProcess, ServeOptions, serve};
use windflow_protocol::capability::Capabilities;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::transport::memory;

use super::Fleet;
use super::environments::{EngineTarget, TcpTls};
use crate::db::DbError;
use crate::tunnel::{Arrival, Identity, admit};

/// How long after its session ended an attached agent starts again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// Runs the attached agents. Clones share them.
#[derive(Clone, Debug)]
pub struct Attached {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    fleet: Arc<Fleet>,
    /// The hub's own engine; `None` where it was told to have none.
    local: Option<PathBuf>,
    tracker: TaskTracker,
    stop: CancellationToken,
    running: Mutex<HashMap<EnvironmentId, CancellationToken>>,
}

impl Attached {
    /// No agent runs yet; all stop with `stop`.
    pub fn new(fleet: Arc<Fleet>, local: Option<PathBuf>, tracker: TaskTracker, stop: CancellationToken) -> Self {
        Self { inner: Arc::new(Inner { fleet, local, tracker, stop, running: Mutex::default() }) }
    }

    /// Starts an agent for every attached environment, and adds that of the
    /// hub's own host where there is an engine and no environment yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start_all(&self) -> Result<(), DbError> {
        if self.inner.local.is_some() {
            self.inner.fleet.ensure_local().await?;
        }
        for environment in self.inner.fleet.list_attached().await? {
            self.start(environment);
        }
        Ok(())
    }

    /// Starts the agent of one environment, unless it runs.
    pub fn start(&self, environment: EnvironmentId) {
        let mut running = self.running();
        if running.contains_key(&environment) {
            return;
        }
        let stop = self.inner.stop.child_token();
        running.insert(environment, stop.clone());
        let attached = self.clone();
        self.inner.tracker.spawn(async move { attached.keep(environment, stop).await });
    }

    /// Stops the agent of one environment.
    pub fn stop(&self, environment: EnvironmentId) {
        if let Some(stop) = self.running().remove(&environment) {
            stop.cancel();
        }
    }

    async fn keep(&self, environment: EnvironmentId, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.engine(environment).await {
                Ok(Some(engine)) => self.run(environment, engine, &stop).await,
                Ok(None) => return tracing::debug!(environment.id = %environment, "no engine to attach"),
                Err(error) => tracing::error!(environment.id = %environment, %error, "an engine cannot be attached"),
            }
            // Whichever of the two ends first, the loop looks at `stop` next.
            stop.run_until_cancelled(tokio::time::sleep(RESTART_AFTER)).await;
        }
    }

    async fn engine(&self, environment: EnvironmentId) -> anyhow::Result<Option<EngineAddress>> {
        match self.inner.fleet.engine_target(environment).await? {
            EngineTarget::Local => Ok(self.inner.local.clone().map(EngineAddress::Unix)),
            EngineTarget::Tcp { address, tls } => {
                let address: EngineAddress = address.parse()?;
                let tls = tls.as_ref().map(engine_tls).transpose()?;
                Ok(Some(match tls {
                    Some(tls) => address.with_tls(tls),
                    None => address,
                }))
            }
        }
    }

    /// One session, from hello to end.
    async fn run(&self, environment: EnvironmentId, address: EngineAddress, stop: &CancellationToken) {
        let engine = Arc::new(Engine::new(address));
        let options = ServeOptions {
            engine: Arc::clone(&engine),
            capabilities: Capabilities::ALL,
            host: windflow_agent::host::facts(),
            // The hub knows its own by itself.
            container: None,
            instance: windflow_agent::host::new_instance(),
            policy: HostPolicy::NotAsked,
        };
        let (hub_end, agent_end) = memory::pair();
        let fleet = &self.inner.fleet;
        let arrival = Arrival::fresh(hub_end, Identity::Attached(environment), fleet.base.clock.now());
        let over = CancellationToken::new();
        let session = async {
            let (_, end) = tokio::join!(
                admit(arrival, fleet.sessions(), fleet.as_ref()),
                serve(Contact::fresh(agent_end), options, &InProcess, stop.clone()),
            );
            over.cancel();
            end
        };
        let (end, ()) = tokio::join!(session, engine.watch(over.clone()));
        tracing::debug!(environment.id = %environment, ?end, "an attached agent's session ended");
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<EnvironmentId, CancellationToken>> {
        self.inner.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The TLS configuration of stored material.
///
/// # Errors
/// Which part of it cannot be used.
pub fn engine_tls(tls: &TcpTls) -> Result<EngineTls, TlsError> {
    EngineTls::from_pem(&tls.authority, &tls.certificate, tls.key.expose_secret())
}
